// Facts at a start about streams and views that are no longer configured: what of theirs lies in the log and the checkpoint, and what their
// tables have. What follows from them is decided by checkpoint/recovery.ts.
import type { AppliedConfiguration } from "../admit/applied.ts";
import { retiredRefusals, type RetiredFacts } from "../checkpoint/recovery.ts";
import type { LoadedCheckpoint } from "../checkpoint/store.ts";
import { LOG_HEADS_PER_LOOK } from "../limits.ts";
import type { LogReader } from "../log/log.ts";
import { USER_NAMESPACE } from "../table/exporter.ts";
import { lateTable, rawTableName, tableName } from "../table/shapes.ts";
import type { EngineStart } from "./messages.ts";
import { AdviceError } from "./worker.ts";

/** Throws AdviceError when the start would lose rows of streams or views that were removed. `before`: the configuration of the data. */
export function refuseRetired(
  start: EngineStart,
  before: AppliedConfiguration | null,
  found: { readonly loaded: LoadedCheckpoint; readonly log: LogReader },
): void {
  const reasons = retiredRefusals([
    ...retiredStreams(start, Object.keys(before?.streams ?? {}), found.log),
    ...retiredViews(start, found.loaded),
  ]);
  if (reasons.length > 0) throw new AdviceError(reasons.join("\n"));
}

/** Streams of `known` that are not configured, and where the log has the last events of each. Throws as LogReader does. */
function retiredStreams(
  start: EngineStart,
  known: readonly string[],
  log: LogReader,
): RetiredFacts[] {
  const configured = new Set(start.streams.map(({ name }) => name));
  const gone = known.filter((name) => !configured.has(name));
  if (gone.length === 0) return [];
  const lasts = new Map<string, number>();
  const { first, last } = log.bounds();
  for (let at = first; at <= last;) {
    const heads = log.heads(at, LOG_HEADS_PER_LOOK);
    for (const { stream, rowCount, position } of heads)
      if (rowCount > 0) lasts.set(stream, position);
    at += Math.max(1, heads.length);
  }
  return gone.map((name) => ({
    kind: "stream",
    name,
    last: lasts.get(name) ?? 0,
    ledger: ledgerPosition(
      start,
      tableName({ namespace: USER_NAMESPACE, name: rawTableName(name) }),
      name,
    ),
    isExported: start.config.settings.export.raw,
  }));
}

/** Views with outputs in the checkpoint that are not configured. */
function retiredViews(start: EngineStart, loaded: LoadedCheckpoint): RetiredFacts[] {
  const configured = new Set(start.views.map(({ name }) => name));
  const lasts = new Map<string, RetiredFacts>();
  for (const { view, kind, position } of loaded.outputs) {
    if (configured.has(view)) continue;
    const place = kind === "rows" ? { namespace: USER_NAMESPACE, name: view } : lateTable();
    const ledger = ledgerPosition(start, tableName(place), view);
    // outputs come in log order; one that is not out must not be hidden by another table that is
    if (position > ledger)
      lasts.set(view, { kind: "view", name: view, last: position, ledger, isExported: true });
  }
  return [...lasts.values()];
}

function ledgerPosition(start: EngineStart, table: string, writer: string): number {
  const found = start.writers.find((known) => known.table === table && known.writer === writer);
  return found?.position ?? 0;
}
