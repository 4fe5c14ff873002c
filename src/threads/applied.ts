// The configuration of a start beside the one that the folder's data was made with: the newest in the log, else the checkpoint's.
import {
  configurationChange,
  type AppliedConfiguration,
  type ConfigurationChange,
} from "../admit/applied.ts";
import type { ReaderCheckpoint } from "../checkpoint/store.ts";
import type { EventSchema } from "../event/schema.ts";
import type { LogReader } from "../log/log.ts";
import { appliedInLog } from "../reader/applied-log.ts";
import { planHash } from "../view/explain.ts";
import type { ThreadStart } from "./messages.ts";
import { AdviceError } from "./worker.ts";

/**
 * What the configuration changes. `saved`: what the checkpoint has of it. Throws AdviceError when it changes what cannot be: asked before
 * tables are opened, which would only see columns that differ.
 */
export function decideChange(
  start: Pick<ThreadStart, "streams" | "views" | "configurationText">,
  saved: ReaderCheckpoint | null,
  log: LogReader,
): Exclude<ConfigurationChange, { kind: "refused" }> & {
  readonly before: AppliedConfiguration | null;
} {
  const before =
    appliedInLog(log, (saved?.position ?? 0) + 1) ??
    (saved === null
      ? null
      : (JSON.parse(new TextDecoder().decode(saved.body)) as AppliedConfiguration));
  const wanted = {
    streams: start.streams.map(({ name, schema }) => ({
      name,
      schema,
      schemaHash: schemaHash(schema),
    })),
    views: start.views.map((plan) => ({
      name: plan.name,
      planHash: planHash(plan),
      // a correction of sessions takes back only rows that the view's state still knows
      isCorrected: plan.late.policy === "update" && plan.window?.kind !== "session",
    })),
    text: start.configurationText,
  };
  const change = configurationChange(before, wanted, log.bounds().last);
  if (change.kind === "refused") throw new AdviceError(change.reasons.join("\n"));
  return { ...change, before };
}

/** Hash of what a schema decides: columns and their roles, not its version. */
function schemaHash(schema: EventSchema): string {
  const { id: _, ...deciding } = schema;
  return new Bun.CryptoHasher("sha256").update(JSON.stringify(deciding)).digest("hex");
}
