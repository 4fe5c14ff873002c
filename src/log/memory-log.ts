// Adapter of the log in memory, for tests and the simulator. Owns the encoded records, so that what is read went through the codec;
// keeps the port's promises (order, whole files, holds, bounds) without a disk.
import { assert } from "../base/assert.ts";
import { decodeHead, decodeRecord, type RecordHead } from "./codec.ts";
import { LogTrimmedError, type EncodedRecord, type LogReader, type LogWriter } from "./log.ts";
import type { LogRecord } from "./record.ts";

/** A log in memory: open writers and readers on it. What was appended outlives them, as on a disk. */
export class MemoryLog {
  readonly #fileSizeBytes: number;
  readonly #sizeMaxBytes: number;
  #records: EncodedRecord[] = [];
  #first = 1;
  /** First positions of the "files" that `trim` may forget whole, ascending; the newest last. */
  #files: { first: number; bytes: number }[] = [{ first: 1, bytes: 0 }];

  constructor(options: { readonly fileSizeBytes: number; readonly sizeMaxBytes: number }) {
    this.#fileSizeBytes = options.fileSizeBytes;
    this.#sizeMaxBytes = options.sizeMaxBytes;
  }

  get first(): number {
    return this.#first;
  }

  get last(): number {
    return this.#first + this.#records.length - 1;
  }

  get lastReceivedAtUs(): number {
    return this.#records.at(-1)?.receivedAtUs ?? 0;
  }

  openWriter(): LogWriter {
    return new MemoryLogWriter(this);
  }

  openReader(): LogReader {
    return {
      read: (position, bytesMax) => this.#read(position, bytesMax),
      heads: (position, countMax) => this.#heads(position, countMax),
      bounds: () => ({ first: this.first, last: this.last }),
      close: () => undefined,
    };
  }

  append(records: readonly EncodedRecord[]): void {
    let position = this.last;
    let receivedAtUs = this.lastReceivedAtUs;
    for (const record of records) {
      assert(record.position === position + 1, `record ${record.position} follows ${position}`);
      assert(record.receivedAtUs >= receivedAtUs, `received_at of record ${record.position} grows`);
      position = record.position;
      receivedAtUs = record.receivedAtUs;
    }
    const file = this.#newestFile();
    for (const record of records) {
      file.bytes += record.header.length + record.payload.length;
      this.#records.push(record);
    }
  }

  /** Forgets whole files below `position`. */
  trim(position: number): void {
    for (;;) {
      const next = this.#files[1];
      if (next === undefined || next.first > position) return;
      this.#records = this.#records.slice(next.first - this.#first);
      this.#first = next.first;
      this.#files.shift();
    }
  }

  sizeBytes(): number {
    return this.#files.reduce((sum, file) => sum + file.bytes, 0);
  }

  hasRoom(payloadBytes: number): boolean {
    return this.sizeBytes() + payloadBytes <= this.#sizeMaxBytes;
  }

  #newestFile(): { first: number; bytes: number } {
    const newest = this.#files.at(-1);
    if (newest !== undefined && newest.bytes < this.#fileSizeBytes) return newest;
    const file = { first: this.last + 1, bytes: 0 };
    this.#files.push(file);
    return file;
  }

  #from(position: number): EncodedRecord[] {
    assert(position >= 1, `positions begin at 1, not at ${position}`);
    if (position < this.#first) throw new LogTrimmedError(position, this.#first);
    return this.#records.slice(position - this.#first);
  }

  #heads(position: number, countMax: number): RecordHead[] {
    return this.#from(position)
      .slice(0, countMax)
      .map((record) => decodeHead(record.position, record.header));
  }

  #read(position: number, bytesMax: number): LogRecord[] {
    const records: LogRecord[] = [];
    let bytes = 0;
    for (const encoded of this.#from(position)) {
      bytes += decodeHead(encoded.position, encoded.header).decodedBytes;
      if (bytes > bytesMax && records.length > 0) break;
      records.push(decodeRecord(encoded));
    }
    return records;
  }
}

class MemoryLogWriter implements LogWriter {
  readonly #log: MemoryLog;
  readonly #holds = new Map<number, number>();
  #nextHold = 1;

  constructor(log: MemoryLog) {
    this.#log = log;
  }

  get lastPosition(): number {
    return this.#log.last;
  }

  get firstPosition(): number {
    return this.#log.first;
  }

  get lastReceivedAtUs(): number {
    return this.#log.lastReceivedAtUs;
  }

  append(records: readonly EncodedRecord[]): void {
    this.#log.append(records);
  }

  trim(position: number): void {
    this.#log.trim(Math.min(position, ...this.#holds.values()));
  }

  hold(position: number): number {
    const hold = this.#nextHold++;
    this.#holds.set(hold, position);
    return hold;
  }

  release(hold: number): void {
    assert(this.#holds.delete(hold), `hold ${hold} of the log exists`);
  }

  sizeBytes(): number {
    return this.#log.sizeBytes();
  }

  hasRoom(payloadBytes: number): boolean {
    return this.#log.hasRoom(payloadBytes);
  }

  close(): void {
    this.#holds.clear();
  }
}
