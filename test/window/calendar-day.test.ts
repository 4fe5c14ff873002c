// Calendar days in time zones, against DuckDB: days of 23 and 25 hours, zones half an hour off, a day that never was.
import { expect, test } from "bun:test";
import { DuckDb } from "../../src/base/duckdb.ts";
import { CalendarDays } from "../../src/window/calendar-day.ts";

const ZONES = [
  "UTC",
  "Europe/Berlin",
  "America/New_York",
  "America/Sao_Paulo",
  "Asia/Kolkata",
  "Australia/Lord_Howe",
  "Pacific/Apia",
];

test("days of all zones are DuckDB's, one after the other", async () => {
  const db = await DuckDb.open({ threads: "1" });
  const connection = await db.connect();
  for (const zone of ZONES) {
    // every 7 h 13 min of five years: each day of each transition is among them
    const { rows } = await connection.run(`
      WITH times AS (SELECT TIMESTAMPTZ '2009-06-01 00:00:00+00' + INTERVAL 433 MINUTE * i AS t FROM range(6070) n(i)),
      days AS (SELECT t, timezone('${zone}', date_trunc('day', timezone('${zone}', t))) AS s FROM times)
      SELECT epoch_us(any_value(t)), epoch_us(s) FROM days GROUP BY s ORDER BY s`);
    const days = new CalendarDays(zone);
    const starts = rows.map(([, start]) => start as bigint);
    expect(starts.length).toBeGreaterThan(1_820);
    const ranges = rows.map(([time]) => days.dayOf(time as bigint));
    expect(ranges.map(({ startUs }) => startUs)).toEqual(starts);
    expect(ranges.slice(0, -1).map(({ endUs }) => endUs)).toEqual(starts.slice(1));
  }
  connection.close();
  db.close();
}, 60_000);

test("an unknown zone is refused", () => {
  expect(() => new CalendarDays("Europe/Atlantis")).toThrow(RangeError);
});
