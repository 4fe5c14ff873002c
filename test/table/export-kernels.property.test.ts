// The export kernels agree with their plain twins, byte for byte.
import { beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import * as bounds from "../../kernels/reference/parquet-bounds.ts";
import * as levels from "../../kernels/reference/parquet-levels.ts";
import * as text from "../../kernels/reference/parquet-text.ts";
import * as values from "../../kernels/reference/parquet-values.ts";
import type { ExportRoom } from "../../src/table/room.ts";
import { exportRoom } from "./fixture.ts";

let room: ExportRoom;
beforeAll(async () => {
  room = await exportRoom();
  // addresses of the scratch buffers stay the same during the tests
  for (const buffer of [room.arena, room.page, room.codes, room.entryMap]) buffer.atLeast(1 << 20);
});

const put = (address: number, bytes: Uint8Array | readonly number[]): number => {
  room.bytes(address, bytes.length).set(bytes);
  return address;
};
const put32 = (address: number, numbers: readonly number[]): number =>
  put(address, Buffer.from(Uint32Array.from(numbers).buffer));
const got = (address: number, length: number): number[] => [...room.bytes(address, length)];
const got32 = (address: number, count: number): number[] => [
  ...new Uint32Array(room.bytes(address, count * 4).slice().buffer),
];

/** Rows of a column of `length` values: a list of ordinals and a part of it, or a range. */
function rowsOf(length: number) {
  const list = fc.array(fc.nat(Math.max(0, length - 1)), { maxLength: length === 0 ? 0 : 80 });
  return fc.oneof(list, fc.constant(null)).chain((rows) =>
    fc.tuple(fc.nat(), fc.nat()).map(([a, b]) => {
      const size = rows === null ? length : rows.length;
      const from = a % (size + 1);
      return { rows, from, count: b % (size - from + 1) };
    }),
  );
}
const withRows = <T>(items: fc.Arbitrary<T[]>) =>
  items.chain((all) => rowsOf(all.length).map((meant) => ({ all, ...meant })));

/** Writes the row ordinals, if any, and returns their address. */
const putRows = (rows: readonly number[] | null): number =>
  rows === null ? 0 : put32(room.selection.atLeast(1 << 16), rows);

const strings = fc.array(
  fc.oneof(fc.constantFrom("", "a", "same", "é"), fc.string({ unit: "binary" })),
  {
    maxLength: 60,
  },
);
/** Offsets and text of strings at the arena, as an image has them. */
function putStrings(all: readonly string[]): { offsets: number; text: number } {
  const encoded = all.map((item) => Buffer.from(item, "utf8"));
  let end = 0;
  const offsets = put32(room.arena.atLeast(0), [0, ...encoded.map((item) => (end += item.length))]);
  return { offsets, text: put(offsets + 4096, Buffer.concat(encoded)) };
}

describe("levels", () => {
  test("pickValid, setLevels and encodeLevels", () => {
    const parts = fc.array(
      withRows(fc.array(fc.boolean(), { minLength: 1, maxLength: 70 })).map((part) => part),
      { minLength: 1, maxLength: 5 },
    );
    fc.assert(
      fc.property(parts, fc.infiniteStream(fc.boolean()), (segments, isAllValid) => {
        const bitmap = room.levels.atLeast(4096);
        room.bytes(bitmap, 4096).fill(0xa5);
        const expected: boolean[] = [];
        for (const { all, rows, from, count } of segments) {
          const meant = levels.rowsMeant(rows, from, count);
          if (isAllValid.next().value === true) {
            room.kernels.setLevels(bitmap, expected.length, count);
            expected.push(...meant.map(() => true));
            continue;
          }
          const validity = put(room.arena.atLeast(0), levels.packBits(all));
          const at = putRows(rows);
          const picked = room.picked.atLeast(4096);
          const valid = room.kernels.pickValid(
            validity,
            at,
            from,
            count,
            bitmap,
            expected.length,
            picked,
          );
          const twin = levels.pickValid(all, meant);
          expect(got32(picked, valid)).toEqual(twin.picked);
          expected.push(...twin.levels);
        }
        const valid = expected.filter(Boolean).length;
        const page = room.page.atLeast(0);
        const bytes = room.kernels.encodeLevels(bitmap, expected.length, valid, page);
        expect(got(page, bytes)).toEqual(levels.encodeLevels(expected));
      }),
    );
  });
});

describe("values", () => {
  test("copyFixed4, copyFixed8, copySwapped16", () => {
    fc.assert(
      fc.property(
        withRows(fc.array(fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }))),
        ({ all, rows, from, count }) => {
          const bytes = Buffer.concat(
            all.map((value) => Buffer.from(value.toString(16).padStart(32, "0"), "hex")),
          );
          const at = put(room.arena.atLeast(0), bytes);
          const page = room.page.atLeast(0);
          const meant = levels.rowsMeant(rows, from, count);
          const rowsAt = putRows(rows);
          room.kernels.copyFixed4(at, rowsAt, from, count, page);
          expect(got(page, count * 4)).toEqual(values.copyFixed4(bytes, meant));
          room.kernels.copyFixed8(at, rowsAt, from, count, page);
          expect(got(page, count * 8)).toEqual(values.copyFixed8(bytes, meant));
          room.kernels.copySwapped16(at, rowsAt, from, count, page);
          expect(got(page, count * 16)).toEqual(values.copySwapped16(bytes, meant));
          room.kernels.fillIndex(rowsAt, from, count, page);
          expect(got(page, count * 4)).toEqual(values.fillIndex(meant));
        },
      ),
    );
  });

  test("copyBits appends at any bit; boundsBits", () => {
    fc.assert(
      fc.property(
        withRows(fc.array(fc.boolean())),
        fc.array(fc.boolean(), { maxLength: 20 }),
        ({ all, rows, from, count }, before) => {
          const at = put(room.arena.atLeast(0), levels.packBits(all));
          const page = room.page.atLeast(0);
          room.kernels.fillZero(page, 64);
          put(page, levels.packBits(before));
          room.kernels.copyBits(at, putRows(rows), from, count, page, before.length);
          const expected = [
            ...before,
            ...values.copyBits(all, levels.rowsMeant(rows, from, count)),
          ];
          expect(got(page, Math.ceil(expected.length / 8))).toEqual(levels.packBits(expected));
          room.kernels.boundsBits(page, expected.length, room.results);
          const twin = bounds.boundsBits(expected).map(Number);
          expect(got(room.results, 2)).toEqual(twin);
        },
      ),
    );
  });

  test("daySpan and selectDay", () => {
    const day = 86_400_000_000n;
    const time = fc.oneof(
      fc.bigInt({ min: -3n * day, max: 3n * day }),
      fc.constantFrom(-1n, 0n, day - 1n, day, -day, -day - 1n),
    );
    fc.assert(
      fc.property(fc.array(time, { minLength: 1 }), (times) => {
        const at = put(room.arena.atLeast(0), Buffer.from(BigInt64Array.from(times).buffer));
        room.kernels.daySpan(at, times.length, room.results);
        const span = room.view(room.results, 16);
        const [first, last] = values.daySpan(times);
        expect([span.getBigInt64(0, true), span.getBigInt64(8, true)]).toEqual([first, last]);
        for (let next: bigint | null = first; next !== null;) {
          const twin = values.selectDay(times, next);
          const selection = room.selection.atLeast(0);
          const count = room.kernels.selectDay(at, times.length, next, selection, room.results);
          expect(got32(selection, count)).toEqual(twin.rows);
          const after = room.view(room.results, 8).getBigInt64(0, true);
          expect(after).toBe(twin.next ?? 2n ** 63n - 1n);
          next = twin.next;
        }
      }),
    );
  });
});

