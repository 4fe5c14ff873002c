// Makes the goldens of this folder anew: `node tools/bun.mjs --no-install test/golden/make.ts`. Expected rows are DuckDB's: a view's own
// text, or <name>.sql beside it, over the events that the plain rules of raw-events.ts let in. Nothing here is the code under test but
// the window macros, which are the other side of the comparison. Events are made once, where a case has none.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { seeded } from "../../bench/load-body.ts";
import { ReferenceSessions } from "../../kernels/reference/session.ts";
import { DuckDb, type DuckConnection, type DuckValue } from "../../src/base/duckdb.ts";
import { WINDOW_MACROS } from "../../src/view/macros.ts";
import { exactDistinct } from "../e2e/oracle.ts";
import { isoUs, rawEvents, type ArrivedEvent, type RawEvent } from "./raw-events.ts";

const FOLDER = import.meta.dir;
const EVENT_COUNT = 400;
const BEGIN_MS = Date.UTC(2024, 0, 1);
/** As hits.avsc, in DuckDB's words. */
const COLUMNS =
  "{id: 'BIGINT', time: 'TIMESTAMPTZ', page: 'VARCHAR', user: 'BIGINT', kind: 'VARCHAR', ok: 'BOOLEAN', n: 'INTEGER', big: 'BIGINT', ratio: 'DOUBLE', half: 'FLOAT', price: 'DECIMAL(10,2)', wide: 'DECIMAL(38,4)', day: 'DATE', seen: 'TIMESTAMPTZ'}";

interface CaseConfig {
  readonly streams: {
    readonly hits: { readonly out_of_orderness: string; readonly max_future?: string };
  };
  readonly views: Readonly<Record<string, { readonly sql: string }>>;
}

/** 400 events over two minutes, received a hundred at a time: mostly a second or two out of order, some far behind, some twice, some from the future. */
function madeEvents(seed: number): string[] {
  const random = seeded(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const lines: string[] = [];
  const iso = (ms: number): string => new Date(ms).toISOString();
  for (let id = 1; id <= EVENT_COUNT; id++) {
    const nowMs = BEGIN_MS + id * 300;
    // A hundred at a time are received, so that they may come as one request or as a hundred.
    const receivedAt = iso(BEGIN_MS + Math.ceil(id / 100) * 30_000 + 200);
    const fate = random();
    const behindMs = fate < 0.06 ? 5_000 + random() * 70_000 : random() * 3_500;
    const timeMs = fate > 0.99 ? nowMs + 3_600_000 : nowMs - Math.floor(behindMs);
    const micros = String(Math.floor(random() * 1000)).padStart(3, "0");
    const event = {
      id,
      time: iso(timeMs).replace("Z", `${micros}Z`),
      page: pick([null, "/a", "/a", "/b", "/c/ü", ""]),
      user: pick([null, 1, 2, 3, 4, 5, 6, 7]),
      kind: pick(["view", "view", "cart", "buy"]),
      ok: pick([null, true, false]),
      n: pick([null, 0, 1, -7, 46341, 2147483647, -2147483648]),
      big: pick([0, 1, -1, 9007199254740991, -9007199254740991]),
      ratio: pick([null, 0, 0.25, -0.5, 1e15, 3.75]),
      half: pick([0, 0.5, -1.5, 1024]),
      price: pick(["0", "9.99", "-0.01", "99999999.99"]),
      wide: pick([null, "0.0001", "-12345678901234567890.1234", "98765432109876543210"]),
      day: pick([null, "1969-12-31", "2024-02-29"]),
      seen: pick([null, "1969-12-31T23:59:59.999999Z", "2024-01-01T00:00:00.5Z"]),
    };
    lines.push(JSON.stringify({ received_at: receivedAt, event }));
    const before = lines[Math.floor(random() * lines.length)] ?? "";
    if (fate > 0.94 && fate < 0.97)
      lines.push(before.replace(/"received_at":"[^"]*"/, `"received_at":"${receivedAt}"`));
  }
  return lines;
}

const US = (text: string): bigint =>
  BigInt(parseInt(text, 10)) * (text.endsWith("m") ? 60_000_000n : 1_000_000n);

interface GoldenEvent extends ArrivedEvent {
  readonly json: string;
  readonly user: string;
}

/** A line of events.ndjson: {"received_at", "event"}. */
function readLine(line: string): GoldenEvent {
  const { received_at: receivedAt, event } = JSON.parse(line) as {
    readonly received_at: string;
    readonly event: { readonly id: number; readonly time: string; readonly user?: number | null };
  };
  return {
    id: event.id,
    timeUs: isoUs(event.time),
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
    sessions.advance(watermarkUs);
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

async function makeCase(name: string, seed: number): Promise<void> {
  const path = (file: string): string => join(FOLDER, name, file);
  if (!existsSync(path("events.ndjson")))
    writeFileSync(path("events.ndjson"), `${madeEvents(seed).join("\n")}\n`);
  const config = parse(readFileSync(path("millrace.yaml"), "utf8")) as CaseConfig;
  const { out_of_orderness: distance, max_future: future = "5m" } = config.streams.hits;
  const lines = readFileSync(path("events.ndjson"), "utf8").trimEnd().split("\n");
  const raw = rawEvents(lines.map(readLine), {
    outOfOrdernessUs: US(distance),
    maxFutureUs: US(future),
  });
  const db = await DuckDb.open({ threads: "1" });
  const duckdb = await db.connect();
  const file = join(process.env["TMPDIR"] ?? "/tmp", `golden-${crypto.randomUUID()}.ndjson`);
  const texts = raw.events.map(
    ({ event: { json, receivedAtUs }, behindUs }, index) =>
      `{"e":${json},"received_at":${receivedAtUs},"_behind":${behindUs},"_index":${index}}`,
  );
  await Bun.write(file, texts.join("\n"));
  const members = COLUMNS.replace("{", "STRUCT(")
    .replace("}", ")")
    .replaceAll(/(\w+): '([^']*)'/g, '"$1" $2');
  await duckdb.execute([
    ...WINDOW_MACROS,
    `CREATE TABLE hits AS SELECT e.*, make_timestamptz(received_at) AS received_at, _behind, 1::BIGINT AS _position, _index FROM read_json('${file}',
       format = 'newline_delimited', columns = {e: '${members}', received_at: 'BIGINT', _behind: 'BIGINT', _index: 'INTEGER'})`,
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
