// Producers of a simulated run: each sends bodies over a network that loses, doubles and delays, waits for the answer, and sends the same body
// again until it has one. They remember what they were told, which is what the product must hold.
import type { IngestAnswer, Refusal } from "../../src/serve/deps.ts";
import { BEGAN_US, type Appliance } from "./appliance.ts";
import type { Pace } from "./configuration.ts";
import type { DiskFaults } from "./faults.ts";
import type { Random } from "./random.ts";
import { Actor, type Scheduler } from "./scheduler.ts";

/** An event as it is sent; `text` null: it is not an event at all. */
export interface SentEvent {
  readonly id: string;
  readonly text: string;
}

interface Body {
  readonly events: readonly SentEvent[];
  readonly partition: string;
  readonly bytes: Uint8Array;
  readonly format: "json" | "ndjson";
  /** What was answered first. */
  said: string | null;
}

/** What producers were told. */
export interface Told {
  /** Ids of events that were acknowledged, with the log position that was named. */
  readonly acknowledged: Map<string, number>;
  /** The ids in the order of their acknowledgement. */
  readonly inOrder: string[];
  /** The highest position that was named. */
  position: number;
  /** Answers, and refusals. */
  answers: number;
  refusals: number;
  /** Events that were sent at least once. */
  readonly sent: Set<string>;
}

export interface ClientParts {
  readonly appliance: Appliance;
  readonly scheduler: Scheduler;
  readonly faults: DiskFaults;
  readonly random: Random;
  readonly told: Told;
  readonly violated: (what: string) => void;
  /** Events have no ids: requests have keys. */
  readonly hasKeys: boolean;
  /** What producers send, and for how long. */
  readonly pace: Pace;
  /** Mean pause between bodies of one producer, µs. */
  readonly pauseUs: number;
}

/** Users of a visit. */
const USERS = 5;
const SECOND_US = 1_000_000;
const TIMEOUT_US = 3 * SECOND_US;

/** Beyond what streams take of the future. */
const FAR_US = 4000 * SECOND_US;

export class Client {
  readonly #parts: ClientParts;
  readonly #name: string;
  readonly #partition: string;
  readonly #actor: Actor;
  readonly #old: SentEvent[] = [];
  #next = 1;
  /** The body that waits for its answer. */
  #open: Body | null = null;

  constructor(name: string, partition: string, parts: ClientParts) {
    this.#name = name;
    this.#partition = partition;
    this.#parts = parts;
    this.#actor = new Actor(name);
    this.#later(parts.random.between(0, parts.pauseUs));
  }

  /** Whether a body has no answer yet. */
  get isWaiting(): boolean {
    return this.#open !== null;
  }

  /** One event more, after all else; when the last one has no answer yet it is enough that it is sent again. */
  sendOne(): void {
    if (this.#open !== null) return;
    const event = this.#makeNew(BEGAN_US + this.#parts.scheduler.nowUs);
    const bytes = Buffer.from(event.text);
    const partition = this.#partition;
    this.#open = { events: [event], partition, bytes, format: "json", said: null };
    this.#parts.told.sent.add(event.id);
    this.#send(this.#open);
  }

  #later(delayUs: number): void {
    this.#parts.scheduler.after(delayUs, this.#actor, () => this.#begin());
  }

  #begin(): void {
    const { scheduler, pace } = this.#parts;
    if (scheduler.nowUs >= pace.sendS * SECOND_US) return;
    this.#open = this.#makeBody();
    for (const { id } of this.#open.events) this.#parts.told.sent.add(id);
    this.#send(this.#open);
  }