describe("text", () => {
  test("copyPlain, plainBytes, boundsText", () => {
    fc.assert(
      fc.property(withRows(strings), ({ all, rows, from, count }) => {
        const { offsets, text: textAt } = putStrings(all);
        const meant = levels.rowsMeant(rows, from, count);
        const rowsAt = putRows(rows);
        const page = room.page.atLeast(0);
        const bytes = room.kernels.copyPlain(offsets, textAt, rowsAt, from, count, page);
        const expected = text.copyPlain(all, meant);
        expect(got(page, bytes)).toEqual(expected);
        expect(room.kernels.plainBytes(offsets, rowsAt, from, count)).toBe(
          text.plainBytes(all, meant),
        );
        if (count === 0) return;
        room.kernels.boundsText(page, count, room.results);
        const found = got32(room.results, 2).map((address) => {
          const length = room.view(address, 4).getUint32(0, true);
          return Buffer.from(room.bytes(address + 4, length)).toString("utf8");
        });
        expect(found).toEqual(bounds.boundsText(meant.map((row) => all[row] ?? "")) ?? []);
      }),
      { numRuns: 300 },
    );
  });

  test("dictionaries: merge, add rows, grow, expand, pack", () => {
    const part = fc.oneof(
      withRows(strings).map((column) => ({ ...column, entries: null })),
      strings
        .filter((all) => all.length > 0)
        .chain((all) => {
          const entries = [...new Set(all)];
          const codes = fc.array(fc.nat(entries.length - 1), { maxLength: 60 });
          return withRows(codes).map((column) => ({ ...column, entries }));
        }),
    );
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), (parts) => {
        let dictionary = room.takeDictionary();
        const twin: text.ReferenceDictionary = new Map();
        for (const column of parts) {
          if (dictionary === null) throw new Error("no dictionary");
          const { rows, from, count } = column;
          const meant = levels.rowsMeant(rows, from, count);
          const rowsAt = putRows(rows);
          const out = room.codes.atLeast(0);
          let expected: number[];
          if (column.entries === null) {
            const { offsets, text: textAt } = putStrings(column.all);
            const { address } = dictionary;
            const added = room.kernels.dictionaryAddRows(
              address,
              offsets,
              textAt,
              rowsAt,
              from,
              count,
              out,
            );
            expect(added).toBe(1);
            expected = text.dictionaryAddRows(twin, column.all, meant);
          } else {
            const { entries, all: codes } = column;
            const { offsets, text: textAt } = putStrings(entries);
            const codesAt = put32(offsets + 65_536, codes);
            const used = room.entryUsed.atLeast(entries.length);
            const map = room.entryMap.atLeast(0);
            room.kernels.markUsed(codesAt, entries.length, rowsAt, from, count, used);
            const { address } = dictionary;
            expect(
              room.kernels.dictionaryMerge(address, offsets, textAt, entries.length, used, map),
            ).toBe(1);
            room.kernels.mapCodes(codesAt, map, rowsAt, from, count, out);
            expected = text.dictionaryMerge(twin, { codes, entries }, meant);
            const page = room.page.atLeast(0);
            const bytes = room.kernels.copyCoded(
              codesAt,
              offsets,
              textAt,
              rowsAt,
              from,
              count,
              page,
            );
            expect(got(page, bytes)).toEqual(text.copyCoded(codes, entries, meant));
            expect(room.kernels.codedBytes(codesAt, offsets, rowsAt, from, count)).toBe(
              text.codedBytes(codes, entries, meant),
            );
          }
          expect(got32(out, count)).toEqual(expected);
          const page = room.page.atLeast(0);
          for (const width of [8, 16, 24]) {
            const bytes = room.kernels.packCodes(out, count, width, page);
            if (twin.size <= 2 ** width)
              expect(got(page, bytes)).toEqual(text.packCodes(expected, width));
          }
          dictionary = room.growDictionary(dictionary);
          if (dictionary?.size === 2) break;
        }
        if (dictionary === null) throw new Error("no dictionary");
        expect(room.dictionaryEntries(dictionary)).toBe(twin.size);
        const { address, bytes } = room.dictionaryText(dictionary);
        const all = [...twin.keys()];
        expect(got(address, bytes)).toEqual(text.copyPlain(all, [...all.keys()]));
        room.giveDictionary(dictionary);
      }),
      { numRuns: 60 },
    );
  });

  test("packCodes at narrow widths", () => {
    const codes = fc
      .constantFrom(1, 2, 4)
      .chain((width) =>
        fc
          .array(fc.nat(2 ** width - 1), { minLength: 1, maxLength: 100 })
          .map((all) => ({ width, all })),
      );
    fc.assert(
      fc.property(codes, ({ width, all }) => {
        const at = put32(room.codes.atLeast(0), all);
        const page = room.page.atLeast(0);
        const bytes = room.kernels.packCodes(at, all.length, width, page);
        expect(got(page, bytes)).toEqual(text.packCodes(all, width));
      }),
    );
  });
});

