// A running instance with late events, sealed ids, closed windows outside of memory and corrections: what savepoints are made of and the doctor looks at. And the command line.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Appliance, FROM_SOURCE, type EventsAnswer } from "./appliance.ts";
import { CLICK } from "./click.ts";

const BENCH = join(import.meta.dir, "..", "..", "bench");

/** Events of a body. */
export const EVENTS = 1000;

/** Late events correct their windows, and ids leave memory soon. */
const CORRECTED = [
  "--streams.clicks.out_of_orderness=10s",
  "--streams.clicks.dedup_ids_max=65536",
  "--streams.clicks.dedup_ttl=24h",
  "--views.per_minute.late.policy=update",
  "--views.per_minute.late.allowed=1h",
];

/** Small files and short intervals too: checkpoints, sealed ids, epochs, commits and trims all happen within a second or two. */
export const BUSY_FLAGS: readonly string[] = [
  ...CORRECTED,
  "--log.file_size=64KB",
  "--checkpoint.interval=100ms",
  "--export.interval=100ms",
];

const FLAGS = [
  ...CORRECTED,
  "--views.per_minute.memory_max=1MB",
  "--log.file_size=1MB",
  "--export.interval=200ms",
  "--checkpoint.interval=100ms",
];

/** Writes the bench's configuration with a rollup of its view into `folder`; returns its path. */
export function writeConfig(folder: string): string {
  const path = join(folder, "clicks.yaml");
  const text = readFileSync(join(BENCH, "clicks.yaml"), "utf8");
  const own = text.replace("clicks.avsc", join(BENCH, "clicks.avsc")).trimEnd();
  writeFileSync(path, `${own}\n    rollups: [1 hour]\n`);
  return path;
}

/** Ten events a second; one of ten is up to an hour and a half late. Ids are e0, e1, ... over all bodies. */
export function body(number: number): string {
  return Array.from({ length: EVENTS }, (_, row) => {
    const index = number * EVENTS + row;
    const pick = Math.imul(index + 1, 0x9e3779b1) >>> 8;
    const timeS = Math.floor(index / 10) - (pick % 10 === 0 ? pick % 5400 : 0);
    return JSON.stringify({
      event_id: `e${index}`,
      event_time: new Date(Date.UTC(2025, 5, 1, 12) + timeS * 1000).toISOString(),
      ...CLICK,
      event_type: pick % 2 === 0 ? "view" : "cart",
      user_id: `u${pick % 50}`,
      category: `c${pick % 7}`,
      price: (index % 100) / 4,
    });
  }).join("\n");
}

export interface StartOptions {
  readonly config: string;
  readonly data: string;
  /** MILLRACE_FAILPOINT. */
  readonly failpoint?: string;
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Whether a flag of this name is among others. */
function isAmong(flag: string, flags: readonly string[]): boolean {
  const name = flag.slice(0, flag.indexOf("=") + 1);
  return flags.some((other) => other.startsWith(name));
}

export function start({
  config,
  data,
  failpoint,
  flags = [],
  env = {},
}: StartOptions): Promise<Appliance> {
  const armed = failpoint === undefined ? {} : { MILLRACE_FAILPOINT: failpoint };
  return Appliance.start({
    config,
    data,
    flags: [...FLAGS.filter((flag) => !isAmong(flag, flags)), ...flags],
    env: { ...env, ...armed },
  });
}

/** Sends a body until it is taken: ids may wait to be sealed. */
async function send(to: Appliance, events: string): Promise<EventsAnswer> {
  for (;;) {
    const response = await to.post(events);
    if (response.status === 200) return (await response.json()) as EventsAnswer;
    const text = await response.text();
    if (response.status !== 503) throw new Error(`status ${response.status}: ${text}`);
    await Bun.sleep(20);
  }
}

/** Sends bodies until `isOver`; returns the log position of each that was acknowledged, from body `from` on. */
export async function sendUntil(
  to: Appliance,
  from: number,
  isOver: () => boolean,
): Promise<number[]> {
  const positions: number[] = [];
  for (let number = from; !isOver(); number++) {
    const { accepted, duplicates, position } = await send(to, body(number));
    if (accepted + duplicates !== EVENTS) throw new Error(`body ${number}: ${accepted} accepted`);
    positions.push(position);
  }
  return positions;
}

export async function sendBodies(to: Appliance, from: number, end: number): Promise<number[]> {
  let left = end - from;
  return sendUntil(to, from, () => left-- <= 0);
}

/** How a command ended. */
export interface Said {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

/** Runs a command of millrace in a process of its own. */
export async function millrace(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Said> {
  const child = Bun.spawn([...FROM_SOURCE, ...args], {
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...env },
  });
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, out, error };
}

export const savepoint = (of: Appliance, to: string): Promise<Said> =>
  millrace(["savepoint", to, "--url", of.address]);

export const restore = (from: string, to: string): Promise<Said> =>
  millrace(["restore", from, "--data", to]);

/** The log position that a savepoint's command said. */
export function positionOf(said: Said): number {
  return Number(/log position (\d+)/.exec(said.out)?.[1]);
}

/** Counts events and distinct ids, and what views have of those that are not late beyond all bounds; they must be the same. */
export const COUNTS = `SELECT count(*), count(DISTINCT event_id), (SELECT sum(events) FROM per_minute) - count(*) FILTER (
  event_time + to_microseconds(_behind) - time_bucket(INTERVAL 1 MINUTE, event_time) < to_seconds(3660)) FROM clicks`;

/** Rows of COUNTS as numbers: events, distinct ids, and 0 when the view has every event once. */
export async function countsOf(appliance: Appliance): Promise<number[] | undefined> {
  return (await appliance.rows(COUNTS)).rows[0]?.map(Number);
}
