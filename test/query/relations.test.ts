// A stream, a view and the system relations as questions see them: files and what lies beyond them as one relation, against DuckDB's
// own reading of the same values.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { DuckDb } from "../../src/base/duckdb.ts";
import type { Cell } from "../../src/event/image.ts";
import { encoderFor } from "../../src/query/format.ts";
import type { Pin, PinnedRange } from "../../src/query/pin.ts";
import type { Column } from "../../src/event/schema.ts";
import {
  DEAD_COLUMNS,
  emptyPin,
  eventRow,
  eventsRecord,
  LATE_COLUMNS,
  LATE_IMAGE,
  openFixture,
  pageViews,
  provider,
  question,
  RAW_COLUMNS,
  rowsSql,
  T0,
  textOf,
  VIEW_COLUMNS,
  viewRow,
  writeImage,
  writeParquet,
  type Fixture,
} from "./fixture.ts";

/** Events per record of the stream, from position 1 on; the record after them holds rejects only. */
const SIZES = [1, 1, 3, 700, 1, 64, 2048, 9, 1, 500, 1, 1];
/** Of the raw file: what lies beyond is in the log only. */
const FILE_POSITION = 4;

let fixture: Fixture;
/** Every event as the stream shows it, and the file of those up to FILE_POSITION. */
let streamRows: Cell[][];
let rawFile: string;
beforeAll(async () => {
  fixture = await openFixture();
  let next = 0;
  streamRows = SIZES.flatMap((size, index) => {
    const position = index + 1;
    const rows = Array.from({ length: size }, () => eventRow(next++));
    fixture.append([eventsRecord(position, rows)]);
    return rows.map((row, ordinal) => [
      ...row,
      BigInt(T0 + position * 1000),
      BigInt(position),
      ordinal,
    ]);
  });
  fixture.append([eventsRecord(SIZES.length + 1, [], REJECTS)]);
  const positionAt = RAW_COLUMNS.findIndex(({ name }) => name === "_position");
  const inFile = streamRows.filter((row) => Number(row[positionAt]) <= FILE_POSITION);
  rawFile = await writeParquet(join(fixture.warehouse, "raw.parquet"), RAW_COLUMNS, inFile);
});
afterAll(() => fixture.close());

const reject = (index: number, raw: string) => ({
  index,
  reason: "bad_json" as const,
  field: index === 0 ? null : "price",
  message: "a message of some length",
  raw: new TextEncoder().encode(raw),
});
const REJECTS = [
  reject(0, "{"),
  reject(4, '{"price":"ü"}'),
  { ...reject(5, ""), raw: new Uint8Array([0xff, 0xfe]) },
];

async function answer(sql: string, pin: Pin): Promise<string> {
  return textOf(await fixture.service.ask(question(sql), provider(pin).pinFor));
}

/** What DuckDB itself answers over the same rows given as VALUES. */
async function expected(
  sql: string,
  relation: { name: string; columns: readonly Column[]; rows: readonly (readonly Cell[])[] },
  position: number,
): Promise<string> {
  const db = await DuckDb.open();
  const connection = await db.connect();
  await connection.run(
    `CREATE TABLE ${relation.name} AS ${rowsSql(fixture.folder, relation.columns, relation.rows)}`,
  );
  const stream = await connection.stream(sql);
  const encoder = encoderFor("json");
  let text = encoder.head(stream.columns);
  for (let rows = await stream.next(); rows !== null; rows = await stream.next())
    text += encoder.rows(rows);
  connection.close();
  db.close();
  return text + encoder.tail(position);
}

