// Noun: what the child keeps between questions of things that change: the log's tail per stream, its rejects. Turns planned scans into
// scans over images. Owns those caches; the SQL around them is relations.ts's.
import { readFileSync } from "node:fs";
import type { RawScan } from "../base/duckdb.ts";
import { buildImage, readImageHeader } from "../event/image.ts";
import { QUERY_TAIL_BYTES_MAX } from "../limits.ts";
import type { LogReader } from "../log/log.ts";
import type { LogRecord } from "../log/record.ts";
import { deadLetterRow } from "../table/exports.ts";
import { DEAD_LETTER_IMAGE } from "../table/shapes.ts";
import { imageScan, type ImageBatch } from "./image-scan.ts";
import type { Pin } from "./pin.ts";
import type { PinnedImage, PlannedScan } from "./relations.ts";
import { Tail, TailError, type TailBudget, type TailPart } from "./tail.ts";

/** A batch in a tail. */
interface TailBatch extends ImageBatch, TailPart {}

function streamBatch(stream: string): (record: LogRecord) => TailBatch | null {
  return (record) => {
    if (record.kind !== "events" || record.stream !== stream || record.rowCount === 0) return null;
    return {
      image: record.image,
      rowCount: record.rowCount,
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
  return { image, rowCount: rows.length, fixed, bytes: image.byteLength };
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

  /** The scan that a plan names. `nowMs` says when its tail was used last. Throws when an image cannot be read. */
  scan(planned: PlannedScan, pin: Pin, nowMs: number): RawScan {
    const { columns, of } = planned;
    switch (of.kind) {
      case "images": {
        const batches = of.images.map(readImage);
        const rowCount = batches.reduce((sum, batch) => sum + batch.rowCount, 0);
        return imageScan(columns, rowCount, () => batches[Symbol.iterator]());
      }
      case "stream":
        return this.#tailScan(planned, `stream ${of.stream}`, { pin, after: of.after, nowMs }, () =>
          streamBatch(of.stream),
        );
      default:
        return this.#tailScan(
          planned,
          "rejects",
          { pin, after: of.after, nowMs },
          () => rejectBatch,
        );
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

  #tailScan(
    planned: PlannedScan,
    key: string,
    use: { pin: Pin; after: number; nowMs: number },
    partOf: () => (record: LogRecord) => TailBatch | null,
  ): RawScan {
    const { pin, after, nowMs } = use;
    const kept = this.#tails.get(key) ?? {
      tail: new Tail<TailBatch>(this.#budget, partOf()),
      usedAtMs: 0,
    };
    this.#tails.set(key, kept);
    kept.usedAtMs = nowMs;
    kept.tail.dropThrough(after);
    const log = this.#reader(pin.logFolder);
    const { first, last } = log.bounds();
    if (after + 1 < first || pin.position > last)
      throw new TailError(
        `the log holds positions ${first} to ${last}, not ${after + 1} to ${pin.position}`,
      );
    // A thousand rows a record: the planner only needs the order of magnitude.
    return imageScan(planned.columns, (pin.position - after) * 1000, () =>
      kept.tail.parts(log, after, pin.position),
    );
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
function readImage({ path, view }: PinnedImage): ImageBatch {
  const image = new Uint8Array(readFileSync(path));
  return { image, rowCount: readImageHeader(image).rowCount, fixed: [view] };
}
