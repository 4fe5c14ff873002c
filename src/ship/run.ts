// Verb: ships for as long as a process lives: claims the prefix, then the log every few seconds, and everything else every few minutes. What fails is tried again
// and told; nothing of it is ever on the way of an event.
import type { Clock } from "../base/clock.ts";
import type { SavepointOrder } from "../savepoint/savepoint.ts";
import { claimPrefix, ClaimRefusedError, type Claimed, type ShippingFolder } from "./claim.ts";
import { LogShipper } from "./log-shipper.ts";
import { SHIP_RETRY_US_MAX, SHIP_RETRY_US_MIN } from "./ship-limits.ts";
import { Shipper, type ShipperPorts } from "./shipper.ts";
import type { ObjectStore } from "./store.ts";

/** How shipping is. Plain data: it is posted. */
export interface ShipStatus {
  /** A restore from the store gets every event at or before this log position; 0: not known yet, or none. */
  readonly position: number;
  /** It gets all that was durable at this moment, µs. */
  readonly completeAtUs: number;
  /** Log position and time of the newest shipment; null: there is none. */
  readonly shipment: { readonly position: number; readonly madeAt: string } | null;
  /** Since the start. */
  readonly bytes: number;
  readonly shipments: number;
  readonly failures: number;
  /** Records that left the log before they were shipped. */
  readonly missedRecords: number;
  /** What keeps it from being done, or is missing in the store, a sentence each. */
  readonly problems: readonly string[];
  /** Another copy of the data folder has the prefix, or had it: nothing is shipped any more. */
  readonly isRefused: boolean;
}

export interface ShipRunOrder {
  readonly savepoint: Omit<SavepointOrder, "to" | "madeAt">;
  readonly intervalUs: number;
  readonly logIntervalUs: number;
  readonly keepMax: number;
}

export interface ShipRunPorts extends Omit<ShipperPorts, "pause" | "nowUs"> {
  /** The same prefix, for the log and for shipments; requests of the second end with `noMore`. */
  readonly stores: { readonly log: ObjectStore; readonly shipments: ObjectStore };
  readonly clock: Clock;
  /** Lets other messages in, and others have the core and the disk. */
  readonly rest: () => Promise<void>;
  /** Aborted: no shipment is begun or gone on with. */
  readonly noMore: AbortSignal;
  /** Aborted: the log has ended; what it holds is shipped, then it is over. */
  readonly finish: AbortSignal;
  readonly tell: (status: ShipStatus) => void;
  /** A line for the operator. */
  readonly notice: (text: string) => void;
}

/** What may fail by itself. */
type Part = "log" | "shipments";

export class ShipRun {
  readonly #order: ShipRunOrder;
  readonly #ports: ShipRunPorts;
  readonly #problems = new Map<Part, string>();
  readonly #waitUs = new Map<Part, number>();
  readonly #startedAtUs: number;
  readonly #over = new AbortController();
  /** The ports' signals, or that it is over. */
  readonly #noMore: AbortSignal;
  readonly #finish: AbortSignal;
  #log: LogShipper | null = null;
  #shipper: Shipper | null = null;
  #isRefused = false;
  #bytes = 0;
  #shipments = 0;
  #failures = 0;

  constructor(order: ShipRunOrder, ports: ShipRunPorts) {
    this.#order = order;
    this.#ports = ports;
    this.#startedAtUs = ports.clock.nowUs();
    this.#noMore = AbortSignal.any([ports.noMore, this.#over.signal]);
    this.#finish = AbortSignal.any([ports.finish, this.#over.signal]);
  }

  /** Resolves when it is over: after `finish`, or once the prefix is another's. */
  async run(): Promise<void> {
    try {
      const claimed = await this.#claim();
      if (claimed === null) return;
      const { clock, stores } = this.#ports;
      const pause = async (bytes: number): Promise<void> => {
        this.#bytes += bytes;
        await this.#ports.rest();
      };
      const log = new LogShipper(stores.log, this.#folder(), claimed, pause);
      const { savepoint, keepMax } = this.#order;
      const ports: ShipperPorts = {
        ...this.#ports,
        nowUs: () => clock.nowUs(),
        pause: async (bytes) => {
          await pause(bytes);
          this.#noMore.throwIfAborted();
        },
      };
      const shipper = new Shipper(stores.shipments, savepoint, { claimed, keepMax }, ports);
      this.#log = log;
      this.#shipper = shipper;
      await this.#both(this.#shipLog(log), this.#shipMoments(shipper, log));
    } catch (error) {
      if (!(error instanceof ClaimRefusedError)) throw error;
      this.#isRefused = true;
      this.#problems.clear();
      const text = `nothing is shipped: ${error.message}`;
      this.#problems.set("log", text);
      this.#ports.notice(text);
      this.#tell();
    }
  }

  /** The first failure of one ends the other too. */
  async #both(...parts: readonly Promise<void>[]): Promise<void> {
    try {
      await Promise.all(parts);
    } catch (error) {
      this.#over.abort();
      await Promise.allSettled(parts);
      throw error;
    }
  }