test("a stream is its files and the log's tail, every type and null as DuckDB has it", async () => {
  const relation = { name: "clicks", columns: RAW_COLUMNS, rows: streamRows };
  const position = SIZES.length;
  const tailOnly = emptyPin(fixture, position);
  const both: Pin = {
    ...tailOnly,
    streams: [
      {
        stream: "clicks",
        raw: { columns: RAW_COLUMNS, files: [rawFile] },
        coveredPosition: FILE_POSITION,
      },
    ],
  };
  for (const sql of [
    "SELECT * FROM clicks ORDER BY _position, _index",
    "SELECT page, count(*), min(d38), max(d4), bool_and(ok), max(score) FROM clicks GROUP BY page ORDER BY page",
    "SELECT count(*) FROM clicks",
    "SELECT attrs, length(page) FROM clicks WHERE n > 0 ORDER BY id DESC LIMIT 100",
  ]) {
    const want = await expected(sql, relation, position);
    expect(await answer(sql, tailOnly)).toBe(want);
    expect(await answer(sql, both)).toBe(want);
    expect(await answer(sql, tailOnly)).toBe(want);
  }
});

test("a pin cuts the tail, and files that reach beyond it", async () => {
  const counted = "SELECT count(*), max(_position) FROM clicks";
  expect(await answer(counted, emptyPin(fixture, 3))).toContain('"rows":[[5,3]]');
  const beyond: Pin = {
    ...emptyPin(fixture, 2),
    streams: [
      {
        stream: "clicks",
        raw: { columns: RAW_COLUMNS, files: [rawFile] },
        coveredPosition: FILE_POSITION,
      },
    ],
  };
  expect(await answer(counted, beyond)).toContain('"rows":[[2,2]]');
});

test("a file written before a column existed gives NULL for it, and a renamed column keeps its values", async () => {
  const old: Column[] = [{ name: "title", type: { kind: "VARCHAR" }, nullable: true, fieldId: 3 }];
  const path = await writeParquet(join(fixture.warehouse, "old.parquet"), old, [["x"]]);
  const pin = { ...emptyPin(fixture, 0), views: [pageViews([path], [], null)] };
  expect(await answer("SELECT page, count FROM page_views", pin)).toContain('"rows":[["x",null]]');
});

test("a view is its files and images; is_final by the watermark at the pin", async () => {
  const rows = [viewRow(0, "/a", 3), viewRow(1, null, 4)];
  const file = await writeParquet(join(fixture.warehouse, "view.parquet"), VIEW_COLUMNS, rows);
  const open = [viewRow(2, "/a long page name here", 5), viewRow(3, "/b", 6)];
  const image = writeImage(join(fixture.folder, "view.image"), VIEW_COLUMNS, open);
  const watermark = String(T0 + 3 * 60_000_000);
  const pin = { ...emptyPin(fixture, 0), views: [pageViews([file], [image], watermark)] };
  const text = await answer(
    "SELECT page, count, is_final, revision FROM page_views ORDER BY window_start",
    pin,
  );
  expect(JSON.parse(text).rows).toEqual([
    ["/a", 3, true, 0],
    [null, 4, true, 0],
    ["/a long page name here", 5, true, 0],
    ["/b", 6, false, 0],
  ]);
  const never = { ...pin, views: [pageViews([file], [image], null)] };
  const none = await answer("SELECT count(*) FROM page_views WHERE is_final", never);
  expect(JSON.parse(none).rows).toEqual([[0]]);
  const described = await answer("DESCRIBE page_views", pin);
  expect(JSON.parse(described).rows.map((row: string[]) => `${row[0]} ${row[1]}`)).toEqual([
    "window_start TIMESTAMP WITH TIME ZONE",
    "window_end TIMESTAMP WITH TIME ZONE",
    "page VARCHAR",
    "count BIGINT",
    "is_final BOOLEAN",
    "revision BIGINT",
  ]);
});

/** A range as a pin has it: from, to (behind T0) and position. */
function reconciledRange(
  view: string,
  [from, to, position]: readonly [number, number, number],
  sizeUs: number,
): PinnedRange {
  return {
    view,
    fromUs: String(T0 + from),
    toUs: String(T0 + to),
    position,
    grid: { sizeUs, slideUs: 5 },
  };
}

