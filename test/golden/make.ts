// Makes the goldens of this folder anew: `node tools/bun.mjs --no-install test/golden/make.ts`. Expected rows are DuckDB's: a view's own
// text, or <name>.sql beside it, over the events that the plain rules of raw-events.ts let in. Nothing here is the code under test but
// the window macros, which are the other side of the comparison. Events are made once, where a case has none and does not make them anew (made-events.ts).
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { ReferenceSessions } from "../../kernels/reference/session.ts";
import { DuckDb, type DuckConnection, type DuckValue } from "../../src/base/duckdb.ts";
import { WINDOW_MACROS } from "../../src/view/macros.ts";
import { exactDistinct } from "../e2e/oracle.ts";
import { EVENTS_FILE } from "../../src/rehearsal/fixture.ts";
import { caseFiles, madeEvents } from "./made-events.ts";
import { isoUs, rawEvents, type ArrivedEvent, type RawEvent } from "./raw-events.ts";

const FOLDER = import.meta.dir;
/** As hits.avsc, in DuckDB's words. */
const COLUMNS =
  "{id: 'BIGINT', time: 'TIMESTAMPTZ', page: 'VARCHAR', user: 'BIGINT', kind: 'VARCHAR', ok: 'BOOLEAN', n: 'INTEGER', big: 'BIGINT', ratio: 'DOUBLE', half: 'FLOAT', price: 'DECIMAL(10,2)', wide: 'DECIMAL(38,4)', day: 'DATE', seen: 'TIMESTAMPTZ'}";

const STRUCT = COLUMNS.replace("{", "STRUCT(")
  .replace("}", ")")
  .replaceAll(/(\w+): '([^']*)'/g, '"$1" $2');

interface CaseConfig {
  readonly streams: {
    readonly hits: {
      readonly event_time: string;
      readonly out_of_orderness?: string;
      readonly max_future?: string;
      readonly watermark?: { readonly punctuated: string };
    };
  };
  readonly views: Readonly<Record<string, { readonly sql: string }>>;
}

const US = (text: string): bigint =>
  BigInt(parseInt(text, 10)) * (text.endsWith("m") ? 60_000_000n : 1_000_000n);

interface GoldenEvent extends ArrivedEvent {
  readonly json: string;
  readonly user: string;
}

/** A line of events.ndjson: {"received_at", "event"}. */
function readLine(line: string, isReceipt: boolean): GoldenEvent {
  const { received_at: receivedAt, event } = JSON.parse(line) as {
    readonly received_at: string;
    readonly event: { readonly id: number; readonly time: string; readonly user?: number | null };
  };
  return {
    id: event.id,
    timeUs: isoUs(isReceipt ? receivedAt : event.time),
    receivedAtUs: isoUs(receivedAt),
    json: JSON.stringify(event),
    user: String(event.user ?? null),
  };
}

/** `in_sessions`: events per user that the plain session rule with a gap of 4 s does not find late. */
function inSessions(events: readonly RawEvent<GoldenEvent>[]): number[] {
  const sessions = new ReferenceSessions<number>(4_000_000n);
  return events.flatMap(({ event, watermarkUs }, index) => {
    const { kind } = sessions.add(event.user, event.timeUs, index);
    if (watermarkUs !== null) sessions.advance(watermarkUs);
    return kind === "late" ? [] : [index];
  });
}

function csvField(value: DuckValue): string {
  if (value === null) return "";
  const text = String(value);
  return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

async function csvOf(duckdb: DuckConnection, sql: string): Promise<string> {
  const { columns, rows } = await duckdb.run(
    `SELECT * FROM (${exactDistinct(sql)}\n) ORDER BY ALL`,
  );
  const lines = [columns.map(({ name }) => name), ...rows.map((row) => row.map(csvField))];
  return `${lines.map((cells) => cells.join(",")).join("\n")}\n`;
}

/** Ids of the events for which DuckDB says that a condition is true. */
async function idsWhere(
  duckdb: DuckConnection,
  events: readonly GoldenEvent[],
  condition: string,
): Promise<ReadonlySet<number>> {
  const file = join(process.env["TMPDIR"] ?? "/tmp", `golden-${crypto.randomUUID()}.ndjson`);
  await Bun.write(file, events.map(({ json }) => json).join("\n"));
  const { rows } = await duckdb.run(
    `SELECT id FROM read_json('${file}', format = 'newline_delimited', columns = ${COLUMNS}) WHERE ${condition}`,
  );
  await Bun.file(file).delete();
  return new Set(rows.map(([id]) => Number(id)));
}

async function makeCase(name: string, seed: number): Promise<void> {
  const path = (file: string): string => join(FOLDER, name, file);
  const files = caseFiles(join(FOLDER, name));
  if (!files.names().includes(EVENTS_FILE))
    writeFileSync(path(EVENTS_FILE), madeEvents({ seed, count: 400, atOnce: 100 }));
  const config = parse(readFileSync(path("millrace.yaml"), "utf8")) as CaseConfig;
  const { hits } = config.streams;
  const isReceipt = hits.event_time === "received_at";
  const condition = hits.watermark?.punctuated;
  const db = await DuckDb.open({ threads: "1" });
  const duckdb = await db.connect();
  const arrived = files
    .text(EVENTS_FILE)
    .trimEnd()
    .split("\n")
    .map((line) => readLine(line, isReceipt));
  const marked = condition === undefined ? null : await idsWhere(duckdb, arrived, condition);
  const raw = rawEvents(arrived, {
    outOfOrdernessUs: US(hits.out_of_orderness ?? "0s"),
    maxFutureUs: US(hits.max_future ?? "5m"),
    moves: ({ id }) => marked === null || marked.has(id),
  });
  const file = join(process.env["TMPDIR"] ?? "/tmp", `golden-${crypto.randomUUID()}.ndjson`);
  const texts = raw.events.map(
    ({ event: { json, receivedAtUs }, behindUs }, index) =>
      `{"e":${json},"received_at":${receivedAtUs},"_behind":${behindUs},"_index":${index}}`,
  );
  await Bun.write(file, texts.join("\n"));
  await duckdb.execute([
    ...WINDOW_MACROS,
    `CREATE TABLE hits AS SELECT e.*, make_timestamptz(received_at) AS received_at, _behind, 1::BIGINT AS _position, _index FROM read_json('${file}',
       format = 'newline_delimited', columns = {e: '${STRUCT}', received_at: 'BIGINT', _behind: 'BIGINT', _index: 'INTEGER'})`,
    `CREATE TABLE in_sessions AS SELECT * FROM hits WHERE _index IN (${inSessions(raw.events).join(", ")})`,
    "CREATE TABLE rejects (reason VARCHAR, field VARCHAR)",
    ...raw.future.map(() => "INSERT INTO rejects VALUES ('too_far_in_future', 'time')"),
  ]);
  await Bun.file(file).delete();
  const own = readdirSync(join(FOLDER, name))
    .filter((each) => each.endsWith(".sql"))
    .map((each) => each.slice(0, -4));
  for (const what of new Set([...Object.keys(config.views), ...own])) {
    const sql = own.includes(what)
      ? readFileSync(path(`${what}.sql`), "utf8")
      : config.views[what]?.sql;
    writeFileSync(path(`${what}.csv`), await csvOf(duckdb, sql ?? ""));
  }
  duckdb.close();
  db.close();
}

const cases = readdirSync(FOLDER, { withFileTypes: true }).filter((entry) => entry.isDirectory());
for (const [index, { name }] of cases.toSorted((a, b) => (a.name < b.name ? -1 : 1)).entries()) {
  await makeCase(name, index + 1);
  console.log(name);
}
