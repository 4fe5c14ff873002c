// The whole stack: a random schema, a random view, events in disorder, late, twice, NULL, extreme, of source partitions, in any cut and over a kill: the rows
// of the stream are DuckDB's over the same raw events with the late predicate (the comparison of `millrace verify`); the raw events are those
// that were sent, by DuckDB's own reading of their JSON, with the `_behind` of a plain model.
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildKernels } from "../../kernels/build.ts";
import { kernelModule } from "../../kernels/modules.ts";
import { ReferenceSessions } from "../../kernels/reference/session.ts";
import { openDiskFiles } from "../../src/base/disk-files.ts";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { openCheckpointStore } from "../../src/checkpoint/sqlite-store.ts";
import type { KernelModules } from "../../src/engine-options.ts";
import { parseAvroSchema } from "../../src/event/avro.ts";
import { imageRows, streamImageColumns, type Cell } from "../../src/event/image.ts";
import {
  ADMISSION_COLUMNS,
  sqlTypeText,
  type EventSchema,
  type SqlType,
} from "../../src/event/schema.ts";
import { DEDUP_IDS_MAX } from "../../src/limits.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import type { RehearsalConfig } from "../../src/rehearsal/fixture.ts";
import { rowColumns } from "../../src/rehearsal/last-rows.ts";
import { comparisonOf } from "../../src/verify/comparison.ts";
import { WINDOW_MACROS } from "../../src/view/macros.ts";
import { columnList, ViewParser } from "../../src/view/parse.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import { decimalText, quoteName, quoteText } from "../../src/view/render.ts";
import { cutIntoBodies, GoldenLife } from "../golden/lives.ts";
import { rawEvents } from "../golden/raw-events.ts";
import { KINDS, stackArbitrary, type Stack, type StackColumn } from "./stack-arbitrary.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-stack-"));
const MAX_FUTURE_US = 10_000_000;
const ALLOWED_US = 8_000_000;
await buildKernels();
let parser: ViewParser;
let modules: KernelModules;
let db: DuckDb;
let duckdb: DuckConnection;

beforeAll(async () => {
  modules = {
    decode: await kernelModule("decode"),
    admit: await kernelModule("admit"),
    fold: await kernelModule("fold"),
  };
  parser = await ViewParser.open();
  db = await DuckDb.open({ threads: "1" });
  duckdb = await db.connect();
  await duckdb.execute([
    ...WINDOW_MACROS,
    "CREATE SCHEMA millrace",
    "CREATE TABLE millrace.readers AS SELECT 'view:v' AS reader, 0::BIGINT AS since",
    "CREATE TABLE millrace.reconciled (view VARCHAR, window_from TIMESTAMPTZ, window_to TIMESTAMPTZ, raw_position BIGINT)",
  ]);
});
afterAll(() => {
  parser.close();
  duckdb.close();
  db.close();
  rmSync(folder, { recursive: true });
});

function schemaOf(columns: readonly StackColumn[]): EventSchema {
  let symbols = 0;
  const fields = columns.map(({ name, kind, nullable }) => {
    const declared = KINDS[kind].avro;
    // Avro's names are used once.
    const avro =
      kind === "symbol" ? { ...(declared as object), name: `Symbol${symbols++}` } : declared;
    return { name, type: nullable ? ["null", avro] : avro };
  });
  const all = [
    { name: "id", type: "long" },
    { name: "at_", type: { type: "long", logicalType: "timestamp-micros" } },
    ...fields,
  ];
  const text = JSON.stringify({ type: "record", name: "Event", fields: all });
  const parsed = parseAvroSchema(text, { eventTime: "at_", eventId: "id", id: 1 });
  if ("faults" in parsed) throw new Error(JSON.stringify(parsed.faults));
  return parsed.schema;
}

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

async function fill(
  table: string,
  types: readonly SqlType[],
  rows: readonly (readonly Cell[])[],
): Promise<void> {
  if (rows.length === 0) return;
  const values = rows.map(
    (row) =>
      `(${row.map((cell, at) => literal(cell, types[at] ?? { kind: "BIGINT" })).join(", ")})`,
  );
  await duckdb.run(`INSERT INTO ${table} VALUES ${values.join(", ")}`);
}

interface RawRow {
  /** Columns of the raw table in order. */
  readonly cells: readonly Cell[];
  /** The watermark after the record, for its last row. */
  readonly watermarkUs: bigint | null;
}

