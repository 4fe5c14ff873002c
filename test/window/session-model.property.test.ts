// The model of sessions against batch: whatever the order of events and the watermark do, the stream's sessions are exactly the gaps and
// islands of the events that were not late. DuckDB makes the islands.
import { afterAll, expect, test } from "bun:test";
import fc from "fast-check";
import { ReferenceSessions, type ReferenceSession } from "../../kernels/reference/session.ts";
import { DuckDb, duckText } from "../../src/base/duckdb.ts";

interface Event {
  readonly key: string;
  readonly timeUs: bigint;
}

interface Run {
  readonly events: readonly Event[];
  readonly gapUs: bigint;
  readonly outOfOrdernessUs: bigint;
  readonly allowedUs: bigint | null;
}

const runArbitrary: fc.Arbitrary<Run> = fc.record({
  events: fc.array(fc.record({ key: fc.constantFrom("a", "b"), timeUs: fc.bigInt(-20n, 60n) }), {
    minLength: 1,
    maxLength: 30,
  }),
  gapUs: fc.constantFrom(1n, 2n, 5n, 9n),
  outOfOrdernessUs: fc.constantFrom(0n, 1n, 4n, 15n, 40n),
  allowedUs: fc.constantFrom(null, null, 0n, 3n, 100n),
});

/** Sessions that are out or open after all events, and the events that are in them. */
function stream({ events, gapUs, outOfOrdernessUs, allowedUs }: Run): {
  readonly sessions: readonly ReferenceSession<Event>[];
  readonly applied: readonly Event[];
  readonly keptMax: number;
} {
  const model = new ReferenceSessions<Event>(gapUs, allowedUs);
  const applied: Event[] = [];
  let highest: bigint | null = null;
  let keptMax = 0;
  for (const event of events) {
    if (model.add(event.key, event.timeUs, event).kind !== "late") applied.push(event);
    if (highest === null || event.timeUs > highest) highest = event.timeUs;
    model.advance(highest - outOfOrdernessUs);
    for (const key of ["a", "b"])
      keptMax = Math.max(keptMax, model.kept.filter((session) => session.key === key).length);
  }
  return { sessions: [...model.rows(), ...model.open], applied, keptMax };
}

function lines(sessions: readonly (readonly [string, bigint, bigint, number])[]): string {
  return sessions
    .map((session) => session.join(" "))
    .toSorted()
    .join("\n");
}

/** Gaps and islands of sorted times, key by key. */
function islands(events: readonly Event[], gapUs: bigint): [string, bigint, bigint, number][] {
  const found: [string, bigint, bigint, number][] = [];
  for (const key of new Set(events.map((event) => event.key))) {
    const times = events.flatMap((event) => (event.key === key ? [event.timeUs] : []));
    let session: [string, bigint, bigint, number] | undefined;
    for (const time of times.toSorted((a, b) => Number(a - b))) {
      if (session === undefined || time > session[2] + gapUs)
        found.push((session = [key, time, time, 0]));
      session[2] = time;
      session[3]++;
    }
  }
  return found;
}

function sessionLines(sessions: readonly ReferenceSession<Event>[]): string {
  return lines(sessions.map((s) => [s.key, s.startUs, s.lastUs, s.events.length]));
}

test("the stream's sessions are the batch sessions of what was not late", () => {
  fc.assert(
    fc.property(runArbitrary, (run) => {
      const { sessions, applied, keptMax } = stream(run);
      expect(sessionLines(sessions)).toBe(lines(islands(applied, run.gapUs)));
      // What the kernels rely on: a key has one closed session whose range is kept, at most.
      expect(keptMax).toBeLessThanOrEqual(1);
    }),
    { numRuns: Number(process.env["RUNS"] ?? 1000) },
  );
}, 600_000);

test("a model that keeps no events gives the same verdicts", () => {
  fc.assert(
    fc.property(runArbitrary, ({ events, gapUs, outOfOrdernessUs, allowedUs }) => {
      const models = [true, false].map((isKeeping) => {
        return new ReferenceSessions<Event>(gapUs, allowedUs, isKeeping);
      });
      let highest: bigint | null = null;
      for (const event of events) {
        const verdicts = models.map((model) => model.add(event.key, event.timeUs, event));
        expect(verdicts[1]).toEqual(verdicts[0]);
        if (highest === null || event.timeUs > highest) highest = event.timeUs;
        for (const model of models) model.advance(highest - outOfOrdernessUs);
      }
      expect(models[1]?.out).toEqual([]);
      expect(models[1]?.open.flatMap((session) => session.events)).toEqual([]);
    }),
  );
});

const db = await DuckDb.open({ threads: "1" });
afterAll(() => db.close());

test("the batch sessions are those of DuckDB", async () => {
  const connection = await db.connect();
  await fc.assert(
    fc.asyncProperty(runArbitrary, async (run) => {
      const { sessions, applied } = stream(run);
      const values = applied.map(({ key, timeUs }) => `('${key}', ${timeUs}::BIGINT)`).join(", ");
      const { rows } = await connection.run(`
        WITH e AS (SELECT * FROM (VALUES ${values}) v(k, t)),
        marked AS (SELECT k, t, t - lag(t) OVER (PARTITION BY k ORDER BY t) > ${run.gapUs} AS gap FROM e),
        numbered AS (SELECT k, t, sum(coalesce(gap, true)::INT) OVER (PARTITION BY k ORDER BY t) AS n FROM marked)
        SELECT string_agg(line, chr(10) ORDER BY line) FROM (
          SELECT k || ' ' || min(t) || ' ' || max(t) || ' ' || count(*) AS line FROM numbered GROUP BY k, n)`);
      expect(sessionLines(sessions).split("\n").toSorted()).toEqual(
        duckText(rows[0]?.[0]).split("\n").toSorted(),
      );
    }),
    { numRuns: 60 },
  );
  connection.close();
}, 180_000);