  /** Sends the body now, and again when no answer has come. */
  #send(body: Body): void {
    if (this.#open !== body) return;
    const { scheduler, random } = this.#parts;
    this.#transmit(body);
    if (random.chance(0.05)) this.#transmit(body);
    scheduler.after(TIMEOUT_US + random.between(0, 500_000), this.#actor, () => this.#send(body));
  }

  /** One copy of the request on its way. */
  #transmit(body: Body): void {
    this.#travel(() => {
      const { appliance, scheduler } = this.#parts;
      const { main } = appliance;
      scheduler.after(0, main, () => {
        const { fleet } = appliance;
        if (fleet === null) return;
        const { partition, bytes, format } = body;
        const sent = { body: [bytes.slice()], bytes: bytes.length, ...this.#keyOf(body) };
        fleet.ingest.submit({ stream: "hits", partition, format, ...sent }, (answer) => {
          // a process that has ended sends nothing
          if (main.isDead) return;
          this.#travel(() => scheduler.after(0, this.#actor, () => this.#receive(body, answer)));
        });
      });
    });
  }

  /** The first event names its request: it is in no other. */
  #keyOf({ events }: Body): { readonly key?: string } {
    return this.#parts.hasKeys ? { key: events[0]?.id ?? "" } : {};
  }

  /** The way over the network: now, later, or never. */
  #travel(arrive: () => void): void {
    const { scheduler, faults, random } = this.#parts;
    const bad = faults.network();
    if (bad !== null && random.chance(bad.lossShare)) return;
    const delayUs = bad === null ? random.between(50, 3000) : random.between(50, bad.delayUsMax);
    scheduler.after(delayUs, new Actor("network"), arrive);
  }

  #receive(body: Body, answer: IngestAnswer | Refusal): void {
    const { told, random, pauseUs, violated, scheduler } = this.#parts;
    if (answer.kind === "refusal") {
      told.refusals++;
      // the timeout sends it again
      if (answer.status === 409 && this.#parts.hasKeys) return;
      if (answer.status !== 503) violated(`refused with ${answer.status}: ${answer.detail}`);
      const waitUs = (answer.retryAfterS ?? 1) * 1_000_000;
      scheduler.after(waitUs + random.between(0, 500_000), this.#actor, () => this.#send(body));
      return;
    }
    told.answers++;
    told.position = Math.max(told.position, answer.position);
    const { accepted, duplicates, rejected, errors, position } = answer;
    if (accepted + duplicates + rejected !== body.events.length)
      violated(
        `${accepted} + ${duplicates} + ${rejected} events were answered of ${body.events.length}`,
      );
    if (this.#parts.hasKeys) this.#checkSame(body, answer);
    const refused = new Set(errors.map(({ index }) => index));
    for (const [index, { id }] of body.events.entries()) {
      if (refused.has(index) || told.acknowledged.has(id)) continue;
      told.acknowledged.set(id, position);
      told.inOrder.push(id);
    }
    if (this.#open !== body) return;
    this.#open = null;
    this.#later(random.between(0, 2 * pauseUs));
  }

  /** A request with a key is carried out once, and answered alike ever after. */
  #checkSame(body: Body, given: IngestAnswer): void {
    const { violated } = this.#parts;
    const { isReplay: _, ...answer } = given;
    const said = JSON.stringify(answer);
    body.said ??= said;
    if (body.said !== said) violated(`a request was answered ${body.said}, then ${said}`);
    if (answer.duplicates > 0) violated(`${answer.duplicates} duplicates where nothing has an id`);
  }

  #makeBody(): Body {
    const { random, pace } = this.#parts;
    const isLarge = random.chance(pace.largeShare);
    const count = isLarge ? random.between(20, 40) : random.between(1, 8);
    const events = Array.from({ length: count }, () => this.#makeEvent());
    // a body whose last part has nothing new
    if (isLarge && random.chance(0.3) && !this.#parts.hasKeys)
      events.push(...this.#old.slice(-random.between(count, 2 * count), -count));
    const format = random.pick(["json", "ndjson"] as const);
    const texts = events.map(({ text }) => text);
    const text = format === "json" ? `[${texts.join(",")}]` : texts.join("\n");
    return { events, partition: this.#partition, bytes: Buffer.from(text), format, said: null };
  }

  #makeEvent(): SentEvent {
    const { random } = this.#parts;
    const old = this.#old[random.between(0, Math.max(0, this.#old.length - 1))];
    if (old !== undefined && random.chance(0.04) && !this.#parts.hasKeys) return old;
    const event = this.#makeNew(this.#someTimeUs());
    this.#old.push(event);
    return event;
  }

  #someTimeUs(): number {
    const { random, scheduler, pace } = this.#parts;
    const timeUs = BEGAN_US + scheduler.nowUs - random.between(0, 1_500_000);
    if (random.chance(pace.lateShare)) return timeUs - random.between(0, pace.lateS * SECOND_US);
    return random.chance(pace.lateShare / 5) ? timeUs + FAR_US : timeUs;
  }

  #makeNew(timeUs: number): SentEvent {
    const { random, scheduler, pace } = this.#parts;
    const id = `${this.#name}-${this.#next++}`;
    const value = random.chance(pace.lateShare / 5)
      ? '"no number"'
      : String(random.between(1, 1000));
    const visit = Math.floor(scheduler.nowUs / (pace.visitS * SECOND_US));
    const user = `u${USERS * visit + random.between(1, USERS)}`;
    const time = Math.floor(timeUs / 1000) * 1000;
    return { id, text: `{"id":"${id}","time":${time},"user":"${user}","value":${value}}` };
  }
}
