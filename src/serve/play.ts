// Verb: play the bundled clicks into an empty stream, over HTTP, with a progress bar.
import type { Clock } from "../base/clock.ts";
import { ApplianceError } from "./client.ts";
import type { Client } from "./client.ts";

/** Events of one request: more are faster, fewer make the bar smoother. */
const EVENTS_PER_REQUEST = 200;
const BAR_WIDTH = 40;

/** Where text goes: `isTerminal` decides whether the bar is redrawn in place. */
export interface Screen {
  readonly isTerminal: boolean;
  write(text: string): void;
}

export interface Played {
  readonly sent: number;
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  /** The last log position: questions `after` it see all of them. */
  readonly position: number;
  readonly seconds: number;
}

/** `[#####.....]  50% 8,700 events`. */
export function barText(done: number, all: number): string {
  const share = all === 0 ? 1 : done / all;
  const filled = Math.floor(share * BAR_WIDTH);
  const percent = String(Math.floor(share * 100)).padStart(3);
  const bar = "#".repeat(filled) + ".".repeat(BAR_WIDTH - filled);
  return `[${bar}] ${percent}% ${done.toLocaleString("en-US")} events`;
}

/** Events in a stream already. */
export async function eventsIn(client: Client, stream: string): Promise<number> {
  const { rows } = await client.ask(`SELECT count(*) FROM ${stream}`);
  return Number(rows[0]?.[0]);
}

/**
 * Plays `events` (JSON texts) in order, one request after another, so that none comes late. Throws ApplianceError when the stream is
 * not empty, or events are refused.
 */
export async function play(
  client: Client,
  what: {
    readonly stream: string;
    readonly events: readonly string[];
    /** Events per second at most; null: as fast as it goes. */
    readonly rateMax: number | null;
  },
  screen: Screen,
  clock: Clock,
): Promise<Played> {
  const { stream, events, rateMax } = what;
  const there = await eventsIn(client, stream);
  if (there > 0)
    throw new ApplianceError(
      `stream ${stream} holds ${there} events; clicks are played into an empty stream only: start with another --data folder`,
    );
  const beganUs = clock.monotonicUs();
  const counts = { sent: 0, accepted: 0, duplicates: 0, rejected: 0, position: 0 };
  let shownUs = 0;
  while (counts.sent < events.length) {
    const part = events.slice(counts.sent, counts.sent + EVENTS_PER_REQUEST);
    const answer = await client.send(stream, part);
    counts.sent += part.length;
    counts.accepted += answer.accepted;
    counts.duplicates += answer.duplicates;
    counts.rejected += answer.rejected;
    counts.position = answer.position;
    const [error] = answer.errors;
    if (error !== undefined)
      throw new ApplianceError(`an event was rejected: ${error.reason}: ${error.message}`);
    const nowUs = clock.monotonicUs();
    if (screen.isTerminal && nowUs - shownUs > 50_000) {
      screen.write(`\r${barText(counts.sent, events.length)}`);
      shownUs = nowUs;
    }
    if (rateMax !== null)
      await Bun.sleep((counts.sent / rateMax) * 1000 - (nowUs - beganUs) / 1000);
  }
  screen.write(`${screen.isTerminal ? "\r" : ""}${barText(counts.sent, events.length)}\n`);
  return { ...counts, seconds: (clock.monotonicUs() - beganUs) / 1_000_000 };
}