test("late events name their view, from files and images", async () => {
  const late = (behind: number): Cell[] => [
    BigInt(T0),
    BigInt(T0),
    BigInt(T0 + 5),
    BigInt(behind),
    3n,
    2,
    BigInt(T0),
  ];
  const file = await writeParquet(join(fixture.warehouse, "late.parquet"), LATE_COLUMNS, [
    ["v", ...late(1)],
  ]);
  const path = writeImage(join(fixture.folder, "late.image"), LATE_IMAGE, [late(2), late(3)]);
  const pin: Pin = {
    ...emptyPin(fixture, 0),
    lateEvents: {
      files: { columns: LATE_COLUMNS, files: [file] },
      images: [{ view: "a_view_with_a_long_name", path }],
      reconciled: [
        // the events are of position 3, their windows at T0
        reconciledRange("v", [0, 1, 2], 5),
        reconciledRange("v", [1, 9, 3], 5),
        reconciledRange("a_view_with_a_long_name", [0, 9, 3], 5),
      ],
    },
  };
  const text = await answer(
    "SELECT view, behind, _index, reconciled FROM millrace.late_events ORDER BY behind",
    pin,
  );
  expect(JSON.parse(text).rows).toEqual([
    ["v", 1, 2, false],
    ["a_view_with_a_long_name", 2, 2, true],
    ["a_view_with_a_long_name", 3, 2, true],
  ]);
});

test("a late event is reconciled once all of its windows are, in one range or in several", async () => {
  const ranges = [
    [-5, 7, 3],
    [7, 12, 2],
    [16, 40, 4],
  ] as const;
  const events = [0, 5, 10, 15, 20].flatMap((first) =>
    [1, 2, 3].flatMap((count) =>
      [2, 3, 4].map((position) => ({ first, last: first + (count - 1) * 5, position })),
    ),
  );
  const rows = events.map(({ first, last, position }, index): Cell[] => [
    BigInt(T0 + last),
    BigInt(T0 + first),
    BigInt(T0 + last + 15),
    BigInt(index),
    BigInt(position),
    0,
    BigInt(T0),
  ]);
  const path = writeImage(join(fixture.folder, "late-hops.image"), LATE_IMAGE, rows);
  const pin: Pin = {
    ...emptyPin(fixture, 0),
    lateEvents: {
      files: { columns: LATE_COLUMNS, files: [] },
      images: [{ view: "hops", path }],
      reconciled: ranges.map((range) => reconciledRange("hops", range, 15)),
    },
  };
  const text = await answer("SELECT reconciled FROM millrace.late_events ORDER BY behind", pin);
  const wanted = events.map(({ first, last, position }) => {
    const starts = Array.from({ length: (last - first) / 5 + 1 }, (_, n) => first + n * 5);
    return starts.every((start) =>
      ranges.some(([from, to, upTo]) => start >= from && start < to && position <= upTo),
    );
  });
  expect(new Set(wanted).size).toBe(2);
  expect(JSON.parse(text).rows.flat()).toEqual(wanted);
});

test("dead letters are files and the tail's rejects", async () => {
  const position = SIZES.length + 1;
  const file = await writeParquet(join(fixture.warehouse, "dead.parquet"), DEAD_COLUMNS, [
    ["clicks", 1n, 0, BigInt(T0), 0, "bad_utf8", null, "m", null, "/w=="],
  ]);
  const pin: Pin = {
    ...emptyPin(fixture, position),
    deadLetters: { files: { columns: DEAD_COLUMNS, files: [file] }, coveredPosition: 1 },
  };
  const sql =
    "SELECT stream, _position, _ordinal, _index, reason, field, raw, raw_base64 FROM millrace.dead_letters ORDER BY _position, _ordinal";
  expect(JSON.parse(await answer(sql, pin)).rows).toEqual([
    ["clicks", 1, 0, 0, "bad_utf8", null, null, "/w=="],
    ["clicks", position, 0, 0, "bad_json", null, "{", null],
    ["clicks", position, 1, 4, "bad_json", "price", '{"price":"ü"}', null],
    ["clicks", position, 2, 5, "bad_json", "price", null, "//4="],
  ]);
});