describe("bounds", () => {
  const page = (bytes: ArrayBufferLike): number => put(room.page.atLeast(0), Buffer.from(bytes));

  test("boundsI32, boundsI64, boundsI128", () => {
    const value = fc.bigInt({ min: -(2n ** 127n), max: 2n ** 127n - 1n });
    fc.assert(
      fc.property(fc.array(value, { minLength: 1 }), (all) => {
        const small = all.map((item) => Number(BigInt.asIntN(32, item)));
        room.kernels.boundsI32(page(Int32Array.from(small).buffer), all.length, room.results);
        const results = room.view(room.results, 16);
        expect([results.getInt32(0, true), results.getInt32(4, true)]).toEqual(
          bounds.boundsI32(small) ?? [],
        );
        const long = all.map((item) => BigInt.asIntN(64, item));
        room.kernels.boundsI64(page(BigInt64Array.from(long).buffer), all.length, room.results);
        expect([results.getBigInt64(0, true), results.getBigInt64(8, true)]).toEqual(
          bounds.boundsI64(long) ?? [],
        );
        const wide = Buffer.alloc(all.length * 16);
        for (const [i, item] of all.entries()) {
          wide.writeBigInt64BE(item >> 64n, i * 16);
          wide.writeBigUInt64BE(BigInt.asUintN(64, item), i * 16 + 8);
        }
        room.kernels.boundsI128(put(room.page.atLeast(0), wide), all.length, room.results);
        const found = got32(room.results, 2).map(
          (at) =>
            (room.view(at, 16).getBigInt64(0, false) << 64n) |
            room.view(at, 16).getBigUint64(8, false),
        );
        expect(found).toEqual(bounds.boundsI128(all) ?? []);
      }),
    );
  });

  test("boundsF32, boundsF64 leave NaN out", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.float(), fc.double()), { minLength: 1 }), (all) => {
        const count = all.length;
        const { kernels, results: to } = room;
        const cases = [
          {
            find: () => kernels.boundsF32(page(Float32Array.from(all).buffer), count, to),
            twin: bounds.boundsF32(all),
          },
          {
            find: () => kernels.boundsF64(page(Float64Array.from(all).buffer), count, to),
            twin: bounds.boundsF64(all),
          },
        ];
        for (const { find, twin } of cases) {
          expect(find()).toBe(twin.nans);
          if (twin.ends === null) continue;
          const results = room.view(room.results, 16);
          // -0 and +0 are equal here: statistics widen both
          expect(results.getFloat64(0, true) === twin.ends[0]).toBe(true);
          expect(results.getFloat64(8, true) === twin.ends[1]).toBe(true);
        }
      }),
    );
  });
});
