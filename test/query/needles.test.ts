// Batches without a text that the question wants are passed over, and never one too many: against the same question in a form that
// passes nothing over.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DuckDb, type DuckConnection } from "../../src/base/duckdb.ts";
import { buildImage, streamImageColumns } from "../../src/event/image.ts";
import { BatchImage } from "../../src/query/batch-image.ts";
import { guardQuestion } from "../../src/query/guard.ts";
import { imageScan } from "../../src/query/image-scan.ts";
import { knownNeedles, type Needle } from "../../src/query/needles.ts";
import {
  emptyPin,
  eventRow,
  eventsRecord,
  openFixture,
  provider,
  question,
  SCHEMA,
  textOf,
  type Fixture,
} from "./fixture.ts";

const BATCHES = 40;
const ROWS = 25;
let fixture: Fixture;
let db: DuckDb;
let parser: DuckConnection;
beforeAll(async () => {
  fixture = await openFixture();
  const record = (position: number) =>
    eventsRecord(
      position,
      Array.from({ length: ROWS }, (_, index) => {
        const row = eventRow(position * ROWS + index);
        row[1] = index % 5 === 0 ? null : `${index % 3 === 0 ? "/" : "/p"}${position % 8}`;
        return row;
      }),
    );
  fixture.append(Array.from({ length: BATCHES }, (_, index) => record(index + 1)));
  db = await DuckDb.open();
  parser = await db.connect();
});
afterAll(async () => {
  parser.close();
  db.close();
  await fixture.close();
});

async function needlesOf(sql: string): Promise<readonly Needle[]> {
  const guarded = await guardQuestion(parser, sql);
  if (guarded.kind === "refused") throw new Error(guarded.problem.detail);
  return guarded.needles;
}

describe("which texts a question's rows must have", () => {
  const page = { relation: "clicks", column: "page", text: "/a" };
  test.each([
    ["SELECT * FROM clicks WHERE page = '/a'", [page]],
    ["SELECT * FROM main.CLICKS c WHERE '/a' = PAGE AND n > 1", [page]],
    ["WITH a AS (SELECT * FROM clicks WHERE page = '/a') SELECT * FROM a, a b", [page]],
    ["SELECT (SELECT count(*) FROM clicks WHERE (n > 1 AND page = '/a') AND ok)", [page]],
    [
      "SELECT * FROM clicks WHERE page = $1",
      [{ relation: "clicks", column: "page", text: { parameter: "1" } }],
    ],
    ["SELECT * FROM clicks WHERE page = '/a' OR n > 1", []],
    ["SELECT * FROM clicks WHERE NOT page = '/a'", []],
    ["SELECT * FROM clicks WHERE page <> '/a'", []],
    ["SELECT * FROM clicks WHERE c.page = '/a'", []],
    ["SELECT * FROM clicks WHERE n = 1", []],
    ["SELECT * FROM clicks c(page, n) WHERE page = '/a'", []],
    ["SELECT * FROM clicks TABLESAMPLE 10 ROWS WHERE page = '/a'", []],
    ["SELECT * FROM clicks WHERE page = '/a' USING SAMPLE 10 ROWS", []],
    ["SELECT * FROM clicks JOIN clicks d USING (id) WHERE page = '/a'", []],
    ["SELECT * FROM clicks WHERE page = '/a' UNION ALL FROM clicks", []],
    ["SELECT * FROM clicks WHERE page = '/a' AND n = (SELECT max(n) FROM clicks)", []],
    ["SELECT count(*) FROM clicks HAVING count(*) = 1", []],
    ["WITH clicks AS (SELECT 'a' AS page) SELECT * FROM clicks WHERE page = '/a'", []],
  ] as const)("%s", async (sql, expected) => {
    expect(await needlesOf(sql)).toEqual([...expected]);
  });

  test("a parameter that is no text asks for no text", () => {
    const needles: Needle[] = [{ relation: "clicks", column: "page", text: { parameter: "2" } }];
    expect(knownNeedles(needles, "clicks", ["a", 5])).toEqual([]);
    expect(knownNeedles(needles, "clicks", [])).toEqual([]);
    expect(knownNeedles(needles, "per_page", ["a", "b"])).toEqual([]);
    expect(knownNeedles(needles, "clicks", ["a", "ü"])).toEqual([
      { column: "page", text: Buffer.from("ü") },
    ]);
  });
});

test("batches without the text are not read, plain or with a dictionary", () => {
  const columns = streamImageColumns(SCHEMA);
  const image = (text: string | null, dictionary: boolean): BatchImage => {
    const row = eventRow(1);
    row[1] = text;
    return new BatchImage(buildImage(columns, [row], dictionary ? new Set([1]) : new Set()));
  };
  const texts = ["/a", null, "/ab", "", "/ü", "/b"];
  const batches = [false, true].flatMap((dictionary) =>
    texts.map((text) => ({ image: image(text, dictionary), fixed: [] })),
  );
  const rowsRead = (text: string): number => {
    const scan = imageScan(
      [{ name: "Page", type: { kind: "VARCHAR" }, source: { from: "image", ordinal: 1 } }],
      {
        rowCount: 1,
        needles: [{ column: "page", text: Buffer.from(text) }],
        batches: () => batches,
      },
    );
    const ignore = { values: () => undefined, validity: () => undefined };
    return scan.start([0])().next(ignore, 2048);
  };
  expect(rowsRead("/a")).toBe(4);
  expect(rowsRead("/ü")).toBe(2);
  expect(rowsRead("/c")).toBe(0);
  expect(rowsRead("")).toBe(12);
});

test("an answer is the same as that of a condition which passes nothing over", async () => {
  const ask = async (sql: string, params: readonly string[]): Promise<string> =>
    textOf(
      await fixture.service.ask(
        question(sql, { params }),
        provider(emptyPin(fixture, BATCHES)).pinFor,
      ),
    );
  const value = fc.constantFrom("/", "/p", "/1", "/p1", "/p3", "", "p3", "/p9", "/P3");
  const shape = fc.constantFrom(
    "SELECT count(*), sum(id), min(page) FROM clicks WHERE $C",
    "SELECT upper(page) AS page, _index FROM clicks WHERE $C AND n > 0 ORDER BY ALL",
    "SELECT count(*) FROM (SELECT * FROM clicks WHERE $C) a JOIN range(3) b ON true",
    "WITH a AS (SELECT * FROM clicks WHERE $C AND page = page) SELECT (SELECT count(*) FROM a), count(*) FROM a WHERE ok",
    "SELECT count(*) FROM clicks page WHERE $C",
  );
  await fc.assert(
    fc.asyncProperty(shape, value, fc.boolean(), async (sql, text, isParameter) => {
      const params = isParameter ? [text] : [];
      const right = isParameter ? "$1" : `'${text}'`;
      const passing = await ask(sql.replaceAll("$C", `page = ${right}`), params);
      const plain = await ask(sql.replaceAll("$C", `page IN (${right}, ${right})`), params);
      expect(passing).toBe(plain);
    }),
    { numRuns: 60 },
  );
}, 30_000);
