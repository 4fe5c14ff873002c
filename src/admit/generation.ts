// A generation: ids of one stream that were accepted one after the other, sealed in a file that is written once and dropped whole. Owns
// the file's format, both ways. Version 1:
//
//   entries   16 bytes each, as in a segment (u64 and u32 of the hash, u32 received_at in ms modulo 2^32), by bucket: 2^n buckets chosen
//             by the first n bits of the hash, 128 to 256 entries each on average; n is 4 at least
//   filter    blocks of 64 bytes: id-filter.ts
//   index     a bucket each: u32 number of entries up to its end, u32 xxHash32 of its entries
//   name      the stream's, UTF-8
//   trailer   64 bytes: u32 magic "MRGN", u32 version, u64 XXH3 of what follows in the trailer, f64 entries, f64 ms of the oldest and of the
//             newest entry, u32 blocks, u32 n, u32 bytes of the name, u32 XXH32 of index and name, u64 XXH3 of the filter
import { assert } from "../base/assert.ts";
import type { Step } from "../base/failpoints.ts";
import type { FileReader, Files, FileWriter } from "../base/files.ts";
import { addToFilter, FILTER_BLOCK_BYTES, filterBlocks } from "./id-filter.ts";

const MAGIC = 0x4e47524d;
const VERSION = 1;
const TRAILER_BYTES = 64;
const CHECKED_FROM = 16;
export const ENTRY_BYTES = 16;
const ENTRY_WORDS = 4;
const INDEX_BYTES = 8;
/** A bucket has at most this many entries on average: 4 KB are read to look an id up. */
const BUCKET_ENTRIES = 256;
/** Even the smallest generation has 2^4 buckets: it is written in so many parts. */
export const BUCKET_BITS_MIN = 4;

/** The file is not a generation that this release can read: foreign, damaged, or of another version. Says which file. */
export class GenerationError extends Error {
  override readonly name = "GenerationError";
}

/** What a checkpoint says of a generation. Times are received_at in ms. */
export interface GenerationInfo {
  /** Name in the folder of generations. */
  readonly file: string;
  readonly stream: string;
  readonly ids: number;
  readonly bytes: number;
  readonly oldestMs: number;
  readonly newestMs: number;
}

/** A generation with what a lookup needs in memory: shared, so that who wrote it hands it over. */
export interface GenerationParts {
  readonly info: GenerationInfo;
  readonly filter: SharedArrayBuffer;
  readonly index: SharedArrayBuffer;
}

/** Bits of the hash that choose a bucket of a generation of `ids` ids. */
export function bucketBits(ids: number): number {
  return Math.max(BUCKET_BITS_MIN, Math.ceil(Math.log2(Math.max(ids, 1) / BUCKET_ENTRIES)));
}

/** Number of the bucket of an id whose highest hash word is `w1`. */
export function bucketOf(w1: number, bits: number): number {
  return w1 >>> (32 - bits);
}

/** Where a part of a file's content lies, from what its trailer says. */
function layout(
  ids: number,
  blocks: number,
  bits: number,
): { filterAt: number; indexAt: number; nameAt: number } {
  const filterAt = ids * ENTRY_BYTES;
  const indexAt = filterAt + blocks * FILTER_BLOCK_BYTES;
  return { filterAt, indexAt, nameAt: indexAt + INDEX_BYTES * 2 ** bits };
}

/** Writes a generation, a range of buckets after the other. */
export class GenerationWriter {
  readonly #file: FileWriter;
  readonly #info: Omit<GenerationInfo, "bytes">;
  readonly #bits: number;
  readonly #filter: Uint32Array<SharedArrayBuffer>;
  readonly #index: Uint32Array<SharedArrayBuffer>;
  #nextBucket = 0;
  #ids = 0;

  /** `info.ids`: exactly as many as will be added. */
  constructor(file: FileWriter, info: Omit<GenerationInfo, "bytes">) {
    this.#file = file;
    this.#info = info;
    this.#bits = bucketBits(info.ids);
    const blocks = filterBlocks(info.ids);
    this.#filter = new Uint32Array(new SharedArrayBuffer(blocks * FILTER_BLOCK_BYTES));
    this.#index = new Uint32Array(new SharedArrayBuffer(INDEX_BYTES * 2 ** this.#bits));
  }

