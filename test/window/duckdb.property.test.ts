// Random plans over random events against DuckDB running the plan's own SQL over the same rows: exact values are equal, doubles within a
// relative bound (DuckDB adds in another order), approx_count_distinct equals count(DISTINCT) at these sizes.
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { ReferenceFold } from "../../kernels/reference/fold.ts";
import type { Cell } from "../../src/event/image.ts";
import type { SqlType } from "../../src/event/schema.ts";
import { batchText } from "../../src/view/batch.ts";
import { WINDOW_MACROS } from "../../src/view/macros.ts";
import { columnList } from "../../src/view/parse.ts";
import type { Aggregate, ViewPlan } from "../../src/view/plan.ts";
import { decimalText, quoteName, quoteText } from "../../src/view/render.ts";
import {
  BEHIND,
  BIGINT,
  call,
  eventArbitrary,
  IMAGE_COLUMNS,
  windowedPlanArbitrary,
  planOf,
  SCHEMA,
  VARCHAR,
} from "./arbitrary.ts";
import { projectionArbitrary, shownArbitrary } from "./arbitrary-shown.ts";
import { differences, newWindows, outputRows, place, recordOf, type PlacedEvent } from "./drive.ts";

let db: DuckDb;
let duckdb: DuckConnection;

beforeAll(async () => {
  db = await DuckDb.open({ threads: "1" });
  duckdb = await db.connect();
  await duckdb.execute([...WINDOW_MACROS, `CREATE TABLE events (${columnList(SCHEMA)})`]);
});
afterAll(() => {
  duckdb.close();
  db.close();
});

/** A value as a literal of its type. */
function literal(cell: Cell, type: SqlType): string {
  if (cell === null) return "NULL";
  switch (type.kind) {
    case "TIMESTAMPTZ":
      return `make_timestamptz(${cell}::BIGINT)`;
    case "DATE":
      return `(DATE '1970-01-01' + (${cell})::INTEGER)`;
    case "DECIMAL":
      return `'${decimalText(String(cell), type.scale)}'::DECIMAL(${type.precision},${type.scale})`;
    case "VARCHAR":
      return quoteText(String(cell));
    default:
      return `'${Object.is(cell, -0) ? "-0.0" : String(cell)}'::${type.kind}`;
  }
}

/** An output column as a value that compares with a Cell: times and decimals as whole numbers. */
function whole(name: string, type: SqlType): string {
  const quoted = quoteName(name);
  if (type.kind === "TIMESTAMPTZ") return `epoch_us(${quoted})`;
  if (type.kind === "DATE") return `(${quoted} - DATE '1970-01-01')::INTEGER`;
  return type.kind === "DECIMAL" ? `replace(${quoted}::VARCHAR, '.', '')` : quoted;
}

async function batchRows(plan: ViewPlan, events: readonly PlacedEvent[]): Promise<Cell[][]> {
  const rows = events.map(({ cells, receivedAtUs, position, index }) => {
    const literals = cells.map((cell, at) =>
      literal(cell, IMAGE_COLUMNS[at]?.type ?? { kind: "VARCHAR" }),
    );
    return `(${literals.join(", ")}, make_timestamptz(${receivedAtUs}), ${position}, ${index})`;
  });
  await duckdb.execute(["DELETE FROM events", `INSERT INTO events VALUES ${rows.join(", ")}`]);
  const text = batchText(plan, { relation: "events", schema: SCHEMA, exactDistinct: true });
  const columns = plan.output.map(({ name, type }) => whole(name, type)).join(", ");
  const result = await duckdb.run(`SELECT ${columns} FROM (${text})`);
  return result.rows.map((row) =>
    row.map((value, index): Cell => {
      const decimal = plan.output[index]?.type.kind === "DECIMAL";
      if (value === null || value === undefined) return null;
      if (!decimal) return value as Cell;
      // A sum of DECIMAL(38) may have 39 digits in DuckDB: here it is NULL.
      const sum = BigInt(String(value));
      return sum < 10n ** 38n && sum > -(10n ** 38n) ? sum : null;
    }),
  );
}

/** DuckDB refuses a query whose sum exceeds 128 bits: such runs are left out. */
function sumTooLarge(error: unknown): null {
  if (String(error).includes("Overflow in HUGEINT addition")) return null;
  throw error;
}

/** Sums of doubles depend on their order: no condition and no rank is taken of them. */
const shownPlans = windowedPlanArbitrary.chain((plan) =>
  shownArbitrary(plan, ({ type }) => type.kind !== "DOUBLE" && type.kind !== "FLOAT").map(
    (shown) => ({ ...plan, ...shown }),
  ),
);

test("kernels and DuckDB agree", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(windowedPlanArbitrary, shownPlans, projectionArbitrary),
      fc.array(eventArbitrary(10n ** 36n), { minLength: 1, maxLength: 30 }),
      fc.boolean(),
      async (plan, events, plain) => {
        const options = { outOfOrdernessUs: 90_000_000, receivedAtUs: 0 };
        const records = place(events, [7], options);
        const windows = newWindows();
        windows.addView(plan, SCHEMA, { since: 0 });
        const texts = plain
          ? []
          : IMAGE_COLUMNS.flatMap(({ type }, at) => (type.kind === "VARCHAR" ? [at] : []));
        const outputs = records.flatMap((record) => windows.fold(recordOf(record, new Set(texts))));
        const closed = outputs.filter(({ kind }) => kind === "rows").map(({ image }) => image);
        const open = windows
          .openWindows(plan.name)
          .flatMap(({ images }) => images.map(({ image }) => image));
        const batch = await batchRows(plan, records.flat()).catch(sumTooLarge);
        fc.pre(batch !== null);
        const expected = batch.map((row) => ({ startUs: row[0] as bigint, row: [...row, 0n] }));
        expect(differences(outputRows(plan, [...closed, ...open]), expected, 1e-12)).toEqual([]);
      },
    ),
    { numRuns: Number(process.env["RUNS"] ?? 100) },
  );
}, 180_000);

