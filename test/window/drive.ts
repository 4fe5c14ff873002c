// Feeds events to the kernels and to the model, cut into records at will, and compares what they put out.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildKernels } from "../../kernels/build.ts";
import type { FoldKernels } from "../../kernels/fold.ts";
import { instantiate } from "../../kernels/host.ts";
import { buildImage, imageRows, type Cell } from "../../src/event/image.ts";
import type { EventsRecord } from "../../src/log/record.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import { Windows } from "../../src/window/windows.ts";
import { IMAGE_COLUMNS } from "./arbitrary.ts";
import { order } from "../../kernels/reference/expression.ts";
import type { ReferenceOutput } from "../../kernels/reference/fold.ts";

await buildKernels(["fold"]);
export const FOLD_WASM = readFileSync(join(import.meta.dir, "../../build/fold.wasm"));

const MEMORY_BYTES = 1024 * 1024 * 1024;

export function newWindows(): Windows {
  return new Windows(instantiate<FoldKernels>(FOLD_WASM, MEMORY_BYTES), 40_000);
}

/** An event with its `_behind`, at a place of the log. */
export interface PlacedEvent {
  readonly cells: readonly Cell[];
  readonly receivedAtUs: number;
  readonly position: number;
  readonly index: number;
  /** The watermark after the event, µs. */
  readonly watermarkUs: bigint;
}

/**
 * Events cut into records of the given sizes (in turn), each received `everyUs` (a second) after the one before, with `attrs` null and
 * `_behind` by the watermark before each event.
 */
export function place(
  events: readonly (readonly Cell[])[],
  sizes: readonly number[],
  options: {
    readonly outOfOrdernessUs: number;
    readonly receivedAtUs: number;
    readonly everyUs?: number;
  },
): PlacedEvent[][] {
  const records: PlacedEvent[][] = [];
  let highest: bigint | null = null;
  let at = 0;
  while (at < events.length) {
    const position = records.length + 1;
    const receivedAtUs = options.receivedAtUs + position * (options.everyUs ?? 1_000_000);
    const size = sizes[records.length % sizes.length] ?? 1;
    const record = events.slice(at, at + size).map((cells, index): PlacedEvent => {
      const timeUs = cells[0] as bigint;
      const distance = BigInt(options.outOfOrdernessUs);
      const behind: bigint = highest === null ? 0n : highest - distance - timeUs;
      const seen = timeUs < BigInt(receivedAtUs) ? timeUs : BigInt(receivedAtUs);
      if (highest === null || seen > highest) highest = seen;
      return {
        cells: [...cells, null, behind > 0n ? behind : 0n],
        receivedAtUs,
        position,
        index,
        watermarkUs: highest - distance,
      };
    });
    records.push(record);
    at += size;
  }
  return records;
}

/** `dictionaries`: ordinals of the text columns to encode so. */
export function recordOf(
  events: readonly PlacedEvent[],
  dictionaries: ReadonlySet<number>,
): EventsRecord {
  return {
    kind: "events",
    position: events[0]?.position ?? 0,
    stream: "events",
    partition: "",
    schemaId: 1,
    receivedAtUs: events[0]?.receivedAtUs ?? 0,
    watermarkUs: events.at(-1)?.watermarkUs ?? null,
    rowCount: events.length,
    duplicateCount: 0,
    rejects: [],
    image: buildImage(
      IMAGE_COLUMNS,
      events.map(({ cells }) => cells),
      dictionaries,
    ),
  };
}

/** Rows of images of kind "rows". */
export function outputRows(plan: ViewPlan, images: readonly Uint8Array[]): Cell[][] {
  const columns = [
    ...plan.output,
    { name: "revision", type: { kind: "BIGINT" }, nullable: false } as const,
  ];
  return images.flatMap((image) => imageRows(image, columns));
}

/** Doubles may differ by a relative bound; 0 = not at all. */
function same(a: Cell, b: Cell, bound: number): boolean {
  if (typeof a === "number" && typeof b === "number") {
    if (Object.is(a, b) || a === b) return true;
    return Math.abs(a - b) <= Math.max(Math.abs(a), Math.abs(b)) * bound;
  }
  return a === b;
}

/** Differences between rows of the kernels and of a model, as sets. */
export function differences(
  rows: readonly Cell[][],
  model: readonly ReferenceOutput[],
  doubleBound = 0,
): string[] {
  const compareRows = (x: readonly Cell[], y: readonly Cell[]): number => {
    for (const [index, cell] of x.entries()) {
      const other = y[index] ?? null;
      if (cell === null || other === null) {
        if (cell !== other) return cell === null ? -1 : 1;
      } else if (order(cell, other) !== 0) return order(cell, other);
    }
    return 0;
  };
  const ours = rows.toSorted(compareRows);
  const theirs = model.map(({ row }) => row).toSorted(compareRows);
  const found = ours.length === theirs.length ? [] : [`${ours.length} rows, not ${theirs.length}`];
  ours.forEach((row, at) =>
    row.forEach((cell, index) => {
      const other = theirs[at]?.[index] ?? null;
      if (!same(cell, other, doubleBound))
        found.push(`row ${at} column ${index}: ${String(cell)}, not ${String(other)}`);
    }),
  );
  return found;
}