  get buckets(): number {
    return 2 ** this.#bits;
  }

  /** Adds the entries of the next `buckets` buckets, in any order within them. Four words an entry. */
  add(buckets: number, entries: Uint32Array): void {
    const first = this.#nextBucket;
    const ends = new Uint32Array(buckets + 1);
    for (let at = 0; at < entries.length; at += ENTRY_WORDS) {
      const bucket = bucketOf(entries[at + 1] ?? 0, this.#bits) - first;
      assert(bucket >= 0 && bucket < buckets, "an entry lies in its range of buckets");
      ends[bucket + 1] = (ends[bucket + 1] ?? 0) + 1;
    }
    for (let bucket = 0; bucket < buckets; bucket++)
      ends[bucket + 1] = (ends[bucket + 1] ?? 0) + (ends[bucket] ?? 0);
    const sorted = new Uint32Array(entries.length);
    const places = ends.slice(0, buckets);
    for (let at = 0; at < entries.length; at += ENTRY_WORDS) {
      const bucket = bucketOf(entries[at + 1] ?? 0, this.#bits) - first;
      const place = places[bucket] ?? 0;
      places[bucket] = place + 1;
      for (let word = 0; word < ENTRY_WORDS; word++)
        sorted[ENTRY_WORDS * place + word] = entries[at + word] ?? 0;
    }
    this.#finishBuckets(sorted, ends);
  }

  #finishBuckets(sorted: Uint32Array, ends: Uint32Array): void {
    for (let at = 0; at < sorted.length; at += ENTRY_WORDS)
      addToFilter(this.#filter, sorted[at] ?? 0, sorted[at + 1] ?? 0, sorted[at + 2] ?? 0);
    const bytes = bytesOf(sorted);
    for (let bucket = 0; bucket + 1 < ends.length; bucket++) {
      const from = ends[bucket] ?? 0;
      const to = ends[bucket + 1] ?? 0;
      const slot = 2 * (this.#nextBucket + bucket);
      this.#index[slot] = this.#ids + to;
      this.#index[slot + 1] = Bun.hash.xxHash32(
        bytes.subarray(from * ENTRY_BYTES, to * ENTRY_BYTES),
      );
    }
    this.#nextBucket += ends.length - 1;
    this.#ids += sorted.length / ENTRY_WORDS;
    this.#file.write(bytes);
  }

  /** Ends the file and syncs it. */
  finish(step: Step): GenerationParts {
    assert(this.#nextBucket === this.buckets, "every bucket was added");
    assert(this.#ids === this.#info.ids, "as many ids as were announced");
    const name = new TextEncoder().encode(this.#info.stream);
    const filter = bytesOf(this.#filter);
    const index = bytesOf(this.#index);
    const trailer = new Uint8Array(TRAILER_BYTES);
    const view = new DataView(trailer.buffer);
    view.setFloat64(16, this.#ids, true);
    view.setFloat64(24, this.#info.oldestMs, true);
    view.setFloat64(32, this.#info.newestMs, true);
    view.setUint32(40, filter.length / FILTER_BLOCK_BYTES, true);
    view.setUint32(44, this.#bits, true);
    view.setUint32(48, name.length, true);
    view.setUint32(52, indexHash(index, name), true);
    view.setBigUint64(56, Bun.hash.xxHash3(filter), true);
    view.setUint32(0, MAGIC, true);
    view.setUint32(4, VERSION, true);
    view.setBigUint64(8, Bun.hash.xxHash3(trailer.subarray(CHECKED_FROM)), true);
    for (const part of [filter, index, name, trailer]) this.#file.write(part);
    const bytes = this.#file.finish(step);
    return {
      info: { ...this.#info, bytes },
      filter: this.#filter.buffer,
      index: this.#index.buffer,
    };
  }
}

/** An open generation. */
export class Generation {
  readonly info: GenerationInfo;
  readonly filter: Uint32Array;
  readonly #index: Uint32Array;
  readonly #bits: number;
  readonly #reader: FileReader;

  constructor(parts: GenerationParts, reader: FileReader) {
    this.info = parts.info;
    this.filter = new Uint32Array(parts.filter);
    this.#index = new Uint32Array(parts.index);
    this.#bits = Math.log2(parts.index.byteLength / INDEX_BYTES);
    this.#reader = reader;
  }

  /** Bits of the hash that choose a bucket. */
  get bits(): number {
    return this.#bits;
  }

  /** The entries of buckets [first, end), four words each, in the buckets' order. Throws GenerationError when one is damaged. */
  read(first: number, end: number): Uint32Array {
    const from = this.#endOf(first - 1);
    const entries = new Uint32Array((this.#endOf(end - 1) - from) * ENTRY_WORDS);
    const bytes = bytesOf(entries);
    this.#reader.read(from * ENTRY_BYTES, bytes);
    for (let bucket = first; bucket < end; bucket++) {
      const start = (this.#endOf(bucket - 1) - from) * ENTRY_BYTES;
      const stop = (this.#endOf(bucket) - from) * ENTRY_BYTES;
      if (Bun.hash.xxHash32(bytes.subarray(start, stop)) !== this.#index[2 * bucket + 1])
        throw damaged(this.info.file, `bucket ${bucket} has a wrong checksum`);
    }
    return entries;
  }

  #endOf(bucket: number): number {
    return bucket < 0 ? 0 : (this.#index[2 * bucket] ?? 0);
  }

  close(): void {
    this.#reader.close();
  }
}

/**
 * Opens a generation in `folder` and checks all that it reads; entries are checked as they are read. `filter`: "none" leaves the filter
 * away, for who only merges it. Throws GenerationError.
 */
export function openGeneration(
  files: Files,
  folder: string,
  info: GenerationInfo,
  filter: "filter" | "none" = "filter",
): Generation {
  const path = `${folder}/${info.file}`;
  if (!files.exists(path)) throw damaged(info.file, "it is not there");
  const reader = files.open(path);
  try {
    return new Generation(readParts(reader, info, filter), reader);
  } catch (error) {
    reader.close();
    throw error;
  }
}

function readParts(
  reader: FileReader,
  info: GenerationInfo,
  wanted: "filter" | "none",
): GenerationParts {
  const { file } = info;
  const trailerAt = reader.sizeBytes - TRAILER_BYTES;
  if (reader.sizeBytes !== info.bytes || trailerAt < 0)
    throw damaged(file, `it has ${reader.sizeBytes} bytes, not ${info.bytes}`);
  const trailer = new Uint8Array(TRAILER_BYTES);
  reader.read(trailerAt, trailer);
  const view = new DataView(trailer.buffer);
  if (view.getUint32(0, true) !== MAGIC) throw damaged(file, "it is not one of Millrace");
  const version = view.getUint32(4, true);
  if (version !== VERSION)
    throw damaged(file, `it has version ${version}, this release reads version ${VERSION}`);
  if (view.getBigUint64(8, true) !== Bun.hash.xxHash3(trailer.subarray(CHECKED_FROM)))
    throw damaged(file, "its trailer has a wrong checksum");
  const ids = view.getFloat64(16, true);
  const blocks = view.getUint32(40, true);
  const bits = view.getUint32(44, true);
  const at = layout(ids, blocks, bits);
  const filter = new SharedArrayBuffer(wanted === "none" ? 0 : blocks * FILTER_BLOCK_BYTES);
  const index = new SharedArrayBuffer(INDEX_BYTES * 2 ** bits);
  const name = new Uint8Array(view.getUint32(48, true));
  reader.read(at.filterAt, new Uint8Array(filter));
  reader.read(at.indexAt, new Uint8Array(index));
  reader.read(at.nameAt, name);
  if (view.getUint32(52, true) !== indexHash(new Uint8Array(index), name))
    throw damaged(file, "its index has a wrong checksum");
  if (
    wanted === "filter" &&
    view.getBigUint64(56, true) !== Bun.hash.xxHash3(new Uint8Array(filter))
  )
    throw damaged(file, "its filter has a wrong checksum");
  if (new TextDecoder().decode(name) !== info.stream || ids !== info.ids)
    throw damaged(file, "the checkpoint says something else of it");
  return { info, filter, index };
}

function indexHash(index: Uint8Array, name: Uint8Array): number {
  return Bun.hash.xxHash32(name, Bun.hash.xxHash32(index));
}

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

function damaged(file: string, what: string): GenerationError {
  return new GenerationError(
    `the file ${file} of sealed event ids cannot be used: ${what}. Copy the data folder aside, check the disk, and restore the folder from ` +
      "a backup",
  );
}
