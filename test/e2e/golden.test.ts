// The bundled real clicks, posted in order, shuffled within the out-of-orderness, in bodies of 1, 7 and 1,000 events, with every event
// sent twice: the same rows, equal to DuckDB's answer to the same view text over the same events.
import { afterAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { seeded } from "../../bench/load-body.ts";
import { Appliance, exampleClicks, temporaryFolder } from "./appliance.ts";
import { batchRows, exactDistinct, HLL_SIX_SIGMA, inLogOrder } from "./oracle.ts";

const EXAMPLE = join(import.meta.dir, "..", "..", "examples", "clickstream");
const CONFIG = join(EXAMPLE, "millrace.yaml");
const OUT_OF_ORDERNESS_MS = 10_000;
interface Written {
  readonly sql: string;
  readonly rollups?: readonly string[];
}
/** Every view and rollup with the text that has its rows: a rollup's is the view's over longer windows, where no event is late. */
const views = Object.entries(
  (parse(readFileSync(CONFIG, "utf8")) as { views: Record<string, Written> }).views,
).flatMap(([name, { sql, rollups = [] }]): [string, { readonly sql: string }][] => [
  [name, { sql }],
  ...rollups.map((every): [string, { readonly sql: string }] => [
    `${name}_${every.replace(/ (.).*/, "$1")}`,
    { sql: sql.replace("INTERVAL 1 MINUTE", `INTERVAL ${every}`) },
  ]),
]);
const clicks = exampleClicks();

/** DuckDB's rows of each view over events that came in this order. */
async function expectedOf(events: readonly string[]): Promise<Map<string, string[][]>> {
  const expected = new Map<string, string[][]>();
  for (const [name, { sql }] of views) {
    const text = inLogOrder(exactDistinct(sql));
    expected.set(name, await batchRows(events, text, { stream: "clicks", columns: COLUMNS }));
  }
  return expected;
}

/** The example's stream as DuckDB types. */
const COLUMNS = {
  event_id: "BIGINT",
  event_time: "TIMESTAMPTZ",
  event_type: "VARCHAR",
  page_url: "VARCHAR",
  product_id: "BIGINT",
  category_id: "BIGINT",
  category_code: "VARCHAR",
  brand: "VARCHAR",
  price: "DECIMAL(10,2)",
  user_id: "BIGINT",
  user_session: "VARCHAR",
};

function timeOf(click: string): number {
  return Date.parse((JSON.parse(click) as { event_time: string }).event_time);
}

/** Clicks in an order in which none comes more than the out-of-orderness behind one that was before it. */
function shuffled(seed: number): string[] {
  const random = seeded(seed);
  return clicks
    .map((click) => ({ click, at: timeOf(click) + random() * (OUT_OF_ORDERNESS_MS - 1) }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ click }) => click);
}

/** Posts bodies over `connections` connections; every event twice when `twice`. Returns the last position. */
async function play(
  appliance: Appliance,
  events: readonly string[],
  size: number,
  twice: boolean,
): Promise<number> {
  const bodies: string[] = [];
  for (let at = 0; at < events.length; at += size)
    bodies.push(events.slice(at, at + size).join("\n"));
  let position = 0;
  let accepted = 0;
  let duplicates = 0;
  for (const body of bodies) {
    for (let time = 0; time < (twice ? 2 : 1); time++) {
      const answer = await appliance.send(body);
      accepted += answer.accepted;
      duplicates += answer.duplicates;
      position = answer.position;
    }
  }
  expect(accepted).toBe(events.length);
  expect(duplicates).toBe(twice ? events.length : 0);
  return position;
}

async function compare(
  appliance: Appliance,
  position: number,
  expected: ReadonlyMap<string, string[][]>,
): Promise<void> {
  for (const [name, { sql }] of views) {
    const columns = await appliance.rows(
      `SELECT * EXCLUDE (is_final, revision) FROM ${name} LIMIT 0`,
    );
    const sketch = columns.columns.map(({ name: column }) =>
      new RegExp(`approx_count_distinct\\([^)]*\\)\\s+AS\\s+${column}\\b`, "i").test(sql),
    );
    const { rows } = await appliance.rows(
      `SELECT COLUMNS(*)::VARCHAR FROM (SELECT * EXCLUDE (is_final, revision) FROM ${name}) ORDER BY ALL`,
      position,
    );
    const batch = expected.get(name) ?? [];
    expect(rows.length).toBe(batch.length);
    const exact = (row: readonly unknown[]): string =>
      row.map((cell, at) => (sketch[at] === true ? "~" : String(cell))).join("|");
    const byKey = new Map(batch.map((row) => [exact(row), row]));
    for (const row of rows) {
      const same = byKey.get(exact(row));
      if (same === undefined) throw new Error(`${name}: not a row of the batch: ${row.join("|")}`);
      for (const [at, isSketch] of sketch.entries())
        if (isSketch)
          expect(Math.abs(Number(row[at]) - Number(same[at]))).toBeLessThanOrEqual(
            Math.max(1, Number(same[at]) * HLL_SIX_SIGMA),
          );
    }
  }
}

const folders: (() => void)[] = [];
afterAll(() => {
  for (const dispose of folders) dispose();
});

const cases = [
  { title: "in order, bodies of 1,000", events: () => clicks, size: 1000, twice: false },
  { title: "in order, bodies of 7, every event twice", events: () => clicks, size: 7, twice: true },
  { title: "in order, bodies of 1", events: () => clicks, size: 1, twice: false },
  {
    title: "shuffled, bodies of 1,000, every event twice",
    events: () => shuffled(7),
    size: 1000,
    twice: true,
  },
  { title: "shuffled, bodies of 7", events: () => shuffled(8), size: 7, twice: false },
];

for (const { title, events, size, twice } of cases)
  test(
    title,
    async () => {
      const folder = temporaryFolder();
      folders.push(folder.dispose);
      const appliance = await Appliance.start({ config: CONFIG, data: folder.path });
      try {
        const sent = events();
        const position = await play(appliance, sent, size, twice);
        await compare(appliance, position, await expectedOf(sent));
      } finally {
        await appliance.kill();
      }
    },
    { timeout: 180_000 },
  );
