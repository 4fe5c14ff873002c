// Facts at a start about streams and views that are no longer configured: what of theirs lies in the log and the checkpoint, and what their
// tables have. What follows from them is decided by checkpoint/recovery.ts.
import type { AppliedConfiguration } from "../admit/applied.ts";
import {
  correctionRefusals,
  retiredRefusals,
  unadmittedRefusals,
  unfoldedRefusals,
  type RetiredFacts,
} from "../checkpoint/recovery.ts";
import type { LoadedCheckpoint, ReaderCheckpoint } from "../checkpoint/store.ts";
import { ADMISSION_READER, WINDOWS_READER } from "../engine-state.ts";
import { LOG_HEADS_PER_LOOK } from "../limits.ts";
import type { LogReader } from "../log/log.ts";
import { USER_NAMESPACE } from "../table/exporter.ts";
import { lateTable, rawTableName, tableName } from "../table/shapes.ts";
import { decodeRoot } from "../window/root.ts";
import type { EngineStart } from "./messages.ts";
import { AdviceError } from "./worker.ts";

/** Throws AdviceError when the start would lose rows of streams or views that were removed. `before`: the configuration of the data. */
export function refuseRetired(
  start: EngineStart,
  before: AppliedConfiguration | null,
  found: { readonly loaded: LoadedCheckpoint; readonly log: LogReader },
): void {
  const streams = new Set(start.streams.map(({ name }) => name));
  const views = new Set(start.views.map(({ name }) => name));
  const goneStreams = Object.keys(before?.streams ?? {}).filter((name) => !streams.has(name));
  const goneViews = Object.entries(before?.views ?? {}).filter(([name]) => !views.has(name));
  const lasts =
    goneStreams.length + goneViews.length > 0 ? lastEvents(found.log) : new Map<string, number>();
  const readerNamed = (wanted: string): ReaderCheckpoint | undefined =>
    found.loaded.readers.find(({ name }) => name === wanted);
  const checkpoint = readerNamed(WINDOWS_READER);
  const reasons = [
    ...retiredRefusals([
      ...goneStreams.map((name) => retiredStream(start, name, lasts.get(name) ?? 0)),
      ...retiredViews(start, found.loaded),
    ]),
    ...unadmittedRefusals(
      goneStreams.map((name) => ({
        name,
        admitted: readerNamed(ADMISSION_READER)?.position ?? 0,
        lastEvents: lasts.get(name) ?? 0,
      })),
    ),
    ...unfoldedRefusals(
      goneViews.map(([name, { since }]) => ({
        name,
        folded: Math.max(since, checkpoint?.position ?? 0),
        lastEvents: Math.max(0, ...lasts.values()),
      })),
    ),
    ...correctionRefusals(checkpoint === undefined ? [] : waitingViews(start, checkpoint.body)),
  ];
  if (reasons.length > 0) throw new AdviceError(reasons.join("\n"));
}

/** The position of the last events in the log, by stream. Throws as LogReader does. */
function lastEvents(log: LogReader): Map<string, number> {
  const lasts = new Map<string, number>();
  const { first, last } = log.bounds();
  for (let at = first; at <= last;) {
    const heads = log.heads(at, LOG_HEADS_PER_LOOK);
    for (const { stream, rowCount, position } of heads)
      if (rowCount > 0) lasts.set(stream, position);
    at += Math.max(1, heads.length);
  }
  return lasts;
}

function retiredStream(start: EngineStart, name: string, last: number): RetiredFacts {
  const table = tableName({ namespace: USER_NAMESPACE, name: rawTableName(name) });
  const ledger = ledgerPosition(start, table, name);
  return { kind: "stream", name, last, ledger, isExported: start.config.settings.export.raw };
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

/** Views whose corrected rows wait in the checkpoint, and that are not configured. One that is suspended does not put them out. */
function waitingViews(start: EngineStart, body: Uint8Array): string[] {
  const configured = new Set(start.views.map(({ name }) => name));
  return decodeRoot(body)
    .views.filter(
      ({ plan, state }) =>
        state.waits === true && state.suspended === undefined && !configured.has(plan.name),
    )
    .map(({ plan }) => plan.name);
}

function ledgerPosition(start: EngineStart, table: string, writer: string): number {
  const found = start.writers.find((known) => known.table === table && known.writer === writer);
  return found?.position ?? 0;
}