  #folder(): ShippingFolder {
    const { dataFolder, jobId } = this.#order.savepoint;
    const { files, clock } = this.#ports;
    return { dataFolder, jobId, files, nowUs: () => clock.nowUs() };
  }

  async #claim(): Promise<Claimed | null> {
    const { stores } = this.#ports;
    while (!this.#finish.aborted)
      try {
        return await claimPrefix(stores.log, this.#folder());
      } catch (error) {
        await rest(this.#failed("log", error), this.#finish);
      }
    return null;
  }

  async #shipLog(log: LogShipper): Promise<void> {
    const finish = this.#finish;
    let missed = 0;
    for (;;) {
      // what became durable before it is in the last step
      const isLast = finish.aborted;
      let waitUs = this.#order.logIntervalUs;
      try {
        await log.step();
        this.#succeeded("log");
      } catch (error) {
        waitUs = this.#failed("log", error);
      }
      if (log.missed > missed)
        this.#ports.notice(
          `${log.missed - missed} log records were trimmed before they could be shipped to ${this.#address}: the next shipment has them in its tables`,
        );
      missed = log.missed;
      if (isLast) return;
      await rest(waitUs, finish);
    }
  }

  async #shipMoments(shipper: Shipper, log: LogShipper): Promise<void> {
    const { clock } = this.#ports;
    const noMore = this.#noMore;
    const { intervalUs, logIntervalUs } = this.#order;
    const newest = shipper.newest?.shipment.madeAt;
    const isJoined = log.position === log.shipped.last;
    let dueUs = newest === undefined || !isJoined ? 0 : Date.parse(newest) * 1000 + intervalUs;
    let missed = 0;
    while (!noMore.aborted) {
      const beganUs = clock.nowUs();
      // the newest one is of a clock that was ahead
      dueUs = Math.min(dueUs, beganUs + intervalUs);
      if (log.missed > missed) dueUs = 0;
      missed = log.missed;
      const { last } = log.shipped;
      const isSettled = log.position === last && shipper.isSettledAt(last);
      if (beganUs >= dueUs && !isSettled) {
        try {
          await shipper.make(log);
          this.#shipments++;
          this.#succeeded("shipments");
          dueUs = beganUs + intervalUs;
        } catch (error) {
          if (noMore.aborted) return;
          dueUs = clock.nowUs() + this.#failed("shipments", error);
        }
      }
      const leftUs = dueUs - clock.nowUs();
      await rest(leftUs > 0 ? Math.min(leftUs, logIntervalUs) : logIntervalUs, noMore);
    }
  }

  get #address(): string {
    return this.#ports.stores.log.address;
  }

  #succeeded(part: Part): void {
    this.#waitUs.delete(part);
    if (this.#problems.delete(part) && this.#problems.size === 0)
      this.#ports.notice(`shipping to ${this.#address} goes on`);
    this.#tell();
  }

  /** Tells it once, and returns how long to wait, µs. Throws what no later try can mend. */
  #failed(part: Part, error: unknown): number {
    if (error instanceof ClaimRefusedError) throw error;
    this.#failures++;
    const why = error instanceof Error ? error.message : String(error);
    const what =
      part === "log"
        ? "the log is not shipped, so that newer events are on this disk alone"
        : "no newer shipment was made, so that a restore replays more of the log";
    const text = `${what}: ${why}. It is tried again by itself; events are taken as ever`;
    if (!this.#problems.has(part)) this.#ports.notice(text);
    this.#problems.set(part, text);
    const waitUs = Math.max(SHIP_RETRY_US_MIN, 2 * (this.#waitUs.get(part) ?? 0));
    this.#waitUs.set(part, Math.min(waitUs, SHIP_RETRY_US_MAX));
    this.#tell();
    return Math.min(waitUs, SHIP_RETRY_US_MAX);
  }

  /** A sentence when records left the log that are in no segment and no shipment. */
  #gap(): string[] {
    if (this.#log === null || !this.#shipper?.newest) return [];
    const { position, shipped } = this.#log;
    return position === shipped.last
      ? []
      : [
          `a restore would end at log position ${position}: records behind it left the log before they were shipped to ${this.#address}. The next shipment, which is being made, has what they said in its tables`,
        ];
  }

  #tell(): void {
    const newest = this.#shipper?.newest?.shipment;
    this.#ports.tell({
      position: this.#log?.position ?? 0,
      completeAtUs: Math.max(this.#log?.completeAtUs ?? 0, this.#startedAtUs),
      shipment: newest === undefined ? null : { position: newest.log.last, madeAt: newest.madeAt },
      bytes: this.#bytes,
      shipments: this.#shipments,
      failures: this.#failures,
      missedRecords: this.#log?.missed ?? 0,
      problems: [...this.#problems.values(), ...this.#gap()],
      isRefused: this.#isRefused,
    });
  }
}

/** Resolves after this time, or when the signal is aborted. */
function rest(us: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, us / 1000);
    signal.addEventListener("abort", done);
    return undefined;
  });
}