/** The raw events as the log holds them. */
function rawRows(log: MemoryLog, schema: EventSchema): RawRow[] {
  const reader = log.openReader();
  const rows: RawRow[] = [];
  for (let position = 1; position <= log.last; position++)
    for (const record of reader.read(position, 1).slice(0, 1)) {
      if (record.kind !== "events" || record.rowCount === 0) continue;
      const images = imageRows(record.image, streamImageColumns(schema));
      for (const [index, cells] of images.entries())
        rows.push({
          cells: [...cells, BigInt(record.receivedAtUs), BigInt(record.position), index],
          watermarkUs: index === images.length - 1 ? record.watermarkUs : null,
        });
    }
  return rows;
}

function ticksOf(log: MemoryLog): number {
  const heads = log.openReader().read(1, Number.MAX_SAFE_INTEGER);
  return heads.filter((record) => record.kind === "control" && record.control === "clock_tick")
    .length;
}

/** Runs the stream over a kill; its rows and its log. */
function runStream(stack: Stack, config: RehearsalConfig): { rows: Cell[][]; log: MemoryLog } {
  const log = new MemoryLog({ fileSizeBytes: 2 ** 20, sizeMaxBytes: 2 ** 32 });
  const path = join(folder, `${crypto.randomUUID()}.db`);
  const store = openCheckpointStore(path, openDiskFiles(null), "job");
  const lines = stack.events.map(({ json, receivedMs, partition }) => ({
    text: json,
    receivedAtUs: receivedMs * 1000,
    partition,
  }));
  let life = new GoldenLife(config, log, store);
  for (const [index, body] of cutIntoBodies(lines, stack.bodySize).entries()) {
    if (stack.killAt !== null && index === Math.floor(stack.killAt / 2)) life.checkpoint(store);
    if (index === stack.killAt) life = new GoldenLife(config, log, store);
    life.send(body);
  }
  store.close();
  return { rows: life.rows("v"), log };
}

/** Raw rows without those that the plain session rule finds late. */
function withoutLateSessions(
  rows: readonly RawRow[],
  schema: EventSchema,
  session: {
    readonly gapUs: bigint;
    readonly allowedUs: bigint | null;
    readonly keys: readonly string[];
  },
): RawRow[] {
  const sessions = new ReferenceSessions<null>(session.gapUs, session.allowedUs);
  const ordinals = session.keys.map((name) =>
    schema.columns.findIndex((column) => column.name === name),
  );
  const behind = schema.columns.length + 1;
  return rows.filter(({ cells, watermarkUs }) => {
    const timeUs = cells[schema.eventTime ?? -1] as bigint;
    const behindUs = cells[behind] as bigint;
    // Where it matters, the watermark before an event is exactly this; elsewhere it is not beyond the event.
    if (behindUs > 0n) sessions.advance(timeUs + behindUs);
    const key = ordinals
      .map((ordinal) => `${typeof cells[ordinal]} ${String(cells[ordinal])}`)
      .join("|");
    const { kind } = sessions.add(key, timeUs, null);
    if (watermarkUs !== null) sessions.advance(watermarkUs);
    return kind !== "late";
  });
}

/** The raw events that one source partition must have given, and DuckDB's reading of their JSON. */
async function checkRaw(stack: Stack, schema: EventSchema, rows: readonly RawRow[]): Promise<void> {
  const arrived = stack.events.map(({ id, timeMs, receivedMs, json }) => ({
    id,
    timeUs: BigInt(timeMs) * 1000n,
    receivedAtUs: BigInt(receivedMs) * 1000n,
    json,
  }));
  const model = rawEvents(arrived, {
    outOfOrdernessUs: BigInt(stack.outOfOrdernessUs),
    maxFutureUs: BigInt(MAX_FUTURE_US),
    moves: ({ id }) => !stack.isPunctuated || id % 3 === 0,
  });
  const behind = schema.columns.length + 1;
  expect(rows.map(({ cells }) => [cells[0], cells[behind]])).toEqual(
    model.events.map(({ event, behindUs }) => [BigInt(event.id), behindUs]),
  );
  if (rows.length === 0) return;
  const path = join(folder, "sent.ndjson");
  writeFileSync(path, model.events.map(({ event }) => event.json).join("\n"));
  const columns = schema.columns.map(
    ({ name, type }) => `${quoteName(name)}: '${sqlTypeText(type)}'`,
  );
  const names = schema.columns.map(({ name }) => quoteName(name)).join(", ");
  const read = `SELECT ${names} FROM read_json('${path}', format = 'newline_delimited', columns = {${columns.join(", ")}})`;
  const { rows: wrong } = await duckdb.run(
    `(SELECT ${names} FROM events EXCEPT ALL ${read}) UNION ALL (${read} EXCEPT ALL SELECT ${names} FROM events)`,
  );
  expect(wrong).toEqual([]);
}

