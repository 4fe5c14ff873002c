// A producer that lives longer than the appliance: it numbers its events, keeps what it was told, and sends again what it was not. Knows nothing
// of how the appliance keeps them.
import { expect } from "bun:test";
import type { Appliance, EventsAnswer } from "./appliance.ts";
import { CLICK } from "./click.ts";

/** One of so many bodies has lines that are no events, and one of so many repeats events. */
const REJECTS_EVERY = 25;
const REPEATS_EVERY = 2;
/** Repeated events of such a body; lines that are no events. */
const REPEATED = 5;
const REJECTED = ["{", '{"event_id":"no time"}'] as const;

/** Events are this far apart, ms; one of ten is up to an hour and a half late. */
const APART_MS = 600;
const LATE_S_MAX = 5400;
const START_MS = Date.UTC(2025, 5, 1, 12);

/** A pseudo-random number of 24 bits. */
function pick(index: number): number {
  return Math.imul(index + 1, 0x9e3779b1) >>> 8;
}

interface Sent {
  readonly body: string;
  /** New events, repeated ones, and lines that are none. */
  readonly events: number;
  readonly repeated: number;
  readonly rejected: number;
}

/** Events of bench/clicks.avsc with the ids `name-0`, `name-1`...; the price is the number. */
export class Producer {
  readonly name: string;
  /** Events that were acknowledged: those with the lowest numbers. */
  events = 0;
  /** The highest position of an answer. */
  position = 0;
  /** Lines that are no events: those of answers, and those that were sent, some perhaps twice, since they have no id. */
  readonly rejects = { acknowledged: 0, sent: 0 };
  #bodies = 0;
  #unanswered: Sent | null = null;

  constructor(name: string) {
    this.name = name;
  }

  /** Sends a body of new events. Throws when the connection breaks: then it has no answer. */
  async send(to: Appliance, events: number): Promise<void> {
    const sent = this.#make(events);
    this.#unanswered = sent;
    const { accepted, duplicates } = await this.#post(to, sent);
    expect([this.name, accepted, duplicates]).toEqual([this.name, events, sent.repeated]);
  }

  /** Sends what has no answer again: either all of it was stored or nothing. */
  async settle(to: Appliance): Promise<void> {
    if (this.#unanswered === null) return;
    const { events, repeated } = this.#unanswered;
    const { accepted, duplicates } = await this.#post(to, this.#unanswered);
    expect([0, events]).toContain(accepted);
    expect(duplicates).toBe(events + repeated - accepted);
  }

  async #post(to: Appliance, sent: Sent): Promise<EventsAnswer> {
    for (;;) {
      this.rejects.sent += sent.rejected;
      const response = await to.post(sent.body);
      if (response.status === 503) {
        await Bun.sleep(50);
        continue;
      }
      const text = await response.text();
      expect([response.status, text]).toEqual([200, expect.anything()]);
      const answer = JSON.parse(text) as EventsAnswer;
      expect(answer.rejected).toBe(sent.rejected);
      this.#unanswered = null;
      this.#bodies++;
      this.events += sent.events;
      this.rejects.acknowledged += sent.rejected;
      this.position = Math.max(this.position, answer.position);
      return answer;
    }
  }

  #make(events: number): Sent {
    const numbers = Array.from({ length: events }, (_, row) => this.events + row);
    const repeats = this.#bodies % REPEATS_EVERY === 1 ? Math.min(REPEATED, this.events) : 0;
    for (let at = 0; at < repeats; at++) numbers.push(this.events - 1 - at);
    const rejects = this.#bodies % REJECTS_EVERY === 1 ? REJECTED : [];
    const lines = [...numbers.map((number) => this.#event(number)), ...rejects];
    return { body: lines.join("\n"), events, repeated: repeats, rejected: rejects.length };
  }

  #event(number: number): string {
    const random = pick(number);
    const lateS = random % 10 === 0 ? random % LATE_S_MAX : 0;
    return JSON.stringify({
      event_id: `${this.name}-${number}`,
      event_time: new Date(START_MS + number * APART_MS - lateS * 1000).toISOString(),
      ...CLICK,
      event_type: random % 2 === 0 ? "view" : "cart",
      user_id: this.name,
      page_url: `/${number}`,
      category: `c${random % 7}`,
      price: number,
    });
  }
}
