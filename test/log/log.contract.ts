// The contract of the log's ports, run by every adapter. Owns no adapter.
import { describe, expect, test } from "bun:test";
import { decodeHead, encodeRecord } from "../../src/log/codec.ts";
import type { LogReader, LogWriter } from "../../src/log/log.ts";
import { LogTrimmedError } from "../../src/log/log.ts";
import { eventsRecord, recordAt } from "./records.ts";

/** A log under test: one writer at a time, any number of readers; what was appended outlives them. */
export interface LogUnderTest {
  openWriter(): LogWriter;
  openReader(): LogReader;
}

const MB = 1024 * 1024;

function appendTo(writer: LogWriter, last: number, perCommit = 3): void {
  for (let at = writer.lastPosition + 1; at <= last; at += perCommit) {
    const positions = Array.from({ length: Math.min(perCommit, last - at + 1) }, (_, i) => at + i);
    writer.append(positions.map((position) => encodeRecord(recordAt(position))));
  }
}

/** Registers the tests of the ports for one adapter. */
export function logContract(
  adapter: string,
  make: (options: { fileSizeBytes: number; sizeMaxBytes: number }) => LogUnderTest,
): void {
  describe(`log: ${adapter}`, () => {
    test("an empty log", () => {
      const log = make({ fileSizeBytes: MB, sizeMaxBytes: 64 * MB });
      const writer = log.openWriter();
      const reader = log.openReader();
      expect([writer.firstPosition, writer.lastPosition, writer.lastReceivedAtUs]).toEqual([
        1, 0, 0,
      ]);
      expect(reader.bounds()).toEqual({ first: 1, last: 0 });
      expect(reader.read(1, MB)).toEqual([]);
      expect(reader.heads(1, 10)).toEqual([]);
      writer.append([]);
      expect(writer.lastPosition).toBe(0);
      reader.close();
      writer.close();
    });

    test("records come back equal and in order, over rolls, to readers opened before and after", () => {
      const log = make({ fileSizeBytes: 100_000, sizeMaxBytes: 64 * MB });
      const writer = log.openWriter();
      const before = log.openReader();
      expect(before.read(1, MB)).toEqual([]);
      appendTo(writer, 200);
      const after = log.openReader();
      for (const reader of [before, after]) {
        expect(reader.bounds()).toEqual({ first: 1, last: 200 });
        let next = 1;
        while (next <= 200)
          for (const record of reader.read(next, 3000)) expect(record).toEqual(recordAt(next++));
        expect(reader.read(201, MB)).toEqual([]);
        expect(reader.read(150, 64 * MB).map((record) => record.position)).toEqual(
          Array.from({ length: 51 }, (_, at) => 150 + at),
        );
      }
      appendTo(writer, 203);
      expect(before.read(201, MB).map((record) => record.position)).toEqual([201, 202, 203]);
      before.close();
      after.close();
      writer.close();
    });

    test("a reader that rested while files were rolled reads on anywhere", () => {
      const log = make({ fileSizeBytes: 20_000, sizeMaxBytes: 64 * MB });
      const writer = log.openWriter();
      const [reads, heads] = [log.openReader(), log.openReader()];
      appendTo(writer, 10);
      expect(reads.read(10, 1).length).toBe(1);
      expect(heads.heads(10, 1).length).toBe(1);
      appendTo(writer, 300);
      writer.trim(200);
      expect(reads.read(250, 1)).toEqual([recordAt(250)]);
      expect(heads.heads(290, 80).length).toBe(11);
      expect(() => reads.read(2, 1)).toThrow(LogTrimmedError);
      for (const reader of [reads, heads]) reader.close();
      writer.close();
    });

    test("a read is bounded by decoded bytes, and gives at least one record", () => {
      const log = make({ fileSizeBytes: MB, sizeMaxBytes: 64 * MB });
      const writer = log.openWriter();
      writer.append(
        [1, 2, 3, 4, 5].map((position) => encodeRecord(eventsRecord(position, 10_000))),
      );
      const reader = log.openReader();
      expect(reader.read(1, 1).length).toBe(1);
      expect(reader.read(2, 25_000).map((record) => record.position)).toEqual([2, 3]);
      expect(reader.read(4, 25_000).map((record) => record.position)).toEqual([4, 5]);
      reader.close();
      writer.close();
    });

    test("heads tell streams and counts", () => {
      const log = make({ fileSizeBytes: 20_000, sizeMaxBytes: 64 * MB });
      const writer = log.openWriter();
      appendTo(writer, 100);
      const reader = log.openReader();
      const heads = reader.heads(7, 80);
      expect(heads.length).toBe(80);
      for (const [at, head] of heads.entries())
        expect(head).toEqual(decodeHead(7 + at, encodeRecord(recordAt(7 + at)).header));
      expect(reader.heads(95, 80).length).toBe(6);
      reader.close();
      writer.close();
    });

    test("a reopened log continues", () => {
      const log = make({ fileSizeBytes: 50_000, sizeMaxBytes: 64 * MB });
      const first = log.openWriter();
      appendTo(first, 50);
      first.close();
      const second = log.openWriter();
      expect(second.lastPosition).toBe(50);
      expect(second.lastReceivedAtUs).toBe(recordAt(50).receivedAtUs);
      appendTo(second, 60);
      const reader = log.openReader();
      expect(reader.read(1, MB).length).toBe(60);
      reader.close();
      second.close();
    });

    test("positions without gaps, times that do not go back: anything else is a programmer error", () => {
      const log = make({ fileSizeBytes: MB, sizeMaxBytes: 64 * MB });
      const writer = log.openWriter();
      appendTo(writer, 3);
      expect(() => writer.append([encodeRecord(recordAt(5))])).toThrow("record 5 follows 3");
      expect(() => writer.append([encodeRecord(recordAt(3))])).toThrow("record 3 follows 3");
      const past = { ...eventsRecord(4), receivedAtUs: 1000 };
      expect(() => writer.append([encodeRecord(past)])).toThrow("received_at of record 4");
      appendTo(writer, 4);
      expect(writer.lastPosition).toBe(4);
      writer.close();
    });

    test("trim forgets whole files below the position, never what a hold needs, never the newest", () => {
      const log = make({ fileSizeBytes: 30_000, sizeMaxBytes: 64 * MB });
      const writer = log.openWriter();
      appendTo(writer, 400);
      const sizeBytes = writer.sizeBytes();
      const reader = log.openReader();
      const hold = writer.hold(100);
      writer.trim(300);
      expect(writer.firstPosition).toBeGreaterThan(1);
      expect(writer.firstPosition).toBeLessThanOrEqual(100);
      expect(reader.read(100, MB)[0]).toEqual(recordAt(100));
      writer.release(hold);
      writer.trim(300);
      expect(writer.firstPosition).toBeGreaterThan(100);
      expect(writer.firstPosition).toBeLessThanOrEqual(300);
      expect(writer.sizeBytes()).toBeLessThan(sizeBytes / 2);
      expect(reader.bounds()).toEqual({ first: writer.firstPosition, last: 400 });
      const fresh = log.openReader();
      expect(() => fresh.read(1, MB)).toThrow(LogTrimmedError);
      expect(() => fresh.heads(writer.firstPosition - 1, 1)).toThrow(LogTrimmedError);
      expect(fresh.read(writer.firstPosition, MB)[0]).toEqual(recordAt(writer.firstPosition));
      writer.trim(1_000_000);
      expect(writer.lastPosition).toBe(400);
      appendTo(writer, 410);
      expect(fresh.read(401, MB).length).toBe(10);
      writer.close();
      const again = log.openWriter();
      expect([again.firstPosition > 300, again.lastPosition]).toEqual([true, 410]);
      for (const open of [reader, fresh, again]) open.close();
    });

    test("room is bounded by size_max", () => {
      const log = make({ fileSizeBytes: MB, sizeMaxBytes: 8 * MB });
      const writer = log.openWriter();
      expect(writer.hasRoom(4 * MB)).toBe(true);
      expect(writer.hasRoom(9 * MB)).toBe(false);
      for (let position = 1; writer.hasRoom(0); position++) {
        expect(position).toBeLessThan(20);
        writer.append([{ ...encodeRecord(recordAt(position)), payload: new Uint8Array(MB) }]);
      }
      expect(writer.sizeBytes()).toBeLessThanOrEqual(10 * MB);
      writer.trim(writer.lastPosition);
      expect(writer.hasRoom(MB)).toBe(true);
      writer.close();
    });
  });
}
