// Codec: the body of control records that move a stream's clock: which source partitions they are about, and the watermark after them. JSON,
// 64-bit times as decimal text.
import type { PartitionChange } from "../admit/stream-clock.ts";
import { assert } from "../base/assert.ts";
import type { ControlKind, ControlRecord } from "./record.ts";

/** What such a record does to the clock. */
export type ClockChange = PartitionChange | "tick";

const KINDS: Readonly<Record<ClockChange, ControlKind>> = {
  tick: "clock_tick",
  added: "partition_added",
  connected: "partition_connected",
  disconnected: "partition_disconnected",
  paused: "partition_paused",
  resumed: "partition_resumed",
};

/** What such a record says. */
export interface ClockControl {
  readonly change: ClockChange;
  readonly stream: string;
  /** Empty for a tick. */
  readonly partitions: readonly string[];
  /** The stream's watermark after the record, µs; null = −∞. */
  readonly watermarkUs: bigint | null;
}

/** The record without its place in the log. */
export function clockControl(said: ClockControl): {
  readonly control: ControlKind;
  readonly stream: string;
  readonly body: string;
} {
  const { change, stream, partitions, watermarkUs } = said;
  const body = JSON.stringify({ partitions, watermarkUs: watermarkUs?.toString() ?? null });
  return { control: KINDS[change], stream, body };
}

/** What a control record says of its stream's clock; null for the kinds that say nothing of one. */
export function clockControlOf({ control, stream, body }: ControlRecord): ClockControl | null {
  const found = Object.entries(KINDS).find(([, kind]) => kind === control);
  if (found === undefined) return null;
  assert(stream !== null, `a record ${control} names its stream`);
  // The record's checksum vouches for the shape: clockControl is the only writer.
  const { partitions, watermarkUs } = JSON.parse(body) as {
    partitions: string[];
    watermarkUs: string | null;
  };
  return {
    // the keys of a Record<ClockChange, ...> literal are exactly the changes
    change: found[0] as ClockChange,
    stream,
    partitions,
    watermarkUs: watermarkUs === null ? null : BigInt(watermarkUs),
  };
}
