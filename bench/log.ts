// Measures the log and the checkpoint store: encode, append and sync, small commits, read, save, load. Each against the plainest way to do
// the same with the same bytes in the same run. Owns nothing but a temporary folder.
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskFiles } from "../src/base/disk-files.ts";
import { openCheckpointStore } from "../src/checkpoint/sqlite-store.ts";
import { NO_CHANGE, type StatePage } from "../src/checkpoint/store.ts";
import { buildImage, type Cell } from "../src/event/image.ts";
import { decodeRecord, encodeRecord } from "../src/log/codec.ts";
import { ImagePacker } from "../src/log/image-pack.ts";
import type { EncodedRecord } from "../src/log/log.ts";
import type { EventsRecord } from "../src/log/record.ts";
import { openSqliteLogReader } from "../src/log/sqlite-log-reader.ts";
import { openSqliteLogWriter, type SqliteLogWriter } from "../src/log/sqlite-log.ts";
import type { BenchLine } from "./line.ts";

const START_US = 1_569_888_000_000_000;
const ROWS = 1000;
const MB = 1024 * 1024;

/** Numbers from a seed (mulberry32), so that every run measures the same bytes. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((((mixed ^ (mixed >>> 14)) >>> 0) * below) / 2 ** 32) | 0;
  };
}

/** A batch image like that of `rows` shop clicks: session uuids, a few hundred products and categories, prices, times. */
function clickImage(seed: number, rows: number): Uint8Array {
  const random = randomFrom(seed);
  const text = (type: "VARCHAR") => ({ name: "c", type: { kind: type } as const, nullable: false });
  const number = (name: string) => ({ name, type: { kind: "BIGINT" } as const, nullable: false });
  const sessions = Array.from({ length: 1 + (rows >> 1) }, () =>
    "00000000-0000-4000-8000-000000000000".replaceAll("0", () => random(16).toString(16)),
  );
  const pick = (list: readonly string[]): string => list[random(list.length)] ?? "";
  const categories = Array.from({ length: 120 }, (_, at) => `/electronics/kind${at}/${at * 7919}`);
  const cells: Cell[][] = Array.from({ length: rows }, (_, at) => [
    String(seed * rows + at),
    BigInt(START_US + seed * 1_000_000 + random(1_000_000)),
    pick(["view", "view", "view", "view", "cart", "purchase"]),
    pick(categories),
    pick(categories).slice(1),
    pick(["samsung", "apple", "xiaomi", "huawei", "lucente", "bosch"]),
    BigInt(1_000_000 + random(100_000_000)),
    2_053_013_555_631_882_655n + BigInt(random(300)),
    BigInt(random(200_000)),
    BigInt(500_000_000 + random(60_000_000)),
    pick(sessions),
    0n,
  ]);
  const kinds = ["id", "n", "t", "t", "t", "t", "n", "n", "n", "n", "t", "n"];
  const columns = kinds.map((kind) => (kind === "n" ? number("n") : text("VARCHAR")));
  return buildImage(columns, cells, new Set([2, 3, 4, 5]));
}

function clickRecord(position: number, rows: number, image: Uint8Array): EventsRecord {
  return {
    kind: "events",
    position,
    stream: "clicks",
    partition: "",
    schemaId: 1,
    receivedAtUs: START_US + position * 1000,
    watermarkUs: BigInt(START_US + position * 1000),
    rowCount: rows,
    duplicateCount: 0,
    rejects: [],
    image,
  };
}

/** Seconds that `work` takes. */
function timed(work: () => void): number {
  const start = performance.now();
  work();
  return (performance.now() - start) / 1000;
}

function bytesOf(record: EncodedRecord): number {
  return record.header.length + record.payload.length;
}

