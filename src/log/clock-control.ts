// Codec: the body of control records that move a stream's clock: which source partitions they are about, and the watermark after them. JSON,
// 64-bit times as decimal text.
import { assert } from "../base/assert.ts";
import type { ControlKind, ControlRecord } from "./record.ts";

/** Kinds that move a stream's clock, in the format since version 1. */
export const CLOCK_CONTROLS = [
  "clock_tick",
  "partition_added",
  "partition_connected",
  "partition_disconnected",
  "partition_paused",
  "partition_resumed",
] as const satisfies readonly ControlKind[];

export type ClockControlKind = (typeof CLOCK_CONTROLS)[number];

/** What such a record says. */
export interface ClockControl {
  readonly control: ClockControlKind;
  readonly stream: string;
  /** Empty for a tick. */
  readonly partitions: readonly string[];
  /** The stream's watermark after the record, µs; null = −∞. */
  readonly watermarkUs: bigint | null;
}

export function clockControlBody({ partitions, watermarkUs }: ClockControl): string {
  return JSON.stringify({ partitions, watermarkUs: watermarkUs?.toString() ?? null });
}

/** What a control record says of its stream's clock; null for the kinds that say nothing of one. */
export function clockControlOf({ control, stream, body }: ControlRecord): ClockControl | null {
  const kind = CLOCK_CONTROLS.find((known) => known === control);
  if (kind === undefined) return null;
  assert(stream !== null, `a record ${control} names its stream`);
  // The record's checksum vouches for the shape: clockControlBody is the only writer.
  const { partitions, watermarkUs } = JSON.parse(body) as {
    partitions: string[];
    watermarkUs: string | null;
  };
  return {
    control: kind,
    stream,
    partitions,
    watermarkUs: watermarkUs === null ? null : BigInt(watermarkUs),
  };
}
