// A text constant is the text, for DuckDB: whatever a key of an event holds.
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { quoteText } from "../../src/view/render.ts";

let db: DuckDb;
let duckdb: DuckConnection;

beforeAll(async () => {
  db = await DuckDb.open({ threads: "1" });
  duckdb = await db.connect();
});
afterAll(() => {
  duckdb.close();
  db.close();
});

const part = fc.oneof(
  fc.constantFrom("\0", "'", "\\", " || chr(0) || ", "👍"),
  fc.string({ unit: "grapheme" }),
);
const text = fc.array(part, { maxLength: 6 }).map((parts) => parts.join(""));

test("texts with quotes and NUL characters are themselves", async () => {
  await fc.assert(
    fc.asyncProperty(text, async (given) => {
      const { rows } = await duckdb.run(`SELECT ${quoteText(given)}`);
      expect(rows).toEqual([[given]]);
    }),
  );
});
