// Calendar days in time zones, against DuckDB: days of 23 and 25 hours, zones half an hour off, a day that never was.
import { expect, test } from "bun:test";
import { DuckDb } from "../../src/base/duckdb.ts";
import { batchText } from "../../src/view/batch.ts";
import { WINDOW_MACROS } from "../../src/view/macros.ts";
import { columnList, ViewParser } from "../../src/view/parse.ts";
import { rollupPlans } from "../../src/view/rollup.ts";
import { CalendarDays } from "../../src/window/calendar-day.ts";
import { planOf, SCHEMA } from "../view/fixture.ts";

const ZONES = [
  "UTC",
  "Europe/Berlin",
  "America/New_York",
  "America/Sao_Paulo",
  "Asia/Kolkata",
  "Australia/Lord_Howe",
  "Pacific/Apia",
  // two midnights in one night
  "America/Havana",
  "Asia/Gaza",
  // no midnight
  "Asia/Beirut",
  "Africa/Cairo",
  // the clock went back at one minute past midnight, to the day before
  "America/St_Johns",
];

test("days begin at the first instant of each local date, as DuckDB has it; and so do the batch's", async () => {
  const db = await DuckDb.open({ threads: "1" });
  const connection = await db.connect();
  await connection.execute([...WINDOW_MACROS, `CREATE TABLE clicks (${columnList(SCHEMA)})`]);
  // quarters of an hour up to the start of 2012: the offsets of these zones are multiples of it
  await connection.run(
    "INSERT INTO clicks BY NAME SELECT TIMESTAMPTZ '2009-06-01 00:00:00+00' + INTERVAL 15 MINUTES * i AS event_time, 0 AS _behind FROM range(91_000) n(i)",
  );
  const parser = await ViewParser.open();
  const bottom = await planOf(
    parser,
    "SELECT window_start, window_end, count(*) AS n FROM tumble(clicks, event_time, INTERVAL 15 MINUTES) GROUP BY ALL",
  );
  parser.close();
  for (const timeZone of ZONES) {
    const { rows } = await connection.run(
      `SELECT epoch_us(min(event_time)) FROM clicks GROUP BY date_trunc('day', timezone('${timeZone}', event_time)) ORDER BY 1`,
    );
    // the first and the last day are cut
    const starts = rows.map(([start]) => start as bigint).slice(1);
    expect(starts.length).toBeGreaterThan(940);
    const days = new CalendarDays(timeZone);
    for (const [index, startUs] of starts.slice(0, -1).entries()) {
      const endUs = starts[index + 1] ?? 0n;
      // backwards, so that nothing is known of the day yet
      const times = [endUs - 1n, startUs + 3_600_000_000n, startUs];
      const found = times.map((timeUs) => days.dayOf(timeUs));
      expect(found).toEqual(times.map(() => ({ startUs, endUs })));
    }
    const made = rollupPlans(bottom, [{ everyUs: 86_400_000_000, timeZone }]);
    const [plan] = made.kind === "plans" ? made.plans : [];
    if (plan === undefined) throw new Error(timeZone);
    const batch = await connection.run(
      `SELECT epoch_us(window_start), epoch_us(window_end), n FROM (${batchText(plan, { relation: "clicks", schema: SCHEMA, bottom })}) ORDER BY 1`,
    );
    expect(batch.rows.slice(1, -1)).toEqual(
      starts.slice(0, -1).map((startUs, index) => {
        const endUs = starts[index + 1] ?? 0n;
        return [startUs, endUs, (endUs - startUs) / 900_000_000n];
      }),
    );
  }
  connection.close();
  db.close();
}, 120_000);

test("days of before 1970, whose offsets have seconds, are DuckDB's too", async () => {
  const db = await DuckDb.open({ threads: "1" });
  const connection = await db.connect();
  const beginUs = BigInt(Date.UTC(1850, 0, 1)) * 1000n;
  for (const timeZone of [...ZONES, "Europe/Amsterdam", "Africa/Monrovia", "Asia/Kathmandu"]) {
    const days = new CalendarDays(timeZone);
    const values = Array.from({ length: 120 }, (_, n) => {
      // 366 days and some hours apart, so that days of all seasons come up
      const timeUs = beginUs + BigInt(n) * 31_640_000_123_000n;
      const { startUs, endUs } = days.dayOf(timeUs);
      return `(${timeUs}, ${startUs}, ${endUs})`;
    });
    const date = (us: string): string =>
      `date_trunc('day', timezone('${timeZone}', make_timestamptz(${us})))`;
    const { rows } = await connection.run(
      `SELECT t, s, e FROM (VALUES ${values.join(", ")}) v(t, s, e)
       WHERE t < s OR t >= e OR ${date("s")} <> ${date("t")} OR ${date("s - 1")} >= ${date("s")} OR ${date("e - 1")} <> ${date("s")} OR ${date("e")} <= ${date("s")}`,
    );
    expect(rows).toEqual([]);
  }
  connection.close();
  db.close();
}, 60_000);

test("an unknown zone is refused", () => {
  expect(() => new CalendarDays("Europe/Atlantis")).toThrow(RangeError);
});
