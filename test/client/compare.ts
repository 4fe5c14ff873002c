// What the independent client was told against what the appliance answers, in a process of its own: each acknowledged event is there exactly once, as it was sent, at
// or before the position that was named, and nothing else is; the windows are what these events make, added up one by one. No event may be on its way.
// `compare.ts ADDRESS OPTIONS JOURNAL`: prints what is wrong, a line each, then the count of events; exit code 1 when anything is.
import { eventOf, Journal, WHOLE_EVENTS_MAX, type Body, type Lane } from "./journal.ts";

export interface CompareOptions {
  readonly stream: string;
  /** A view by minute, event_type and category with events and revenue, whose late events correct their window for so long, ms. */
  readonly view: string;
  readonly allowedMs: number;
}

const WINDOW_MS = 60_000;
/** Positions of the log whose events are read with one question. */
const POSITIONS = 100;
const TRIES = 5;
const SHOWN = 20;

const [address = "", json = "{}", path = ""] = process.argv.slice(2);
const options = JSON.parse(json) as CompareOptions;
const wrong: string[] = [];

interface Answer {
  readonly rows: readonly (readonly unknown[])[];
  readonly position: number;
}

/** The answer; null: it takes longer than the appliance gives a question. Comes again when it is told to. */
async function ask(sql: string, after?: number): Promise<Answer | null> {
  for (;;) {
    const response = await fetch(`${address}/v1/sql`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(after === undefined ? { sql } : { sql, after }),
    });
    if (response.status === 200) return (await response.json()) as Answer;
    const text = await response.text();
    if (response.status === 408) return null;
    const retryS = Number(response.headers.get("retry-after") ?? 0);
    if (response.status !== 503 || retryS === 0) throw new Error(`${response.status}: ${text}`);
    await Bun.sleep(retryS * 1000);
  }
}

/** The same for a small question: on a busy machine it is asked a few times. */
async function rows(sql: string, after?: number): Promise<Answer> {
  for (let tries = 0; tries < TRIES; tries++) {
    const answer = await ask(sql, after);
    if (answer !== null) return answer;
  }
  throw new Error(`no answer in time, ${TRIES} times: ${sql}`);
}

/** A body, and the position that was named; Infinity: none was. */
type PlacedBody = Body & { readonly position: number };

/** A lane with what was found of it: a mark for each number. */
interface Found {
  readonly lane: Lane;
  readonly bodies: readonly PlacedBody[];
  readonly seen: Uint8Array;
}

function foundOf(lane: Lane): Found {
  const bodies: PlacedBody[] = lane.bodies.map(({ told: { position }, ...body }) => ({
    ...body,
    position,
  }));
  if (lane.unanswered !== null) bodies.push({ ...lane.unanswered, position: Infinity });
  const last = bodies.at(-1);
  return { lane, bodies, seen: new Uint8Array(last === undefined ? 0 : last.first + last.events) };
}

/** The body of an event: bodies are in the order of their numbers. */
function bodyOf(found: Found, number: number): PlacedBody | undefined {
  let low = 0;
  let high = found.bodies.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((found.bodies[middle]?.first ?? Infinity) <= number) low = middle;
    else high = middle;
  }
  return found.bodies[low];
}

interface Window {
  events: number;
  revenue: number;
}

/** What the raw events make. */
class Batch {
  readonly windows = new Map<string, Window>();
  events = 0;
  late = 0;

  add(
    event: { timeMs: number; type: string; category: string; price: number },
    behindMs: number,
  ): void {
    this.events++;
    const start = Math.floor(event.timeMs / WINDOW_MS) * WINDOW_MS;
    if (event.timeMs + behindMs >= start + WINDOW_MS + options.allowedMs) {
      this.late++;
      return;
    }
    const key = `${start} ${event.type} ${event.category}`;
    const window = this.windows.get(key) ?? { events: 0, revenue: 0 };
    window.events++;
    window.revenue += event.price;
    this.windows.set(key, window);
  }
}

function take(found: ReadonlyMap<string, Found>, row: readonly unknown[], batch: Batch): void {
  const [id, timeMs, type, category, price, behindMs, position] = row;
  const text = String(id);
  const dash = text.lastIndexOf("-");
  const lane = found.get(text.slice(0, dash));
  const number = Number(text.slice(dash + 1));
  const body = lane === undefined ? undefined : bodyOf(lane, number);
  if (lane === undefined || body === undefined || number >= lane.seen.length) {
    wrong.push(`${text} was never sent`);
    return;
  }
  const event = eventOf(lane.lane.name, number, body.atMs);
  const is = [text, Number(timeMs), type, category, Number(price)];
  const was = [event.id, event.timeMs, event.type, event.category, event.price];
  if (JSON.stringify(is) !== JSON.stringify(was)) wrong.push(`${was.join(" ")} is ${is.join(" ")}`);
  if (Number(position) > body.position)
    wrong.push(`${text} is at ${Number(position)}, after ${body.position}`);
  if (lane.seen[number] !== 0) wrong.push(`${text} is there twice`);
  lane.seen[number] = 1;
  batch.add(event, Number(behindMs));
}

