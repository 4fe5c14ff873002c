// kill -9 at random moments under load (20, or as many as `npm run kills` asks for), with clients that send again what was not acknowledged: every event that was ever sent is there
// exactly once, and the windows equal a recomputation from the raw events.
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { seeded } from "../../bench/load-body.ts";
import { Appliance, temporaryFolder, type EventsAnswer } from "./appliance.ts";

const KILLS = Number(process.env["MILLRACE_KILLS"] ?? 20);
/** Time for one, ms: most of it is starts and checks on a busy machine. */
const KILL_MS_MAX = 15_000;
const CLIENTS = 6;
const EVENTS_PER_BODY = 40;
const CONFIG = join(import.meta.dir, "..", "..", "bench", "clicks.yaml");
/** Small intervals, so that checkpoints, epochs and log files are cut many times between kills. */
const FLAGS = [
  "--checkpoint.interval=150ms",
  "--export.interval=200ms",
  "--log.file_size=1MB",
  "--streams.clicks.out_of_orderness=0s",
  "--streams.clicks.dedup_ttl=1h",
];

const folder = temporaryFolder();
afterAll(folder.dispose);

/** Ids that the clients were told are accepted, and the highest position of those answers. */
class Acknowledged {
  readonly ids = new Set<string>();
  /** Those that no check has looked for. */
  fresh: string[] = [];
  position = 0;
}

/** Ids that checks found stored, up to a position. */
class Stored {
  readonly ids = new Set<string>();
  position = 0;
}

function body(prefix: string, time: number): string {
  return Array.from({ length: EVENTS_PER_BODY }, (_, row) =>
    JSON.stringify({
      event_id: `${prefix}-${row}`,
      event_time: new Date(time).toISOString(),
      event_type: row % 3 === 0 ? "cart" : "view",
      user_id: `u${row % 17}`,
      session_id: "s",
      page_url: `/${row}`,
      category: `c${row % 5}`,
      brand: "b",
      price: row / 4,
      country: "DE",
    }),
  ).join("\n");
}

/** Ids of a body, as `body` gives them. */
function idsOf(prefix: string): string[] {
  return Array.from({ length: EVENTS_PER_BODY }, (_, row) => `${prefix}-${row}`);
}

interface Sent {
  readonly prefix: string;
  readonly body: string;
}

/**
 * A producer that lives longer than the appliance: a body is sent until an answer to it has come. Times advance by two seconds a body,
 * so that minutes close under way.
 */
class Client {
  readonly #name: string;
  readonly #clock: { ms: number };
  readonly #acknowledged: Acknowledged;
  #count = 0;
  #last: Sent | null = null;
  #unanswered: Sent | null = null;

  constructor(name: string, clock: { ms: number }, acknowledged: Acknowledged) {
    this.#name = name;
    this.#clock = clock;
    this.#acknowledged = acknowledged;
  }

  /** Sends until the connection breaks. */
  async run(appliance: Appliance): Promise<void> {
    try {
      await this.settle(appliance);
      for (;;) {
        const prefix = `${this.#name}n${this.#count++}`;
        this.#clock.ms += 2000;
        this.#unanswered = { prefix, body: body(prefix, this.#clock.ms) };
        const answer = await this.#send(appliance, this.#unanswered);
        expect(answer).toMatchObject({ accepted: EVENTS_PER_BODY, duplicates: 0 });
      }
    } catch (error) {
      if (!appliance.isKilled) throw error;
    }
  }

