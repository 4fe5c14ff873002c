// Times that operators write: what is taken, to the µs, and what is not.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { isoTime, timeUs } from "../../src/base/iso-time.ts";

test("a time is UTC unless it has an offset", () => {
  const day = BigInt(Date.UTC(2019, 9, 1)) * 1000n;
  expect(timeUs("2019-10-01")).toBe(day);
  expect(timeUs("2019-10-01T00:30")).toBe(day + 1_800_000_000n);
  expect(timeUs("2019-10-01 00:00:01.25Z")).toBe(day + 1_250_000n);
  expect(timeUs("2019-10-01T02:00:00.000001+02:00")).toBe(day + 1n);
  expect(timeUs("1969-12-31T23:59:59.999999Z")).toBe(-1n);
});

test("what is no time", () => {
  for (const text of [
    "",
    "1",
    "2019-10",
    "2019-13-01",
    "2019-02-29",
    "2019-10-01T25:00",
    "now",
    "2019-10-01T00:00:00.1234567",
  ])
    expect([text, timeUs(text)]).toEqual([text, null]);
});

test("a time that is written is read as the same", () => {
  fc.assert(
    fc.property(fc.bigInt(-62_135_596_800_000_000n, 253_402_300_799_999_999n), (us) => {
      expect(timeUs(isoTime(us))).toBe(us);
    }),
  );
  expect(isoTime(2n ** 62n)).toBe("4611686018427387904 µs");
});
