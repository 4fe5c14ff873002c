import { expect, test } from "bun:test";
import fc from "fast-check";
import { editDistance, similar } from "../../src/base/similar.ts";
import { parseValue } from "../../src/config/values.ts";
import type { ValueType } from "../../src/config.ts";

function valueOf(type: ValueType, text: string): unknown {
  const parsed = parseValue({ type, default: null, zero: true, description: "" }, text);
  return parsed.ok ? parsed.value : `${parsed.problem}; ${parsed.instead}`;
}

test.each<[ValueType, string, unknown]>([
  ["duration", "250us", 250],
  ["duration", "500ms", 500_000],
  ["duration", "10 s", 10_000_000],
  ["duration", "7d", 7 * 86_400_000_000],
  ["duration", "0s", 0],
  ["duration", "1.5h", '"1.5h" is not a duration; write for example 500ms, 10s, 5m or 24h'],
  ["duration", "5x", '"x" is not a unit; units are us, ms, s, m, h, d'],
  ["duration", "999999999d", '"999999999d" is too large; write for example 500ms, 10s, 5m or 24h'],
  ["size", "64MB", 64 * 1024 ** 2],
  ["size", "1tb", 1024 ** 4],
  ["size", "64", '"64" has no unit; write 64MB, 64GB, 64TB'],
  ["count", "24_000_000", 24_000_000],
  ["count", "1e6", '"1e6" is not a whole number; write digits only, for example 1000000'],
  ["switch", "off", false],
  ["address", "localhost:0", { host: "localhost", port: 0 }],
  ["address", "[::]:80", { host: "::", port: 80 }],
  ["address", "h:65536", '"h:65536" is not HOST:PORT; write for example 127.0.0.1:8080'],
  ["address", "::1:80", '"::1:80" is not HOST:PORT; write for example 127.0.0.1:8080'],
  ["text", " ", "it is empty; write a value or leave the key out"],
])("%s %p", (type, text, expected) => {
  expect(valueOf(type, text)).toEqual(expected);
});

test("bounds are told", () => {
  const key = {
    type: "duration",
    default: null,
    least: "100ms",
    most: "1h",
    description: "",
  } as const;
  expect(parseValue(key, "100ms")).toEqual({ ok: true, value: 100_000 });
  expect(parseValue(key, "60m")).toEqual({ ok: true, value: 3_600_000_000 });
  const little = { ok: false, problem: '"99ms" is too little', instead: "write 100ms or more" };
  expect(parseValue(key, "99ms")).toEqual(little as ReturnType<typeof parseValue>);
  const much = { ok: false, problem: '"2h" is too much', instead: "write 1h at most" };
  expect(parseValue(key, "2h")).toEqual(much as ReturnType<typeof parseValue>);
});

test("zero is refused where it makes no sense", () => {
  const parsed = parseValue({ type: "duration", default: null, description: "" }, "0s");
  expect(parsed).toEqual({ ok: false, problem: '"0s" is zero', instead: "write more than 0" });
});

test("editDistance is a metric and 1 for every single edit", () => {
  const word = fc.stringMatching(/^[a-c]{0,8}$/);
  fc.assert(
    fc.property(word, word, fc.nat(8), (a, b, at) => {
      expect(editDistance(a, b)).toBe(editDistance(b, a));
      expect(editDistance(a, a)).toBe(0);
      expect(editDistance(a, `${a.slice(0, at)}x${a.slice(at)}`)).toBe(1);
      expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
    }),
  );
  expect(editDistance("listne", "listen")).toBe(1);
});

test("similar gives nothing for a word that nobody meant", () => {
  expect(similar("event_tme", ["event_time", "event_id"])).toBe("event_time");
  expect(similar("kafka", ["event_time", "event_id"])).toBeNull();
});
