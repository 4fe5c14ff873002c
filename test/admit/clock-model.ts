// The rules of source partitions and watermarks (design section 3) in plain words: everything that was ever said is kept, and each answer
// is computed from all of it. Obviously right, and slow.
const NONE = -(2n ** 63n);

export interface ModelSettings {
  readonly outOfOrdernessUs: number;
  readonly idleAfterUs: number | null;
  readonly eventTime?: "column" | "received_at";
}

/** Something that was heard of a partition, at a time of the log. */
interface Heard {
  readonly atUs: number;
  readonly state: "connected" | "disconnected" | "paused" | null;
}

/** One stream. Every method is a record of the log, or an event in one. */
export class ClockModel {
  readonly #settings: ModelSettings;
  readonly #heard = new Map<string, Heard[]>();
  readonly #seen: {
    readonly partition: string;
    readonly timeUs: bigint;
    readonly moves: boolean;
  }[] = [];
  #nowUs = 0;
  watermarkUs: bigint | null = null;

  constructor(settings: ModelSettings) {
    this.#settings = settings;
  }

  /** A record of a partition begins, or a control record gives it a state. */
  heard(partition: string, atUs: number, state: Heard["state"] = null): void {
    const list = this.#heard.get(partition) ?? [];
    list.push({ atUs, state });
    this.#heard.set(partition, list);
  }

  /** Log time is this now; all that is heard of at this time was said before. */
  at(nowUs: number): void {
    this.#nowUs = nowUs;
    this.#move();
  }

  /** An accepted event of the record at hand, which moves the watermark or does not; gives its `_behind`. */
  event(partition: string, timeUs: bigint, moves: boolean): bigint {
    const behind =
      this.watermarkUs !== null && timeUs < this.watermarkUs ? this.watermarkUs - timeUs : 0n;
    const receivedUs = BigInt(this.#nowUs);
    this.#seen.push({ partition, timeUs: timeUs < receivedUs ? timeUs : receivedUs, moves });
    this.#move();
    return behind;
  }

  stateOf(partition: string): string {
    const list = this.#heard.get(partition) ?? [];
    const state = list.findLast((heard) => heard.state !== null)?.state ?? "connected";
    const lastUs = Math.max(...list.map(({ atUs }) => atUs));
    const { idleAfterUs } = this.#settings;
    const isSilent = idleAfterUs !== null && this.#nowUs - lastUs >= idleAfterUs;
    return state === "connected" && isSilent ? "idle" : state;
  }

  #move(): void {
    const wanted = this.#wanted();
    if (wanted !== null && (this.watermarkUs === null || wanted > this.watermarkUs))
      this.watermarkUs = wanted;
  }

  #wanted(): bigint | null {
    const active = [...this.#heard.keys()].filter((name) => this.stateOf(name) !== "idle");
    if (active.length === 0) {
      const clockUs = this.#heard.size === 0 ? null : BigInt(this.#nowUs);
      if (this.#settings.eventTime === "received_at") return clockUs;
      return highest(this.#seen.map(({ timeUs }) => timeUs));
    }
    const own = active.map((name) => {
      const newest = highest(
        this.#seen
          .filter(({ partition, moves }) => partition === name && moves)
          .map(({ timeUs }) => timeUs),
      );
      if (newest === null) return null;
      const us = newest - BigInt(this.#settings.outOfOrdernessUs);
      return us > NONE ? us : null;
    });
    return own.reduce((a, b) => (a === null || b === null ? null : a < b ? a : b));
  }
}

function highest(times: readonly bigint[]): bigint | null {
  return times.reduce<bigint | null>((a, b) => (a === null || b > a ? b : a), null);
}
