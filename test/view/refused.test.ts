// Texts that are refused, each with all its faults: refused.txt has a text (`@` stands for FROM tumble(...)), then a line
// `=> line:column message | advice` for each fault, then an empty line.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ViewParser } from "../../src/view/parse.ts";
import { faultsOf } from "./fixture.ts";

const FROM = "FROM tumble(clicks, event_time, INTERVAL 1 MINUTE)";
const REFUSED = readFileSync(new URL("refused.txt", import.meta.url), "utf8")
  .trimEnd()
  .split("\n\n")
  .map((block): [string, string[]] => {
    const [text = "", ...faults] = block.split("\n=> ");
    return [text, faults];
  });
let parser: ViewParser;

beforeAll(async () => {
  parser = await ViewParser.open();
});
afterAll(() => parser.close());

test.each(REFUSED)("%s", async (text, faults) => {
  expect(faults.length).toBeGreaterThan(0);
  expect(await faultsOf(parser, text.replace("@", FROM))).toEqual(faults);
});

test("an empty text is refused", async () => {
  expect(await faultsOf(parser, " -- nothing")).toEqual(["1:1 there is no statement | "]);
});

test("a text of more than 64 KiB is refused", async () => {
  const faults = await faultsOf(parser, `SELECT 1 -- ${"x".repeat(65_536)}`);
  expect(faults).toEqual(["1:1 the text is longer than 65536 bytes | write less"]);
});

test("a very deep expression is refused or planned, and the next text is unharmed", async () => {
  const parentheses = `${"(".repeat(5000)}i${")".repeat(5000)}`;
  const sums = `i${" + i".repeat(3000)}`;
  const nots = `${"NOT ".repeat(3000)}b`;
  for (const x of [parentheses, sums, nots]) {
    const text = `SELECT window_start, ${x} AS x, count(*) AS n ${FROM} GROUP BY ALL`;
    expect((await faultsOf(parser, text)).length).toBeLessThan(2);
  }
  const plain = `SELECT window_start, count(*) AS n ${FROM} GROUP BY ALL`;
  expect(await faultsOf(parser, plain)).toEqual([]);
});
