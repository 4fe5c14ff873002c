// Verb: late events of a view at one position -> a batch image (columns: output.ts).
import { buildImage, type ImageColumn } from "../event/image.ts";

const TIME = { kind: "TIMESTAMPTZ" } as const;

/** Columns of images of kind "late". */
export const LATE_COLUMNS: readonly ImageColumn[] = [
  { name: "event_time", type: TIME, nullable: false },
  { name: "window_start", type: TIME, nullable: false },
  { name: "window_end", type: TIME, nullable: false },
  { name: "behind", type: { kind: "BIGINT" }, nullable: false },
  { name: "_position", type: { kind: "BIGINT" }, nullable: false },
  { name: "_index", type: { kind: "INTEGER" }, nullable: false },
  { name: "received_at", type: TIME, nullable: false },
];

/** A late event; `row` is its ordinal in the record, [startUs, endUs) the range of windows that it is not in. */
export interface LateEvent {
  readonly row: number;
  readonly timeUs: bigint;
  readonly behindUs: bigint;
  readonly startUs: bigint;
  readonly endUs: bigint;
}

/** The image of late events of one record. */
export function lateImage(
  events: readonly LateEvent[],
  record: { readonly position: number; readonly receivedAtUs: number },
): Uint8Array {
  const rows = events.map(({ row, timeUs, behindUs, startUs, endUs }) => {
    const position = BigInt(record.position);
    return [timeUs, startUs, endUs, behindUs, position, row, BigInt(record.receivedAtUs)];
  });
  return buildImage(LATE_COLUMNS, rows);
}
