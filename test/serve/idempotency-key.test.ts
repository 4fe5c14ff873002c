// Which Idempotency-Key headers are keys, and which spellings are one key (RFC 8941 3.3.3, examples by hand).
import { expect, test } from "bun:test";
import { keyOf } from "../../src/serve/ingest.ts";

test.each([
  ["a", "a"],
  ['"a"', "a"],
  ["8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"],
  ['"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"],
  ['"a\\"b\\\\c"', 'a"b\\c'],
  ['a"b', 'a"b'],
  ["a\\b", "a\\b"],
  ["x".repeat(255), "x".repeat(255)],
  [`"${"x".repeat(255)}"`, "x".repeat(255)],
])("%s is the key %s", (header, key) => {
  expect(keyOf(header)).toBe(key);
});

test("without the header there is none", () => {
  expect(keyOf(null)).toBeNull();
});

test.each([
  ["", "nothing"],
  ['""', "an empty string"],
  ["x".repeat(256), "too long"],
  [`"${"x".repeat(256)}"`, "too long in quotes"],
  ["a b", "a blank"],
  ['"a b"', "a blank in quotes"],
  ["a, b", "two headers in one"],
  ['"a', "an open quote"],
  ['"a"b', "more behind the string"],
  ['"a";x=1', "parameters"],
  ['"a\\n"', "an escape that is none"],
  ["é", "other characters than ASCII"],
  ["a\tb", "a tab"],
])("%p is no key: %s", (header) => {
  expect(keyOf(header)).toMatchObject({
    kind: "refusal",
    status: 400,
    code: "bad_idempotency_key",
  });
});
