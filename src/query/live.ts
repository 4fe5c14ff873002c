// Noun: what the child keeps between questions of things that change: the log's tail per stream, its rejects. Turns planned scans into
// scans over images. Owns those caches; the SQL around them is relations.ts's.
import { readFileSync } from "node:fs";
import type { RawScan } from "../base/duckdb.ts";
import { buildImage } from "../event/image.ts";
import { QUERY_TAIL_BYTES_MAX } from "../limits.ts";
import type { LogReader } from "../log/log.ts";
import type { LogRecord } from "../log/record.ts";
import { deadLetterRow } from "../table/exports.ts";
import { DEAD_LETTER_IMAGE } from "../table/shapes.ts";
import { BatchImage } from "./batch-image.ts";
import { imageScan, type ImageBatch } from "./image-scan.ts";
import type { KnownNeedle } from "./needles.ts";
import type { Pin } from "./pin.ts";
import type { PinnedImage, PlannedScan } from "./relations.ts";
import { Tail, TailError, type TailBudget, type TailPart } from "./tail.ts";

/** A batch in a tail. */
interface TailBatch extends ImageBatch, TailPart {}

function streamBatch(stream: string): (record: LogRecord) => TailBatch | null {
  return (record) => {
    if (record.kind !== "events" || record.stream !== stream || record.rowCount === 0) return null;
    return {
      image: new BatchImage(record.image),
      fixed: [BigInt(record.receivedAtUs), BigInt(record.position)],
      bytes: record.image.byteLength,
    };
  };
}

/** Rejects as an image with constants, as the dead letters' table takes them. */
function rejectBatch(record: LogRecord): TailBatch | null {
  if (record.kind !== "events" || record.rejects.length === 0) return null;
  const rows = record.rejects.map((reject) => deadLetterRow(record.receivedAtUs, reject));
  const image = buildImage(DEAD_LETTER_IMAGE, rows);
  const fixed = [record.stream, BigInt(record.position)];
  return { image: new BatchImage(image), fixed, bytes: image.byteLength };
}

/** The question that a scan is for. `nowMs` says when its tail was used last. */
export interface ScanUse {
  readonly pin: Pin;
  readonly nowMs: number;
  readonly needles: readonly KnownNeedle[];
}

interface KeptTail {
  readonly tail: Tail<TailBatch>;
  usedAtMs: number;
}

export class LiveData {
  readonly #openLog: (folder: string) => LogReader;
  readonly #budget: TailBudget = { bytes: 0, bytesMax: QUERY_TAIL_BYTES_MAX };
  readonly #tails = new Map<string, KeptTail>();
  #log: { readonly folder: string; readonly reader: LogReader } | null = null;

  constructor(openLog: (folder: string) => LogReader) {
    this.#openLog = openLog;
  }

  /** The scan that a plan names, over batches that may hold its needles. Throws when an image cannot be read. */
  scan(planned: PlannedScan, use: ScanUse): RawScan {
    const { columns, of } = planned;
    switch (of.kind) {
      case "images": {
        const batches = of.images.map(readImage);
        const rowCount = batches.reduce((sum, { image }) => sum + image.rowCount, 0);
        return imageScan(columns, { rowCount, needles: use.needles, batches: () => batches });
      }
      case "stream": {
        const tail = this.#tail(`stream ${of.stream}`, use, () => streamBatch(of.stream));
        return this.#tailScan(planned, of.after, use, tail);
      }
      default: {
        const tail = this.#tail("rejects", use, () => rejectBatch);
        return this.#tailScan(planned, of.after, use, tail);
      }
    }
  }

  /** Forgets tails that no question has used since `untilMs`. Says whether any was there. */
  forget(untilMs: number): boolean {
    let forgotten = false;
    for (const [key, kept] of this.#tails) {
      if (kept.usedAtMs > untilMs) continue;
      kept.tail.clear();
      this.#tails.delete(key);
      forgotten = true;
    }
    return forgotten;
  }

  #tail(
    key: string,
    { nowMs }: ScanUse,
    partOf: () => (record: LogRecord) => TailBatch | null,
  ): Tail<TailBatch> {
    const kept = this.#tails.get(key) ?? {
      tail: new Tail<TailBatch>(this.#budget, partOf()),
      usedAtMs: 0,
    };
    this.#tails.set(key, kept);
    kept.usedAtMs = nowMs;
    return kept.tail;
  }

  #tailScan(
    { columns }: PlannedScan,
    after: number,
    { pin, needles }: ScanUse,
    tail: Tail<TailBatch>,
  ): RawScan {
    tail.dropThrough(after);
    const log = this.#reader(pin.logFolder);
    const { first, last } = log.bounds();
    if (after + 1 < first || pin.position > last)
      throw new TailError(
        `the log holds positions ${first} to ${last}, not ${after + 1} to ${pin.position}`,
      );
    return imageScan(columns, {
      // A thousand rows a record: the planner only needs the order of magnitude.
      rowCount: (pin.position - after) * 1000,
      needles,
      batches: () => tail.parts(log, after, pin.position),
    });
  }

  #reader(folder: string): LogReader {
    if (this.#log?.folder === folder) return this.#log.reader;
    this.#log?.reader.close();
    const reader = this.#openLog(folder);
    this.#log = { folder, reader };
    return reader;
  }
}

/** An image file, whole: the engine may unlink it once the pin is released. */
function readImage({ path, fixed }: PinnedImage): ImageBatch {
  return { image: new BatchImage(new Uint8Array(readFileSync(path))), fixed };
}
