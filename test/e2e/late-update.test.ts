// Late policy update over the whole path: events late by up to an hour correct closed windows, while the process is killed again and again.
// Every row is what DuckDB makes of the raw events that are not beyond the allowed lateness; its revision counts the late ones; pyiceberg
// reads the same rows. The view's memory_max leaves no room for most closed windows: they leave memory and come back.
import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isPythonMissing, NEEDS_PYTHON, readBack } from "../python/python.ts";
import { Appliance, temporaryFolder } from "./appliance.ts";
import { CLICK } from "./click.ts";

const BENCH = join(import.meta.dir, "..", "..", "bench");
const ALLOWED_S = 3600;
const FLAGS = [
  "--streams.clicks.out_of_orderness=10s",
  "--views.per_minute.late.policy=update",
  `--views.per_minute.late.allowed=${ALLOWED_S}s`,
  "--views.per_minute.memory_max=1MB",
  "--export.interval=200ms",
  "--checkpoint.interval=1s",
];
const folder = temporaryFolder();
afterAll(folder.dispose);

/** The two categories with the most events of every half hour, over a hop. */
const TOP = `  busiest:
    sql: |
      SELECT window_start, category, count(*) AS events
      FROM hop(clicks, event_time, INTERVAL 10 MINUTE, INTERVAL 30 MINUTE) GROUP BY window_start, category
      QUALIFY row_number() OVER (PARTITION BY window_start ORDER BY events DESC, category) <= 2
    late: { policy: update, allowed: ${ALLOWED_S}s }
`;

/** The bench's view, a rollup of it, and the top of a hop. */
const CONFIG = join(folder.path, "clicks.yaml");
const text = readFileSync(join(BENCH, "clicks.yaml"), "utf8");
writeFileSync(
  CONFIG,
  `${text.replace("clicks.avsc", join(BENCH, "clicks.avsc")).trimEnd()}\n    rollups: [1 hour]\n${TOP}`,
);
const DATA = join(folder.path, "data");

/** A pseudo-random number below `n`. */
function pick(seed: number, n: number): number {
  return (Math.imul(seed + 1, 0x9e3779b1) >>> 8) % n;
}

/** The `index`-th event: three a second; one of ten is up to two hours late. */
function event(index: number): string {
  const timeS = Math.floor(index / 3) - (pick(index, 10) === 0 ? pick(index * 7, 7200) : 0);
  return JSON.stringify({
    event_id: `e${index}`,
    event_time: new Date(Date.UTC(2025, 5, 1, 12) + timeS * 1000).toISOString(),
    ...CLICK,
    event_type: pick(index * 3, 2) === 0 ? "view" : "cart",
    user_id: `u${pick(index * 5, 50)}`,
    category: `c${pick(index * 11, 4)}`,
    price: (index % 100) / 4,
  });
}

const VIEW =
  "SELECT epoch_us(window_start), event_type, category, events, revenue, users, revision FROM per_minute ORDER BY ALL";
/** The rollup's rows, and what they are of the rows below. */
const HOURS =
  "SELECT epoch_us(window_start), event_type, category, events, revenue FROM per_minute_1h ORDER BY ALL";
const SUMS = `SELECT epoch_us(time_bucket(INTERVAL 1 HOUR, window_start)), event_type, category, sum(events)::BIGINT, sum(revenue)
  FROM per_minute GROUP BY ALL ORDER BY ALL`;
/** The same of the raw events: those that no watermark had left ALLOWED_S behind. */
const RAW = `
  SELECT epoch_us(start), event_type, category, count(*), sum(price), approx, count(*) FILTER (behind >= INTERVAL 1 MINUTE)
  FROM (SELECT *, time_bucket(INTERVAL 1 MINUTE, event_time) AS start,
      event_time + to_microseconds(_behind) - time_bucket(INTERVAL 1 MINUTE, event_time) AS behind FROM clicks)
  WHERE behind < to_seconds(${60 + ALLOWED_S}) GROUP BY start, event_type, category ORDER BY ALL`;

const BUSIEST =
  "SELECT epoch_us(window_start), category, events, revision FROM busiest ORDER BY ALL";