/** Seconds for writing the same bytes to a plain file, with one fdatasync per commit: what the disk itself takes. */
function plainSeconds(folder: string, commits: readonly (readonly EncodedRecord[])[]): number {
  const file = openSync(join(folder, "plain"), "w");
  const seconds = timed(() => {
    for (const records of commits) {
      for (const { header, payload } of records) {
        writeSync(file, header);
        writeSync(file, payload);
      }
      fdatasyncSync(file);
    }
  });
  closeSync(file);
  return seconds;
}

function openWriter(folder: string): SqliteLogWriter {
  return openSqliteLogWriter(folder, new DiskFiles(), {
    jobId: "bench",
    fileSizeBytes: 32 * MB,
    sizeMaxBytes: 8192 * MB,
  });
}

function chunked(records: readonly EncodedRecord[], perCommit: number): EncodedRecord[][] {
  const commits: EncodedRecord[][] = [];
  for (let at = 0; at < records.length; at += perCommit)
    commits.push(records.slice(at, at + perCommit));
  return commits;
}

function encodeLines(images: readonly Uint8Array[], rounds: number): BenchLine[] {
  const events = images.length * rounds * ROWS;
  const packer = new ImagePacker();
  const encoded = images.map((image) => encodeRecord(clickRecord(1, ROWS, image), packer));
  const encodeSeconds = timed(() => {
    for (let round = 0; round < rounds; round++)
      for (const image of images) encodeRecord(clickRecord(1, ROWS, image), packer);
  });
  const copy = new Uint8Array(Math.max(...images.map((image) => image.length)));
  const copySeconds = timed(() => {
    for (let round = 0; round < rounds; round++) for (const image of images) copy.set(image);
  });
  let decodedRows = 0;
  const decodeSeconds = timed(() => {
    for (let round = 0; round < rounds; round++)
      for (const record of encoded)
        decodedRows += decodeRecord(record).kind === "events" ? ROWS : 0;
  });
  const hash = encoded.reduce((sum, record) => sum ^ Bun.hash.xxHash3(record.payload), 0n);
  const line = (stage: string, seconds: number, count: number): BenchLine => ({
    stage,
    rate: count / seconds,
    unit: "events/s",
    ns_per_event: (seconds / count) * 1e9,
    ratio: copySeconds / seconds,
    ratio_to: "memcpy",
  });
  return [
    { ...line("log.encode (zstd-1)", encodeSeconds, events), hash: hash.toString(16) },
    line("log.decode", decodeSeconds, decodedRows),
  ];
}

function appendLine(
  folder: string,
  records: readonly EncodedRecord[],
  shape: { readonly perCommit: number; readonly rows: number },
): BenchLine {
  const commits = chunked(records, shape.perCommit);
  const writer = openWriter(join(folder, `log-${shape.perCommit}x${shape.rows}`));
  const seconds = timed(() => {
    for (const commit of commits) writer.append(commit);
  });
  writer.close();
  const isSmall = shape.rows === 1;
  const events = records.length * shape.rows;
  return {
    stage: `log.append+sync ${shape.perCommit}x${shape.rows} rows`,
    rate: (isSmall ? commits.length : events) / seconds,
    unit: isSmall ? "commits/s" : "events/s",
    ns_per_event: (seconds / events) * 1e9,
    ratio: plainSeconds(folder, commits) / seconds,
    ratio_to: "fdatasync",
  };
}

function readLine(folder: string): BenchLine {
  const reader = openSqliteLogReader(join(folder, `log-8x${ROWS}`), new DiskFiles());
  let events = 0;
  let bytes = 0;
  let hash = 0n;
  const seconds = timed(() => {
    for (let next = 1; ;) {
      const records = reader.read(next, 4 * MB);
      if (records.length === 0) break;
      next += records.length;
      for (const record of records) {
        if (record.kind !== "events") continue;
        events += record.rowCount;
        bytes += record.image.length;
        hash = BigInt.asUintN(64, hash * 31n + Bun.hash.xxHash3(record.image));
      }
    }
  });
  reader.close();
  const source = new Uint8Array(MB).fill(1);
  const copy = new Uint8Array(MB);
  const copySeconds = timed(() => {
    for (let copied = 0; copied < bytes; copied += MB) copy.set(source);
  });
  return {
    stage: "log.read (one thread, from page cache)",
    rate: events / seconds,
    unit: "events/s",
    ns_per_event: (seconds / events) * 1e9,
    ratio: copySeconds / seconds,
    ratio_to: "memcpy",
    hash: hash.toString(16),
  };
}

