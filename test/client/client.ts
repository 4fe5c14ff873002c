// The independent client, a process of its own: sends bodies on several lanes, each one after the other, keeps what it was told in a file, and sends again
// what has no answer. It outlives the appliance: SIGTERM ends it after the requests under way, and the next one goes on from the file.
// `client.ts NAME ADDRESS JOURNAL OPTIONS [settle]`, the options as JSON; settle: only what has no answer yet.
import { eventOf, Journal, type Body, type Lane, type Told } from "./journal.ts";

export interface ClientOptions {
  readonly stream: string;
  readonly lanes: number;
  readonly events: number;
  /** Every so many bodies of a lane one has `largeEvents`; 0: none. */
  readonly largeEvery: number;
  readonly largeEvents: number;
  /** Between an answer and the next body, ms. */
  readonly pauseMs: number;
  /** Every so many ms of wall time, for so long, bodies have ten times the events. 0: never. */
  readonly burstEveryMs: number;
  readonly burstMs: number;
  /** Wall time at which the events' time is `eventsBeginMs`, and how much faster it passes. */
  readonly beganMs: number;
  readonly speed: number;
}

const EVENTS_BEGIN_MS = Date.UTC(2025, 5, 1, 12);
/** One body of so many repeats events, one has lines that are no events. */
const REPEATS_EVERY = 2;
const REPEATED = 5;
const REJECTS_EVERY = 25;
const REJECTED = ["{", '{"event_id":"no time"}'] as const;
const RETRY_MS = 50;

const [name = "", address = "", path = "", json = "{}", only] = process.argv.slice(2);
const options = JSON.parse(json) as ClientOptions;
const journal = new Journal(path);
const ending = new AbortController();
process.on("SIGTERM", () => ending.abort());

function textOf(body: Body, before: Body | null): string {
  const line = (of: Body, number: number): string => {
    const event = eventOf(of.lane, number, of.atMs);
    return JSON.stringify({
      event_id: event.id,
      event_time: new Date(event.timeMs).toISOString(),
      event_type: event.type,
      user_id: of.lane,
      session_id: "s",
      page_url: `/${number}`,
      category: event.category,
      brand: "b",
      price: event.price,
      country: "DE",
    });
  };
  const lines: string[] = [];
  for (let at = 0; at < body.events; at++) lines.push(line(body, body.first + at));
  if (before !== null)
    for (let at = 0; at < body.repeated; at++)
      lines.push(line(before, before.first + before.events - 1 - at));
  return [...lines, ...REJECTED.slice(0, body.rejected)].join("\n");
}

const BURST = 10;
function isBurst(): boolean {
  const { burstEveryMs, burstMs, beganMs } = options;
  const intoMs = (Date.now() - beganMs) % burstEveryMs;
  return burstEveryMs > 0 && intoMs >= burstEveryMs - burstMs;
}

function nextBody(lane: Lane): Body {
  const count = lane.bodies.length;
  const last = lane.bodies.at(-1);
  const isLarge = options.largeEvery > 0 && count % options.largeEvery === options.largeEvery - 1;
  return {
    lane: lane.name,
    first: last === undefined ? 0 : last.first + last.events,
    events: isLarge ? options.largeEvents : options.events * (isBurst() ? BURST : 1),
    atMs: EVENTS_BEGIN_MS + Math.floor((Date.now() - options.beganMs) * options.speed),
    repeated: count % REPEATS_EVERY === 1 ? Math.min(REPEATED, last?.events ?? 0) : 0,
    rejected: count % REJECTS_EVERY === 1 ? REJECTED.length : 0,
  };
}

/** The answer; null: none came, or it said later. */
async function post(text: string): Promise<Told | string | null> {
  try {
    const response = await fetch(`${address}/v1/events/${options.stream}`, {
      method: "POST",
      headers: { "content-type": "application/x-ndjson" },
      body: text,
    });
    const said = await response.text();
    if (response.status === 503)
      return response.headers.has("retry-after") ? null : `a 503 without Retry-After: ${said}`;
    return response.status === 200 ? (JSON.parse(said) as Told) : `${response.status}: ${said}`;
  } catch {
    return null;
  }
}

/** Sends a body until it is answered; false when that did not happen. */
async function deliver(lane: Lane, body: Body, isAgain: boolean): Promise<boolean> {
  const text = textOf(body, lane.bodies.at(-1) ?? null);
  for (let wasSent = isAgain; !ending.signal.aborted; wasSent = true) {
    lane.unanswered = body;
    journal.sent(body);
    const told = await post(text);
    if (told === null) {
      await Bun.sleep(RETRY_MS);
      continue;
    }
    if (typeof told === "string") {
      journal.wrong(lane.name, told);
      return false;
    }
    const fresh = told.accepted;
    const isSum = told.accepted + told.duplicates === body.events + body.repeated;
    if (!isSum || told.rejected !== body.rejected || (!wasSent && fresh !== body.events))
      journal.wrong(lane.name, `${JSON.stringify(told)} of ${JSON.stringify(body)}`);
    journal.told(lane.name, told);
    lane.bodies.push({ ...body, told });
    lane.unanswered = null;
    return true;
  }
  return false;
}

/** The last body that was answered, as if its answer had been lost. */
async function repeat(lane: Lane): Promise<void> {
  const body = lane.bodies.at(-1);
  if (body === undefined) return;
  journal.again(body);
  const told = await post(textOf(body, lane.bodies.at(-2) ?? null));
  if (told === null) return;
  const isKnown =
    typeof told === "object" &&
    told.accepted === 0 &&
    told.duplicates === body.events + body.repeated &&
    told.rejected === body.rejected;
  if (!isKnown)
    journal.wrong(lane.name, `${JSON.stringify(told)} of ${JSON.stringify(body)} again`);
}

async function run(lane: Lane): Promise<void> {
  await repeat(lane);
  if (lane.unanswered !== null && !(await deliver(lane, lane.unanswered, true))) return;
  if (only === "settle") return;
  while (!ending.signal.aborted) {
    if (!(await deliver(lane, nextBody(lane), false))) return;
    await Bun.sleep(options.pauseMs);
  }
}

const known = journal.read();
await Promise.all(
  Array.from({ length: options.lanes }, (_, at) => {
    const lane = `${name}${at}`;
    return run(
      known.get(lane) ?? { name: lane, bodies: [], unanswered: null, rejectedSent: 0, wrong: [] },
    );
  }),
);
