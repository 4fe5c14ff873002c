// DuckDB's read_json and our kernel read the same NDJSON alike: an opinion that we did not write.
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { DuckDb } from "../../src/base/duckdb.ts";
import type { EventSchema } from "../../src/event/schema.ts";
import { Bench, column } from "./harness.ts";

const SCHEMA: EventSchema = {
  id: 1,
  eventTime: 0,
  eventId: null,
  columns: [
    column("t", { kind: "TIMESTAMPTZ" }, { decoding: { kind: "epoch_us" } }),
    column("n", { kind: "BIGINT" }),
    column("i", { kind: "INTEGER" }, { nullable: true }),
    column("ratio", { kind: "DOUBLE" }),
    column("price", { kind: "DECIMAL", precision: 10, scale: 2 }),
    column("flag", { kind: "BOOLEAN" }, { nullable: true }),
    column("note", { kind: "VARCHAR" }, { nullable: true }),
    column("day", { kind: "DATE" }),
  ],
};

const date = fc.date({
  min: new Date("1900-01-01"),
  max: new Date("2200-01-01"),
  noInvalidDate: true,
});
const pad = (value: number, digits = 2): string => String(value).padStart(digits, "0");
/** Times in the forms that producers write. */
const time = fc
  .tuple(date, fc.nat(9), fc.nat(999_999_999), fc.integer({ min: -11, max: 12 }))
  .map(([at, form, nanos, hours]) => {
    const iso = at.toISOString();
    const offset = `${hours < 0 ? "-" : "+"}${pad(Math.abs(hours))}`;
    if (form < 4) return iso;
    if (form === 4) return `${iso.slice(0, 19)}Z`;
    if (form === 5) return iso.slice(0, 19).replace("T", " ");
    if (form === 6) return `${iso.slice(0, 19)}.${pad(nanos, 9)}Z`;
    if (form === 7) return `${iso.slice(0, 19)}.${pad(nanos % 1000, 3)}${offset}`;
    return `${iso.slice(0, 19)}.${pad(nanos % 1_000_000, 6)}${offset}:30`;
  });
const event = fc.record({
  t: time,
  n: fc.maxSafeInteger(),
  i: fc.option(fc.integer()),
  ratio: fc.double({ noNaN: true, noDefaultInfinity: true }),
  price: fc.nat(9_999_999).map((cents) => cents / 100),
  flag: fc.option(fc.boolean()),
  note: fc.option(
    fc.string({ unit: "binary" }).filter((text) => text.isWellFormed() && !text.includes("\0")),
  ),
  day: date.map((at) => at.toISOString().slice(0, 10)),
});

test("the same rows as DuckDB's read_json", async () => {
  const events = fc.sample(event, { numRuns: 2000, seed: 42 });
  const body = Buffer.from(events.map((one) => JSON.stringify(one)).join("\n"));
  const bench = new Bench(SCHEMA, { rowsMax: 4096, imageBytesMax: 4 * 1024 * 1024 });
  const { rows, rejects } = bench.decode(body, "ndjson");
  expect(rejects).toEqual([]);
  expect(rows).toHaveLength(2000);
  const folder = mkdtempSync(join(tmpdir(), "millrace-decode-"));
  const db = await DuckDb.open();
  try {
    writeFileSync(join(folder, "events.ndjson"), body);
    const connection = await db.connect();
    const { rows: expected } = await connection.run(
      `SELECT epoch_us(t)::VARCHAR, n::VARCHAR, i::VARCHAR, ratio, (price * 100)::BIGINT::VARCHAR, flag, note, (day - DATE '1970-01-01')::VARCHAR
       FROM read_json('${folder}/events.ndjson', format = 'newline_delimited', columns = {t: 'TIMESTAMPTZ', n: 'BIGINT', i: 'INTEGER',
       ratio: 'DOUBLE', price: 'DECIMAL(10,2)', flag: 'BOOLEAN', note: 'VARCHAR', day: 'DATE'})`,
    );
    const texts = new Set([0, 1, 2, 4, 7]);
    const ours = rows.map((row) =>
      row
        .slice(0, -1)
        .map((value, at) => (texts.has(at) && value !== null ? String(value) : value)),
    );
    expect(ours).toEqual(expected.map((row) => [...row] as (typeof ours)[number]));
    connection.close();
  } finally {
    db.close();
    rmSync(folder, { recursive: true });
  }
});