/** Pages like those of a group table: hashes, small counts, sums, sparse sketches. */
function statePages(count: number): StatePage[] {
  const random = randomFrom(7);
  return Array.from({ length: count }, (_, page) => {
    const bytes = new Uint8Array(65_536);
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < bytes.length; at += 64) {
      view.setUint32(at, random(0xffff_ffff), true);
      view.setUint32(at + 4, random(0xffff_ffff), true);
      view.setUint32(at + 8, random(1000), true);
      view.setFloat64(at + 16, random(100_000) / 100, true);
      for (let register = 24; register < 48; register++)
        if (random(10) > 6) bytes[at + register] = random(6);
    }
    return { space: "fold", page, bytes };
  });
}

function checkpointLines(folder: string, pageCount: number): BenchLine[] {
  const path = join(folder, "state.db");
  const pages = statePages(pageCount);
  const ids = new Uint8Array((pageCount * 65_536) >> 5).fill(1);
  const bytes = pages.length * 65_536;
  const store = openCheckpointStore(path, new DiskFiles(), "bench");
  const saveSeconds = timed(() =>
    store.save({
      ...NO_CHANGE,
      pages,
      segments: Array.from({ length: 8 }, (_, at) => ({
        stream: "clicks",
        newestReceivedAtUs: at,
        bytes: ids,
      })),
    }),
  );
  store.close();
  let loadedBytes = 0;
  const memory = new Uint8Array(65_536);
  const loadSeconds = timed(() => {
    const again = openCheckpointStore(path, new DiskFiles(), "bench");
    const { pages: loaded, segments } = again.load();
    for (const page of loaded) {
      memory.set(page.bytes);
      loadedBytes += page.bytes.length;
    }
    for (const segment of segments) loadedBytes += segment.bytes.length;
    again.close();
  });
  const line = (stage: string, seconds: number, byteCount: number): BenchLine => ({
    stage,
    rate: byteCount / seconds / MB,
    unit: "MB/s",
  });
  return [
    line("checkpoint.save 64 KB pages", saveSeconds, bytes + (bytes >> 2)),
    line("checkpoint.load", loadSeconds, loadedBytes),
  ];
}

/** All lines of this room. `small`: a fraction of a second, for tests. */
export async function run(options: { readonly small: boolean }): Promise<BenchLine[]> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-bench-log-"));
  try {
    const images = Array.from({ length: options.small ? 4 : 32 }, (_, at) => clickImage(at, ROWS));
    const big = Array.from({ length: options.small ? 32 : 2400 }, (_, at) => {
      const image = images[at % images.length] ?? new Uint8Array(0);
      return encodeRecord(clickRecord(at + 1, ROWS, image));
    });
    const smallImage = clickImage(1, 1);
    const single = Array.from({ length: options.small ? 50 : 4000 }, (_, at) =>
      encodeRecord(clickRecord(at + 1, 1, smallImage)),
    );
    const lines = [
      ...encodeLines(images, options.small ? 1 : 20),
      appendLine(folder, big, { perCommit: 8, rows: ROWS }),
      readLine(folder),
      appendLine(folder, big.slice(0, 600), { perCommit: 1, rows: ROWS }),
      appendLine(folder, single, { perCommit: 1, rows: 1 }),
      ...checkpointLines(folder, options.small ? 16 : 4800),
    ];
    const payloadBytes = big.reduce((sum, record) => sum + bytesOf(record), 0);
    return [
      ...lines,
      {
        stage: "log.bytes per event, stored",
        rate: payloadBytes / (big.length * ROWS),
        unit: "bytes/event",
      },
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
