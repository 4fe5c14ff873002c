// Stands in for what the product's threads take from their surroundings: workers, message channels, timers, random names. Messages are copied
// as postMessage does, and arrive in the order of their port after a time that nobody can rely on; ports of one thread do not wait for each
// other.
import { copied } from "./copy.ts";
import { machine } from "./machine-now.ts";
import type { Actor, Timer } from "./scheduler.ts";

type Receive = (event: { readonly data: never; readonly ports: readonly SimPort[] }) => void;

/** One direction of messages: from a thread to another, in order. */
class Wire {
  readonly #to: Actor;
  readonly #receive: () => Receive | null;
  #lastUs: number;

  /** Nothing arrives before `sinceUs`. */
  constructor(to: Actor, receive: () => Receive | null, sinceUs = 0) {
    this.#to = to;
    this.#receive = receive;
    this.#lastUs = sinceUs;
  }

  send(message: unknown, ports: readonly SimPort[]): void {
    const { scheduler, disk } = machine();
    // a process that has ended says nothing any more
    if (scheduler.actor.isDead || disk.isEnded) return;
    const data = copied(message) as never;
    const { nowUs } = scheduler;
    const atUs = Math.max(nowUs + scheduler.jitterUs(), this.#lastUs);
    this.#lastUs = atUs;
    scheduler.after(atUs - nowUs, this.#to, () => this.#receive()?.({ data, ports }));
  }
}

/** An end of a channel: it belongs to the thread that got it. */
class SimPort {
  onmessage: Receive | null = null;
  owner: Actor | null = null;
  other: SimPort | null = null;
  #wire: Wire | null = null;

  postMessage(message: unknown): void {
    const { other } = this;
    if (other?.owner == null) throw new Error("a port is given to a thread before it is used");
    this.#wire ??= new Wire(other.owner, () => other.onmessage);
    this.#wire.send(message, []);
  }
}

export class MessageChannel {
  readonly port1 = new SimPort();
  readonly port2 = new SimPort();

  constructor() {
    this.port1.other = this.port2;
    this.port2.other = this.port1;
  }
}

/** What a worker's module sees as `self`. */
export class WorkerSelf {
  onmessage: Receive | null = null;
  readonly postMessage: (message: unknown) => void;

  constructor(postMessage: (message: unknown) => void) {
    this.postMessage = postMessage;
  }
}

/** What it takes to start a worker. */
const START_US = 1000;

/** Modules of workers by name, each as a function that runs it anew. */
export const WORKERS = new Map<string, (self: WorkerSelf) => void>();

export class Worker {
  onmessage: Receive | null = null;
  readonly #actor: Actor;
  readonly #wire: Wire;

  constructor(name: string) {
    const { scheduler, thread } = machine();
    const main = scheduler.actor;
    this.#actor = thread(name);
    const back = new Wire(main, () => this.onmessage);
    const self = new WorkerSelf((message) => back.send(message, []));
    // what is posted before the module has run waits for it
    this.#wire = new Wire(this.#actor, () => self.onmessage, scheduler.nowUs + START_US);
    const run = WORKERS.get(name);
    if (run === undefined) throw new Error(`no worker ${name}`);
    scheduler.after(START_US, this.#actor, () => run(self));
  }

  postMessage(message: unknown, ports: readonly SimPort[] = []): void {
    for (const port of ports) port.owner = this.#actor;
    this.#wire.send(message, ports);
  }

  addEventListener(_kind: "error", _told: (event: { readonly message: string }) => void): void {}

  terminate(): void {
    this.#actor.isDead = true;
  }
}

export function setImmediate(run: () => void): void {
  const { scheduler } = machine();
  scheduler.after(Math.ceil(scheduler.jitterUs() / 4), scheduler.actor, run);
}

export function setTimeout(run: () => void, ms: number): Timer {
  const { scheduler } = machine();
  return scheduler.after(ms * 1000, scheduler.actor, run);
}

/** A tick that a busy thread misses comes late, and only once, as the runtime's do. */
export function setInterval(run: () => void, ms: number): Timer {
  const { scheduler } = machine();
  const { actor } = scheduler;
  const timer: Timer = { cancelled: false };
  const next = (): void => {
    scheduler.after(ms * 1000, actor, () => {
      if (timer.cancelled) return;
      next();
      run();
    });
  };
  next();
  return timer;
}

export function clearInterval(timer: Timer): void {
  timer.cancelled = true;
}

/** Random numbers of the run's seed. */
export const crypto = {
  randomUUID(): string {
    const word = (): string => machine().random.bits().toString(16).padStart(8, "0");
    const [a, b, c, d] = [word(), word(), word(), word()];
    return `${a}-${b.slice(0, 4)}-4${b.slice(5)}-8${c.slice(1, 4)}-${c.slice(4)}${d}`;
  },
  getRandomValues<T extends Uint8Array | BigUint64Array>(into: T): T {
    const bytes = new Uint8Array(into.buffer, into.byteOffset, into.byteLength);
    for (let at = 0; at < bytes.length; at++) bytes[at] = machine().random.bits();
    return into;
  },
};

export const wallUs = (): number => machine().wallUs();

export const monotonicUs = (): number => machine().scheduler.nowUs;