test("inline relations keep their digits, and may be empty", async () => {
  const text = await answer("FROM millrace.watermarks ORDER BY stream", emptyPin(fixture, 0));
  expect(text).toContain(
    '["clicks","2019-10-01T00:00:00Z",9007199254740993],["other\'s",null,null]',
  );
  expect(await answer("FROM millrace.readers", emptyPin(fixture, 0))).toContain('"rows":[]');
});

test("the window macro leaves late events out, by _behind", async () => {
  const sql = "SELECT count(*) FROM tumble(clicks, event_time, INTERVAL 1 MINUTE)";
  const late =
    "SELECT count(*) FROM clicks WHERE event_time + to_microseconds(_behind) < time_bucket(INTERVAL 1 MINUTE, event_time) + INTERVAL 1 MINUTE";
  const pin = emptyPin(fixture, SIZES.length);
  expect(await answer(sql, pin)).toContain(
    `"rows":${JSON.stringify(JSON.parse(await answer(late, pin)).rows)}`,
  );
});

test("the other window macros, and all of them over a common table expression, which hides the relation of its name", async () => {
  const pin = emptyPin(fixture, SIZES.length);
  const rowsOf = async (sql: string): Promise<unknown> => JSON.parse(await answer(sql, pin)).rows;
  const minutes = "INTERVAL 1 MINUTE, INTERVAL 3 MINUTES";
  expect(await rowsOf(`SELECT count(*) > 0 FROM hop(clicks, event_time, ${minutes})`)).toEqual([
    [true],
  ]);
  const sessions =
    "SELECT count(*) = (SELECT count(*) FROM clicks) FROM session(clicks, event_time, INTERVAL 1 MINUTE, page)";
  expect(await rowsOf(sessions)).toEqual([[true]]);
  const two = "SELECT event_time, page, 0 AS _behind FROM clicks LIMIT 2";
  for (const [name, call] of [
    ["clicks", "tumble(clicks, event_time, INTERVAL 1 MINUTE)"],
    [
      '"all raw"',
      'tumble_corrected("all raw", event_time, INTERVAL 1 MINUTE, INTERVAL 0 MINUTE, INTERVAL 0 MINUTE)',
    ],
  ])
    expect(await rowsOf(`WITH ${name} AS (${two}) SELECT count(*) FROM ${call}`)).toEqual([[2]]);
});

test("a relation that changed is set up anew, one that a pin lacks is not there any more", async () => {
  const pin = emptyPin(fixture, 0);
  const inline = (value: string) => ({
    name: "millrace.readers",
    columns: [{ name: "reader", type: "VARCHAR" }],
    rows: [[value]],
  });
  for (const value of ["a", "b", "b", "a"])
    expect(
      await answer("SELECT * FROM millrace.readers", { ...pin, inline: [inline(value)] }),
    ).toContain(`[["${value}"]]`);
  const gone = await fixture.service.ask(
    question("SELECT * FROM millrace.readers"),
    provider({ ...pin, inline: [] }).pinFor,
  );
  expect(gone).toMatchObject({ problem: { code: "unknown_relation" } });
});

test("every relation that a question names is asked for, only those that it reads are set up", async () => {
  const asked = provider({
    ...emptyPin(fixture, 0),
    views: [pageViews(["/nowhere/lost.parquet"], [], null)],
  });
  const sql =
    "WITH page_views AS (SELECT 1 AS a) SELECT * FROM page_views, Clicks, millrace.READERS";
  expect((await fixture.service.ask(question(sql), asked.pinFor)).kind).toBe("answer");
  expect(asked.asked).toHaveLength(1);
  expect(asked.asked[0]).toEqual(
    expect.arrayContaining(["clicks", "page_views", "millrace.readers"]),
  );
  expect(asked.released).toBe(1);
});

test("a data file that is gone is our fault, not the question's", async () => {
  const pin = {
    ...emptyPin(fixture, 0),
    views: [pageViews([join(fixture.warehouse, "lost.parquet")], [], null)],
  };
  const lost = await fixture.service.ask(question("FROM page_views"), provider(pin).pinFor);
  expect(lost).toMatchObject({ problem: { status: 500, code: "damaged_file" } });
  expect(await answer("SELECT 1", pin)).toContain("[[1]]");
});