/** The same of the raw events, each in three windows. */
const RAW_BUSIEST = `
  SELECT epoch_us(start), category, count(*) AS events, count(*) FILTER (behind >= INTERVAL 30 MINUTE)
  FROM (SELECT *, event_time + to_microseconds(_behind) - start AS behind
    FROM (SELECT *, time_bucket(INTERVAL 10 MINUTE, event_time) - to_minutes(unnest([0, 10, 20])) AS start FROM clicks))
  WHERE behind < to_seconds(${1800 + ALLOWED_S}) GROUP BY start, category
  QUALIFY row_number() OVER (PARTITION BY start ORDER BY events DESC, category) <= 2 ORDER BY ALL`;

/** Parts of closed windows on disk. */
function partsOnDisk(): number {
  const state = new Database(join(DATA, "state.db"), { readonly: true });
  const { parts } = state.query("SELECT count(*) AS parts FROM closed_parts").get() as {
    readonly parts: number;
  };
  state.close();
  return parts;
}

test(
  `corrected rows are the batch rows over kills and restarts ${NEEDS_PYTHON}`,
  async () => {
    let index = 0;
    const count = 6000;
    const raw = RAW.replace("approx", "count(DISTINCT user_id)");
    const check = async (appliance: Appliance): Promise<void> => {
      let [seen, wanted] = [await appliance.rows(VIEW), await appliance.rows(raw)];
      // a tick that puts corrections out may come between two questions
      while (wanted.position !== seen.position)
        [seen, wanted] = [await appliance.rows(VIEW), await appliance.rows(raw)];
      expect(seen.rows).toEqual(wanted.rows);
      const [hours, all] = [await appliance.rows(HOURS), await appliance.rows(SUMS)];
      expect(hours.rows).toEqual(all.rows);
      const [top, first] = [await appliance.rows(BUSIEST), await appliance.rows(RAW_BUSIEST)];
      expect(top.rows).toEqual(first.rows);
    };
    for (let round = 0; index < count; round++) {
      const appliance = await Appliance.start({ config: CONFIG, data: DATA, flags: FLAGS });
      await check(appliance);
      const end = index + 2000;
      for (; index < Math.min(end, count); index += 100) {
        const events = Array.from({ length: 100 }, (_, at) => event(index + at));
        const { accepted, duplicates } = await appliance.send(events.join("\n"));
        expect(accepted + duplicates).toBe(100);
        // some records follow one another at once, others let corrections go out
        if (index % 500 === 0) await Bun.sleep(300);
      }
      await check(appliance);
      await Bun.sleep(1500);
      await check(appliance);
      await appliance.kill();
      // what was not acknowledged may come again; ids tell
      if (index < count) index -= 100;
    }
    const last = await Appliance.start({ config: CONFIG, data: DATA, flags: FLAGS });
    await check(last);
    expect(partsOnDisk()).toBeGreaterThan(10);
    // an event that closes every window and makes all of them final
    await last.send(event(count + 3 * 4 * 3600));
    await check(last);
    const { rows } = await last.rows(
      "SELECT count(*), sum(events), sum(revision) FROM per_minute WHERE is_final",
    );
    const late = await last.rows("SELECT count(*) FROM millrace.late_events");
    expect(Number(rows[0]?.[2])).toBeGreaterThan(100);
    expect(Number(late.rows[0]?.[0])).toBeGreaterThan(100);
    expect(await last.stop()).toBe(0);
    expect(partsOnDisk()).toBe(0);
    if (isPythonMissing) return;
    const metadata = join(DATA, "warehouse", "default", "per_minute", "metadata");
    const newest = Math.max(
      ...readdirSync(metadata).map((name) => Number(/^v(\d+)\./.exec(name)?.[1] ?? 0)),
    );
    const read = readBack("iceberg", join(metadata, `v${newest}.metadata.json`)) as {
      readonly rows: unknown[][];
      readonly snapshots: { readonly summary: Record<string, string> }[];
    };
    const sum = (column: number): number =>
      read.rows.reduce((all, row) => all + Number(row[column]), 0);
    expect([read.rows.length, sum(4), sum(7)]).toEqual((rows[0] ?? []).map(Number));
    const operations = read.snapshots.map(({ summary }) => summary["operation"]);
    expect(operations).toContain("overwrite");
  },
  { timeout: 120_000 },
);