/** Events at the positions after `after` up to `through`: in halves where they are too many for one question. */
async function takeEvents(after: number, through: number): Promise<void> {
  const sql = `SELECT event_id, epoch_ms(event_time), event_type, category, price, _behind / 1000, _position FROM ${options.stream}
     WHERE _position > ${after} AND _position <= ${through}`;
  const events = through - after > 1 ? await ask(sql) : await rows(sql);
  if (events !== null) {
    for (const row of events.rows) take(found, row, batch);
    return;
  }
  const middle = Math.ceil((after + through) / 2);
  await takeEvents(after, middle);
  await takeEvents(middle, through);
}

function settle({ lane, bodies, seen }: Found): void {
  wrong.push(...lane.wrong.map((text) => `${lane.name}: ${text}`));
  const open = lane.unanswered;
  const told = open === null ? seen.length : open.first;
  for (let number = 0; number < told; number++)
    if (seen[number] === 0) {
      const body = bodies.find(({ first, events }) => number < first + events);
      wrong.push(`${lane.name}-${number} is lost: acknowledged at ${body?.position}`);
    }
  if (open === null || open.events > WHOLE_EVENTS_MAX) return;
  const stored = seen.subarray(told).reduce((sum, one) => sum + one, 0);
  if (stored !== 0 && stored !== open.events)
    wrong.push(`${stored} of the ${open.events} of a body without an answer: ${lane.name}-${told}`);
}

async function compareWindows(batch: Batch): Promise<number> {
  const view = await rows(
    `SELECT epoch_ms(window_start), event_type, category, events, revenue FROM ${options.view}`,
  );
  const left = new Map(batch.windows);
  for (const [start, type, category, events, revenue] of view.rows) {
    const key = `${Number(start)} ${String(type)} ${String(category)}`;
    const made = left.get(key) ?? { events: 0, revenue: 0 };
    left.delete(key);
    if (made.events !== Number(events) || made.revenue !== Number(revenue))
      wrong.push(
        `${key} has ${String(events)}, ${String(revenue)}; its events make ${made.events}, ${made.revenue}`,
      );
  }
  for (const [key, { events }] of left) wrong.push(`${key} is not in the view; it has ${events}`);
  const late = await rows(
    `SELECT count(*) FROM millrace.late_events WHERE view = '${options.view}'`,
  );
  if (Number(late.rows[0]?.[0]) !== batch.late)
    wrong.push(`${Number(late.rows[0]?.[0])} late events; there are ${batch.late}`);
  return view.position;
}

async function compareRejects(lanes: readonly Lane[]): Promise<void> {
  const { rows: counts } = await rows(
    `SELECT count(*), count(DISTINCT (_position, _ordinal)) FROM millrace.dead_letters WHERE stream = '${options.stream}'`,
  );
  const [stored = 0, distinct = 0] = (counts[0] ?? []).map(Number);
  const told = lanes
    .flatMap(({ bodies }) => bodies)
    .reduce((sum, one) => sum + one.told.rejected, 0);
  const sent = lanes.reduce((sum, { rejectedSent }) => sum + rejectedSent, 0);
  if (stored !== distinct || stored < told || stored > sent)
    wrong.push(
      `${stored} dead letters, ${distinct} of them different; ${told} were told, ${sent} sent`,
    );
}

const lanes = [...new Journal(path).read().values()];
const found = new Map(lanes.map((lane) => [lane.name, foundOf(lane)]));
const told = Math.max(
  0,
  ...lanes.flatMap(({ bodies }) => bodies.map((body) => body.told.position)),
);
const { position: last } = await rows("SELECT 1", told);
const batch = new Batch();
for (let after = 0; after < last; after += POSITIONS) await takeEvents(after, after + POSITIONS);
for (const one of found.values()) settle(one);
await compareWindows(batch);
await compareRejects(lanes);
for (const text of wrong.slice(0, SHOWN)) console.log(text);
if (wrong.length > SHOWN) console.log(`and ${wrong.length - SHOWN} more`);
console.log(
  `${batch.events} events, ${batch.windows.size} windows, ${batch.late} late: ${wrong.length} wrong`,
);
process.exit(wrong.length === 0 ? 0 : 1);
