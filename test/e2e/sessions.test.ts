// Sessions over the whole path, with events late by up to minutes, while the process is killed again and again: under `side` and under
// `update` the rows are exactly the islands that DuckDB finds in the raw events that are not among the view's late ones.
import { afterAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Appliance, temporaryFolder } from "./appliance.ts";
import { CLICK } from "./click.ts";

const SCHEMA = join(import.meta.dir, "..", "..", "bench", "clicks.avsc");
const SQL = `SELECT window_start, window_end, user_id, count(*) AS n, sum(price) AS total, first(page_url) AS entry_page,
        last(page_url) AS exit_page, max(brand) AS brand
      FROM session(clicks, event_time, INTERVAL 60 SECONDS, user_id) GROUP BY ALL`;
const CONFIG = `streams:
  clicks:
    schema: ${SCHEMA}
    event_time: event_time
    event_id: event_id
    out_of_orderness: 10s
views:
  visits:
    sql: |
      ${SQL}
  corrected_visits:
    sql: |
      ${SQL}
    late: { policy: update, allowed: 1m }
`;
const FLAGS = ["--export.interval=200ms", "--checkpoint.interval=1s"];
const folder = temporaryFolder();
afterAll(folder.dispose);

/** A pseudo-random number below `n`. */
function pick(seed: number, n: number): number {
  return (Math.imul(seed + 1, 0x9e3779b1) >>> 8) % n;
}

/** The `index`-th event: two a second of 40 users; one of six is late, up to two minutes and a half. */
function event(index: number): string {
  const timeMs = index * 500 - (pick(index, 6) === 0 ? pick(index * 7, 150_000) : 0);
  return JSON.stringify({
    event_id: `e${index}`,
    event_time: new Date(Date.UTC(2025, 5, 1, 12) + timeMs).toISOString(),
    ...CLICK,
    user_id: `u${pick(index * 5, 40)}`,
    page_url: `/a/page/with/a/number/${index}`,
    brand: `a brand with the number ${pick(index * 3, 1000)}`,
    price: (index % 100) / 4,
  });
}

const COLUMNS =
  "epoch_us(window_start), epoch_us(window_end), user_id, n, total, entry_page, exit_page, brand";

/** What DuckDB makes of the raw events without the late ones of a view. */
function islands(view: string): string {
  return `WITH fine AS (SELECT * FROM clicks c WHERE NOT EXISTS (
      SELECT 1 FROM millrace.late_events l WHERE l.view = '${view}' AND l._position = c._position AND l._index = c._index))
    SELECT epoch_us(window_start), epoch_us(window_end), user_id, count(*), sum(price),
      first(page_url ORDER BY _position, _index), last(page_url ORDER BY _position, _index), max(brand)
    FROM session(fine, event_time, INTERVAL 60 SECONDS, user_id) GROUP BY window_start, window_end, user_id ORDER BY ALL`;
}

async function check(appliance: Appliance): Promise<void> {
  for (const view of ["visits", "corrected_visits"]) {
    const seen = await appliance.rows(`SELECT ${COLUMNS} FROM ${view} ORDER BY ALL`);
    const wanted = await appliance.rows(islands(view));
    expect(wanted.position).toBe(seen.position);
    expect(seen.rows).toEqual(wanted.rows);
  }
}

test(
  "sessions are the islands of what is not late, over kills and restarts",
  async () => {
    const config = join(folder.path, "sessions.yaml");
    const data = join(folder.path, "data");
    writeFileSync(config, CONFIG);
    const count = 4000;
    for (let index = 0; index < count;) {
      const appliance = await Appliance.start({ config, data, flags: FLAGS });
      await check(appliance);
      for (const end = index + 1400; index < Math.min(end, count); index += 100) {
        const events = Array.from({ length: 100 }, (_, at) => event(index + at));
        const { accepted, duplicates } = await appliance.send(events.join("\n"));
        expect(accepted + duplicates).toBe(100);
        if (index % 500 === 0) await Bun.sleep(300);
      }
      await check(appliance);
      await Bun.sleep(1200);
      await check(appliance);
      await appliance.kill();
      // What was sent last comes again; ids tell.
      if (index < count) index -= 100;
    }
    const last = await Appliance.start({ config, data, flags: FLAGS });
    await last.send(event(count + 2 * 3600));
    await check(last);
    const { rows } =
      await last.rows(`SELECT 'side', count(*), sum(revision) FROM visits WHERE is_final
      UNION ALL SELECT 'update', count(*), sum(revision) FROM corrected_visits WHERE is_final
      UNION ALL SELECT view, count(*), 0 FROM millrace.late_events GROUP BY ALL ORDER BY ALL`);
    const found = new Map(rows.map(([name, n, revision]) => [name, [Number(n), Number(revision)]]));
    expect(found.get("side")?.[1]).toBe(0);
    expect(found.get("update")?.[1]).toBeGreaterThan(50);
    expect(found.get("visits")?.[0]).toBeGreaterThan(found.get("corrected_visits")?.[0] ?? 0);
    expect(await last.stop()).toBe(0);
  },
  { timeout: 120_000 },
);
