// System relations over the log's trimming, an orderly restart and a kill: late events and dead letters outlive the records that had
// them, the watermark does not go back, readers stand where they stood.
import { afterAll, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { seeded } from "../../bench/load-body.ts";
import { Appliance, temporaryFolder } from "./appliance.ts";
import { CLICK } from "./click.ts";

const CONFIG = join(import.meta.dir, "..", "..", "bench", "clicks.yaml");
/** The log is trimmed soon: small files, epochs and checkpoints every moment. */
const FLAGS = ["--log.file_size=1MB", "--export.interval=200ms", "--checkpoint.interval=500ms"];
const RELATIONS = ["late_events", "dead_letters"] as const;
const folder = temporaryFolder();
afterAll(() => folder.dispose());
const data = join(folder.path, "data");
const start = (): Promise<Appliance> => Appliance.start({ config: CONFIG, data, flags: FLAGS });

function line(id: string, minute: number, page = "/"): string {
  return JSON.stringify({
    event_id: id,
    event_time: new Date(Date.UTC(2025, 5, 1, 12, minute)).toISOString(),
    ...CLICK,
    user_id: id,
    page_url: page,
  });
}

/** Two late events among others, then three dead letters, one of them no UTF-8. Gives the last position. */
async function sendOddities(appliance: Appliance, run: string): Promise<number> {
  await appliance.send([line(`${run}-1`, 0), line(`${run}-2`, 20)].join("\n"));
  expect(
    await appliance.send(
      [line(`${run}-3`, 1), line(`${run}-4`, 20), line(`${run}-5`, 2)].join("\n"),
    ),
  ).toMatchObject({ accepted: 3 });
  const broken = Buffer.concat([
    Buffer.from(`${line(`${run}-6`, 20)}\n{"event_id": 5}\n{"event_id": \n{"event_id": "`),
    Buffer.from([0xff, 0xfe]),
    Buffer.from('"}\n'),
  ]);
  const response = await appliance.post(broken);
  expect(response.status).toBe(200);
  const answer = (await response.json()) as {
    accepted: number;
    rejected: number;
    position: number;
  };
  expect(answer).toMatchObject({ accepted: 1, rejected: 3 });
  return answer.position;
}

/** Events of the newest window that do not compress: several log files. */
async function sendBulk(appliance: Appliance, run: string): Promise<number> {
  const random = seeded(run.length);
  let position = 0;
  for (let body = 0; body < 12; body++) {
    const lines = Array.from({ length: 500 }, (_, index) => {
      const page = Array.from({ length: 60 }, () => random().toString(36).slice(2)).join("/");
      return line(`${run}-bulk-${body}-${index}`, 20, page);
    });
    ({ position } = await appliance.send(lines.join("\n")));
  }
  return position;
}

/** All rows of the relations as they are at `position`. */
async function rowsOf(appliance: Appliance, position: number): Promise<unknown[][]> {
  const all: unknown[][] = [];
  for (const name of RELATIONS) {
    const { rows } = await appliance.rows(
      `SELECT * FROM millrace.${name} ORDER BY _position, _index`,
      position,
    );
    all.push([...rows]);
  }
  return all;
}

async function watermark(appliance: Appliance): Promise<unknown> {
  const { rows } = await appliance.rows("SELECT stream, watermark FROM millrace.watermarks");
  return rows;
}

function firstLogFile(): string {
  return (
    readdirSync(join(data, "log"))
      .filter((name) => name.endsWith(".db"))
      .toSorted()[0] ?? ""
  );
}

/** Waits until the log no longer has the file that it had, and says which it has. */
async function trimmedBeyond(first: string): Promise<string> {
  for (let tries = 0; existsSync(join(data, "log", first)); tries++) {
    if (tries > 300) throw new Error(`${first} is not trimmed`);
    await Bun.sleep(50);
  }
  return firstLogFile();
}

/** Every reader, once it stands at the last position. None says more of its ledger than it has read. */
async function readersAt(appliance: Appliance, position: number): Promise<unknown[]> {
  const sql = `SELECT reader, position = ${position} AND lag = 0 AND coalesce(ledger_position, 0) <= position
    FROM millrace.readers ORDER BY reader`;
  for (let tries = 0; ; tries++) {
    const { rows } = await appliance.rows(sql, position);
    if (rows.every(([, isThere]) => isThere === true)) return rows.map(([reader]) => reader);
    if (tries > 200) throw new Error(`readers do not arrive: ${JSON.stringify(rows)}`);
    await Bun.sleep(50);
  }
}

test("late events, dead letters, watermark and readers over trimming, restart and kill", async () => {
  let appliance = await start();
  const first = await sendOddities(appliance, "a");
  const before = await rowsOf(appliance, first);
  expect(before.map((rows) => rows.length)).toEqual([2, 3]);
  expect(await watermark(appliance)).toEqual([["clicks", "2025-06-01T12:19:50Z"]]);

  let oldest = firstLogFile();
  const last = await sendBulk(appliance, "a");
  oldest = await trimmedBeyond(oldest);
  expect(Number.parseInt(oldest, 10)).toBeGreaterThan(first);
  expect(await rowsOf(appliance, last)).toEqual(before);
  const readers = ["admission", "dead_letters", "raw:clicks", "view:per_minute"];
  expect(await readersAt(appliance, last)).toEqual(readers);

  expect(await appliance.stop()).toBe(0);
  appliance = await start();
  expect(await rowsOf(appliance, last)).toEqual(before);
  expect(await watermark(appliance)).toEqual([["clicks", "2025-06-01T12:19:50Z"]]);
  expect(await readersAt(appliance, last)).toEqual(readers);

  // What comes after the restart is judged by the watermark of before, and joins what is in the tables.
  const second = await sendOddities(appliance, "b");
  const both = await rowsOf(appliance, second);
  expect(both.map((rows) => rows.length)).toEqual([2 + 3, 3 + 3]);
  expect(both.map((rows, at) => rows.slice(0, before[at]?.length))).toEqual(before);
  await appliance.kill();
  appliance = await start();
  expect(await rowsOf(appliance, second)).toEqual(both);
  const end = await sendBulk(appliance, "bb");
  await trimmedBeyond(oldest);
  await appliance.kill();
  appliance = await start();
  expect(await rowsOf(appliance, end)).toEqual(both);
  expect(await watermark(appliance)).toEqual([["clicks", "2025-06-01T12:19:50Z"]]);
  expect(await readersAt(appliance, end)).toEqual(readers);
  expect(await appliance.stop()).toBe(0);
}, 60_000);
