// What the log says of the configuration that its data was made with: the newest configuration record. Reads heads, and the control
// records among them from the end.
import type { AppliedConfiguration } from "../admit/applied.ts";
import { LOG_HEADS_PER_LOOK } from "../limits.ts";
import type { LogReader } from "../log/log.ts";

/** The configuration of the newest configuration record at or after position `from`, or null. Throws as LogReader does. */
export function appliedInLog(log: LogReader, from: number): AppliedConfiguration | null {
  const { first, last } = log.bounds();
  const controls: number[] = [];
  for (let at = Math.max(first, from); at <= last;) {
    const heads = log.heads(at, LOG_HEADS_PER_LOOK);
    for (const head of heads) if (head.kind === "control") controls.push(head.position);
    at += Math.max(1, heads.length);
  }
  for (const position of controls.toReversed()) {
    const [record] = log.read(position, 1);
    if (record?.kind === "control" && record.control === "configuration")
      return JSON.parse(record.body) as AppliedConfiguration;
  }
  return null;
}