test("averages of exact sums are DuckDB's bit for bit", async () => {
  const short: SqlType = { kind: "DECIMAL", precision: 4, scale: 1 };
  const [integer, big, money, wide] = ["small", "big", "money", "wide"].map((name) =>
    SCHEMA.columns.findIndex((column) => column.name === name),
  );
  const average = (ordinal: number | undefined, cast?: SqlType): Aggregate => {
    const { type } = SCHEMA.columns[ordinal ?? 0] ?? { type: BIGINT };
    const arg = { op: "column", column: { from: "image", ordinal: ordinal ?? 0 }, type } as const;
    const shown = cast === undefined ? arg : call("cast", [arg], cast);
    return { fn: "avg", arg: shown, filter: null, type: { kind: "DOUBLE" } };
  };
  const plan = planOf({
    name: "v",
    filter: null,
    keys: [
      {
        expr: { op: "column", column: { from: "image", ordinal: 6 }, type: VARCHAR },
        type: VARCHAR,
      },
    ],
    aggregates: [
      average(integer),
      average(big),
      average(money),
      average(wide),
      average(integer, short),
    ],
  });
  const value = fc.tuple(fc.nat({ max: 400 }), fc.maxSafeInteger(), fc.maxSafeInteger());
  const events = fc.sample(value, { numRuns: 2000, seed: 7 }).map(([key, a, b]) => {
    const cells: Cell[] = SCHEMA.columns.map(() => null);
    cells[0] = 0n;
    cells[6] = `key ${key}`;
    cells[integer ?? 0] = a % 1000;
    cells[big ?? 0] = BigInt(a) * 1023n;
    cells[money ?? 0] = BigInt(b) % 10_000_000_000n;
    cells[wide ?? 0] = BigInt(a) * BigInt(b) * 1_000n;
    return cells;
  });
  const options = { outOfOrdernessUs: 0, receivedAtUs: 0 };
  const records = place(events, [500], options);
  const windows = newWindows();
  windows.addView(plan, SCHEMA, { since: 0 });
  for (const record of records) windows.fold(recordOf(record, new Set([6])));
  const open = windows.openWindows("v").flatMap(({ images }) => images.map(({ image }) => image));
  const batch = await batchRows(plan, records.flat());
  const expected = batch.map((row) => ({ startUs: row[0] as bigint, row: [...row, 0n] }));
  expect(expected.length).toBeGreaterThan(300);
  expect(differences(outputRows(plan, open), expected)).toEqual([]);
});

test("doubles become decimals of up to 38 digits as in DuckDB, their ranges to the last double", async () => {
  const wide = SCHEMA.columns.findIndex((column) => column.name === "wide");
  const source = SCHEMA.columns[wide]?.type ?? BIGINT;
  const column = { op: "column", column: { from: "image", ordinal: wide }, type: source } as const;
  const keys = [0, 1, 4, 9, 15, 16, 17, 30].map((scale) => {
    const type: SqlType = { kind: "DECIMAL", precision: 38, scale };
    return { expr: call("cast", [call("cast", [column], { kind: "DOUBLE" })], type), type };
  });
  const plan = planOf({
    name: "v",
    filter: null,
    keys,
    aggregates: [{ fn: "count_star", arg: null, filter: null, type: BIGINT }],
  });
  const powers = Array.from({ length: 38 }, (_, n) => 10n ** BigInt(n));
  const numbers = [10n ** 38n - 1n, ...powers.flatMap((power) => [power - 1n, power, -3n * power])];
  const records = place(
    numbers.map((number) => {
      const cells: Cell[] = SCHEMA.columns.map(() => null);
      cells[0] = 0n;
      cells[wide] = number;
      return cells;
    }),
    [7],
    { outOfOrdernessUs: 0, receivedAtUs: 0 },
  );
  const windows = newWindows();
  windows.addView(plan, SCHEMA, { since: 0 });
  for (const record of records) windows.fold(recordOf(record, new Set()));
  const open = windows.openWindows("v").flatMap(({ images }) => images.map(({ image }) => image));
  const batch = await batchRows(plan, records.flat());
  const expected = batch.map((row) => ({ startUs: row[0] as bigint, row: [...row, 0n] }));
  expect(expected.length).toBeGreaterThan(50);
  expect(differences(outputRows(plan, open), expected)).toEqual([]);
  const { window } = plan;
  if (window?.kind !== "tumble") throw new Error("tumbling windows");
  const model = new ReferenceFold({ ...plan, window }, 0, { eventTime: 0, behind: BEHIND });
  for (const event of records.flat()) model.fold(event.cells, event);
  expect(differences(outputRows(plan, open), model.open())).toEqual([]);
});