const seen = { planned: 0, rows: 0, late: 0, killed: 0, sessions: 0, ticks: 0, punctuated: 0 };

/** Of a punctuated stream: the condition by which an event moves the watermark. */
async function conditionOf(schema: EventSchema): Promise<ViewPlan> {
  const sql = "SELECT at_ FROM events WHERE id % 3 = 0";
  const result = await parser.parse({
    name: "condition",
    sql,
    streams: [{ name: "events", schema }],
  });
  if (result.kind === "faults") throw new Error(JSON.stringify(result.faults));
  return result.plan;
}

async function planOf(stack: Stack, schema: EventSchema): Promise<ViewPlan | null> {
  const { sql } = stack.view;
  const result = await parser.parse({ name: "v", sql, streams: [{ name: "events", schema }] });
  if (result.kind === "faults") return null;
  const policy = stack.late;
  const late = { policy, allowedUs: policy === "update" ? ALLOWED_US : 0 } as const;
  return { ...result.plan, late };
}

async function checkStack(stack: Stack): Promise<void> {
  const schema = schemaOf(stack.columns);
  const plan = await planOf(stack, schema);
  if (plan === null) return;
  seen.planned++;
  const punctuated = stack.isPunctuated ? { punctuated: await conditionOf(schema) } : {};
  const stream = {
    name: "events",
    ...punctuated,
    schema,
    dedupTtlUs: 86_400_000_000,
    dedupIdsMax: DEDUP_IDS_MAX,
    dedupDiskMaxBytes: 0,
    outOfOrdernessUs: stack.outOfOrdernessUs,
    idleAfterUs: stack.idleAfterUs,
    maxFutureUs: MAX_FUTURE_US,
    maxPastUs: null,
  };
  const { rows, log } = runStream(stack, { modules, streams: [stream], plans: [plan] });
  const raw = rawRows(log, schema);
  const columns = rowColumns(plan);
  await duckdb.execute([
    `CREATE OR REPLACE TABLE events (${columnList(schema)})`,
    `CREATE OR REPLACE TABLE v (${columns.map(({ name, type }) => `${quoteName(name)} ${sqlTypeText(type)}`).join(", ")})`,
  ]);
  const types = [...streamImageColumns(schema), ...ADMISSION_COLUMNS].map(({ type }) => type);
  await fill(
    "events",
    types,
    raw.map(({ cells }) => cells),
  );
  // The plain model has one partition, which never falls idle.
  const isPlain = stack.events.every(({ partition }) => partition === "");
  if (isPlain && stack.idleAfterUs === null) await checkRaw(stack, schema, raw);
  seen.ticks += ticksOf(log);
  if (stack.isPunctuated) seen.punctuated++;
  const { session } = stack.view;
  if (session !== null) {
    const kept = withoutLateSessions(raw, schema, {
      ...session,
      allowedUs: plan.late.policy === "update" ? BigInt(ALLOWED_US) : null,
    });
    seen.sessions++;
    seen.late += raw.length - kept.length;
    await duckdb.run("DELETE FROM events");
    await fill(
      "events",
      types,
      kept.map(({ cells }) => cells),
    );
  }
  await fill(
    "v",
    columns.map(({ type }) => type),
    rows,
  );
  seen.rows += rows.length;
  if (stack.killAt !== null) seen.killed++;
  const comparison = comparisonOf(plan, { schema, range: null, rowsMax: 5 });
  const { rows: answer } = await duckdb.run(comparison.sql);
  const different = Number(answer[0]?.[1]);
  expect(different === 0 ? [] : answer.map((row) => row.map(String).join(" | "))).toEqual([]);
}

test("the stream is the batch", async () => {
  const numRuns = Number(process.env["RUNS"] ?? 60);
  await fc.assert(fc.asyncProperty(stackArbitrary, checkStack), { numRuns });
  // Otherwise little was tested.
  expect(seen.planned).toBeGreaterThan(numRuns / 2);
  expect(seen.rows).toBeGreaterThan(numRuns);
  expect(seen.killed).toBeGreaterThan(numRuns / 20);
  expect(seen.sessions).toBeGreaterThan(0);
  expect(seen.ticks).toBeGreaterThan(0);
  expect(seen.punctuated).toBeGreaterThan(0);
}, 120_000);