  /** Sends the last answered body again, as if its answer had been lost, and what has no answer yet. */
  async settle(appliance: Appliance): Promise<void> {
    if (this.#last !== null) {
      const again = await this.#send(appliance, this.#last);
      expect(again).toMatchObject({ accepted: 0, duplicates: EVENTS_PER_BODY, rejected: 0 });
    }
    if (this.#unanswered === null) return;
    const { accepted, duplicates } = await this.#send(appliance, this.#unanswered);
    expect([0, EVENTS_PER_BODY]).toContain(accepted);
    expect(accepted + duplicates).toBe(EVENTS_PER_BODY);
  }

  async #send(appliance: Appliance, sent: Sent): Promise<EventsAnswer> {
    const answer = await appliance.send(sent.body);
    for (const id of idsOf(sent.prefix)) {
      this.#acknowledged.ids.add(id);
      this.#acknowledged.fresh.push(id);
    }
    this.#acknowledged.position = Math.max(this.#acknowledged.position, answer.position);
    this.#last = sent;
    if (this.#unanswered === sent) this.#unanswered = null;
    return answer;
  }

  /** Bodies that were ever sent. */
  get count(): number {
    return this.#count;
  }
}

async function check(
  appliance: Appliance,
  acknowledged: Acknowledged,
  stored: Stored,
): Promise<void> {
  const { rows, position } = await appliance.rows(
    `SELECT event_id FROM clicks WHERE _position > ${stored.position}`,
    acknowledged.position,
  );
  const ids = rows.map(([id]) => String(id));
  expect(ids.filter((id) => stored.ids.has(id))).toEqual([]);
  const before = stored.ids.size;
  for (const id of ids) stored.ids.add(id);
  stored.position = position;
  const all = await appliance.rows(`SELECT count(*) FROM clicks WHERE _position <= ${position}`);
  expect([stored.ids.size, Number(all.rows[0]?.[0])]).toEqual([
    before + ids.length,
    stored.ids.size,
  ]);
  expect(acknowledged.fresh.filter((id) => !stored.ids.has(id))).toEqual([]);
  acknowledged.fresh = [];
  const same = await appliance.rows(
    `WITH batch AS (
       SELECT date_trunc('minute', event_time) AS window_start, event_type, category, count(*) AS events, sum(price) AS revenue
       FROM clicks WHERE epoch_us(event_time) + _behind < epoch_us(date_trunc('minute', event_time) + INTERVAL 1 MINUTE) GROUP BY ALL),
     stream AS (SELECT window_start, event_type, category, events, revenue FROM per_minute)
     SELECT (SELECT count(*) FROM (FROM batch EXCEPT ALL FROM stream)),
            (SELECT count(*) FROM (FROM stream EXCEPT ALL FROM batch)), (SELECT count(*) FROM stream),
            (SELECT count(*) FROM millrace.late_events)
              - (SELECT count(*) FROM clicks WHERE epoch_us(event_time) + _behind >= epoch_us(date_trunc('minute', event_time) + INTERVAL 1 MINUTE))`,
  );
  expect(same.rows[0]?.slice(0, 2).map(Number)).toEqual([0, 0]);
  expect(Number(same.rows[0]?.[2])).toBeGreaterThan(0);
  expect(Number(same.rows[0]?.[3])).toBe(0);
}

test(
  `${KILLS} kills: what is sent again until it is acknowledged is there exactly once`,
  async () => {
    const random = seeded(Number(process.env["MILLRACE_TEST_SEED"] ?? 20_261_121));
    const acknowledged = new Acknowledged();
    const stored = new Stored();
    // A day ago for each 20 kills: never ahead of its receipt, far enough behind to advance for the whole test.
    const clock = { ms: Date.now() - 86_400_000 * Math.ceil(KILLS / 20) };
    const clients = Array.from(
      { length: CLIENTS },
      (_, n) => new Client(`c${n}`, clock, acknowledged),
    );
    for (let kill = 0; kill < KILLS; kill++) {
      const appliance = await Appliance.start({ config: CONFIG, data: folder.path, flags: FLAGS });
      if (kill > 0) await check(appliance, acknowledged, stored);
      const running = clients.map((client) => client.run(appliance));
      await Bun.sleep(100 + random() * 900);
      await appliance.kill();
      await Promise.all(running);
    }
    const last = await Appliance.start({ config: CONFIG, data: folder.path, flags: FLAGS });
    await Promise.all(clients.map((client) => client.settle(last)));
    await check(last, acknowledged, stored);
    const sent = clients.reduce((sum, client) => sum + client.count, 0) * EVENTS_PER_BODY;
    expect(sent).toBeGreaterThan(KILLS * EVENTS_PER_BODY);
    expect(acknowledged.ids.size).toBe(sent);
    const { rows } = await last.rows(
      `SELECT count(*), count(DISTINCT event_id), (SELECT sum(events) FROM per_minute) + (SELECT count(*) FROM millrace.late_events)
       FROM clicks`,
      acknowledged.position,
    );
    expect(rows[0]?.map(Number)).toEqual([sent, sent, sent]);
    const code = await last.stop();
    if (code !== 0) throw new Error(last.output);
  },
  { timeout: KILLS * KILL_MS_MAX },
);
