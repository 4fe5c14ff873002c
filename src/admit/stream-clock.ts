// The event-time clock of one stream: its source partitions, which of them are idle, and the watermark that follows. Pure: log time is the
// received_at of the stream's own records and comes in by argument. Who delivers, and when a tick is written, is decided outside.
//
// Every method is a step that a record of the log makes, so the same records give the same clock (design section 3).
import { assert, must } from "../base/assert.ts";
import { SOURCE_PARTITIONS_MAX } from "../limits.ts";
import { followsClock, isIdle, type PartitionState } from "../time/rules.ts";

/** Times are 64-bit µs and saturate: the lowest stands for "none yet", so no time is that low. */
const I64_MIN = -(2n ** 63n);
const I64_MAX = 2n ** 63n - 1n;

/** How far a watermark that follows the clock may lie behind it, µs. A tick is some 150 bytes of the log: 13 MB a day. */
const CLOCK_FOLLOW_US = 1_000_000;

/** How a stream's time moves. Durations in µs. */
export interface ClockSettings {
  readonly outOfOrdernessUs: number;
  /** null = a silent partition is never idle. */
  readonly idleAfterUs: number | null;
  /** What the event time is; absent = a column of the events. */
  readonly eventTime?: "column" | "received_at";
}

/** A source partition as a checkpoint holds it. */
export interface PartitionClock {
  readonly name: string;
  readonly state: PartitionState;
  /** Highest min(event time, received_at) of the events that move its watermark, µs; null = none yet. */
  readonly highestUs: bigint | null;
  /** received_at of its last record, or of when it was added, connected or resumed, µs. */
  readonly heardAtUs: number;
}

/** The clock as a checkpoint holds it. */
export interface ClockState {
  /** Log time: received_at of the stream's last record, µs. */
  readonly timeUs: number;
  readonly watermarkUs: bigint | null;
  /** Highest min(event time, received_at) of all partitions there ever were, µs. */
  readonly newestUs: bigint | null;
  /** In the order in which they were added. */
  readonly partitions: readonly PartitionClock[];
}

const NEW_CLOCK: ClockState = { timeUs: 0, watermarkUs: null, newestUs: null, partitions: [] };

/** What admits the rows of one record: accepted events (of a punctuated stream those that satisfy its condition) move the partition's highest and with it the watermark, up to the cap. */
export interface RowClock {
  readonly watermarkUs: bigint | null;
  readonly newestUs: bigint | null;
  /** The partition's own. */
  readonly highestUs: bigint | null;
  /** What the other active partitions allow the watermark to be; null: one of them has not delivered, it cannot move. */
  readonly capUs: bigint | null;
}

/** What becomes of partitions by a control record. */
export type PartitionChange = "added" | "connected" | "disconnected" | "paused" | "resumed";

const STATE_AFTER: Readonly<Record<PartitionChange, PartitionState>> = {
  added: "connected",
  connected: "connected",
  disconnected: "disconnected",
  paused: "paused",
  resumed: "connected",
};

/** A partition for people. */
export interface PartitionStatus {
  readonly name: string;
  readonly state: PartitionState | "idle";
  readonly watermarkUs: bigint | null;
  readonly newestUs: bigint | null;
  /** When it falls idle if nothing comes, µs of log time; null: never, or it is. */
  readonly idleAtUs: number | null;
}

interface Partition {
  readonly name: string;
  state: PartitionState;
  highestUs: bigint | null;
  heardAtUs: number;
}

function highest(a: bigint | null, b: bigint | null): bigint | null {
  if (a === null || b === null) return a ?? b;
  return a > b ? a : b;
}

/** The lower one; null when one of them holds everything back. */
function lowest(a: bigint | null, b: bigint | null): bigint | null {
  if (a === null || b === null) return null;
  return a < b ? a : b;
}

export class StreamClock {
  readonly #settings: ClockSettings;
  readonly #partitions = new Map<string, Partition>();
  #timeUs: number;
  #watermarkUs: bigint | null;
  #newestUs: bigint | null;
  /** RowClock's, of the record that has begun. */
  #capUs: bigint | null = null;

  constructor(settings: ClockSettings, state: ClockState = NEW_CLOCK) {
    this.#settings = settings;
    this.#timeUs = state.timeUs;
    this.#watermarkUs = state.watermarkUs;
    this.#newestUs = state.newestUs;
    for (const partition of state.partitions)
      this.#partitions.set(partition.name, { ...partition });
  }

  get state(): ClockState {
    return {
      timeUs: this.#timeUs,
      watermarkUs: this.#watermarkUs,
      newestUs: this.#newestUs,
      partitions: [...this.#partitions.values()].map((partition) => ({ ...partition })),
    };
  }

  /** The stream's watermark, µs; null = −∞. */
  get watermarkUs(): bigint | null {
    return this.#watermarkUs;
  }

  /** Highest min(event time, received_at) seen, µs. */
  get newestUs(): bigint | null {
    return this.#newestUs;
  }

  /** Highest min(event time, received_at) of a partition's events that move its watermark, µs; null = none yet. */
  highestUs(name: string): bigint | null {
    return this.#partitions.get(name)?.highestUs ?? null;
  }

  /** Whether a record of this partition may come at `atUs`: it is known, or there is room for one more. */
  hasRoomFor(name: string, atUs: number): boolean {
    return (
      this.#partitions.has(name) ||
      this.#partitions.size < SOURCE_PARTITIONS_MAX ||
      this.#longestIdle(atUs) !== null
    );
  }

  /** A record of a partition at `atUs`: it is heard of, others may fall idle. Twice is as good as once. */
  heard(name: string, atUs: number): void {
    this.begin(name, atUs);
  }

  /** As `heard`, before the record's events are admitted: what they may move. */
  begin(name: string, atUs: number): RowClock {
    const partition = this.#partitions.get(name) ?? this.#add(name, atUs);
    partition.heardAtUs = atUs;
    this.#goTo(atUs);
    this.#capUs = this.#capFor(partition);
    this.#raise(lowest(this.#watermarkOf(partition.highestUs), this.#capUs));
    return {
      watermarkUs: this.#watermarkUs,
      newestUs: this.#newestUs,
      highestUs: partition.highestUs,
      capUs: this.#capUs,
    };
  }

  /** The events of the record that has begun are admitted: the highest of its partition and the newest of the stream are these now. */
  end(name: string, seen: Pick<RowClock, "highestUs" | "newestUs">): void {
    const partition = must(this.#partitions.get(name), "the partition of a record");
    partition.highestUs = highest(partition.highestUs, seen.highestUs);
    this.#newestUs = highest(this.#newestUs, seen.newestUs);
    this.#raise(lowest(this.#watermarkOf(partition.highestUs), this.#capUs));
  }

  /** A control record changes partitions at `atUs`; those not known are added. Together, so that none is idle meanwhile. */
  change(names: readonly string[], change: PartitionChange, atUs: number): void {
    for (const name of names) {
      const partition = this.#partitions.get(name) ?? this.#add(name, atUs);
      partition.state = STATE_AFTER[change];
      partition.heardAtUs = atUs;
    }
    this.#goTo(atUs);
    this.#move();
  }

  /** The partitions for which this change of all of them at once would mean something. */
  affectedBy(change: "connected" | "paused" | "resumed"): string[] {
    const maySleep = this.#settings.idleAfterUs !== null;
    const isAffected = ({ state }: Partition): boolean => {
      if (change === "connected") return maySleep || state !== "connected";
      return change === "paused" ? maySleep && state === "connected" : state === "paused";
    };
    return [...this.#partitions.values()].filter(isAffected).map(({ name }) => name);
  }

  /** Log time is `atUs`: a clock tick. */
  tick(atUs: number): void {
    this.#goTo(atUs);
    this.#move();
  }

  /** A record of the log says what the watermark is after it: that stays, whatever the settings are now. */
  decided(watermarkUs: bigint | null): void {
    this.#watermarkUs = watermarkUs;
  }

  /**
   * When a tick is due, µs of log time: the next partition falls idle, or all are and the watermark follows the clock by steps of
   * CLOCK_FOLLOW_US; null = never.
   */
  get dueAtUs(): number | null {
    let dueAtUs: number | null = null;
    if (this.#followsClock && this.#partitions.size > 0 && this.#active() === undefined)
      return this.#timeUs + CLOCK_FOLLOW_US;
    for (const partition of this.#partitions.values()) {
      const idleAtUs = this.#idleAtUs(partition);
      if (idleAtUs !== null && (dueAtUs === null || idleAtUs < dueAtUs)) dueAtUs = idleAtUs;
    }
    return dueAtUs;
  }

  statuses(): PartitionStatus[] {
    return [...this.#partitions.values()].map((partition) => ({
      name: partition.name,
      state: this.#isIdle(partition) ? "idle" : partition.state,
      watermarkUs: this.#watermarkOf(partition.highestUs),
      newestUs: partition.highestUs,
      idleAtUs: this.#idleAtUs(partition),
    }));
  }

  #add(name: string, atUs: number): Partition {
    if (this.#partitions.size >= SOURCE_PARTITIONS_MAX) {
      // An idle partition has no say, so nothing moves when it is forgotten. Live there is one (ask hasRoomFor first); in a replay under a
      // longer idle_after there may be none, and the record says all the same that the partition came.
      const gone = this.#longestIdle(atUs) ?? this.#longestSilent(() => true);
      this.#partitions.delete(must(gone, "a partition").name);
    }
    const added: Partition = { name, state: "connected", highestUs: null, heardAtUs: atUs };
    this.#partitions.set(name, added);
    return added;
  }

  #longestIdle(atUs: number): Partition | null {
    return this.#longestSilent((partition) => this.#isIdle(partition, atUs));
  }

  /** The partition among some that was not heard of for the longest time; the first added where several are. */
  #longestSilent(isAmong: (partition: Partition) => boolean): Partition | null {
    let longest: Partition | null = null;
    for (const partition of this.#partitions.values())
      if (isAmong(partition) && partition.heardAtUs < (longest?.heardAtUs ?? Infinity))
        longest = partition;
    return longest;
  }

  #isIdle({ state, heardAtUs }: Partition, atUs = this.#timeUs): boolean {
    const { idleAfterUs } = this.#settings;
    return isIdle(state, idleAfterUs !== null && atUs >= heardAtUs + idleAfterUs);
  }

  #idleAtUs(partition: Partition): number | null {
    const { idleAfterUs } = this.#settings;
    if (idleAfterUs === null || !isIdle(partition.state, true) || this.#isIdle(partition))
      return null;
    return partition.heardAtUs + idleAfterUs;
  }

  #watermarkOf(highestUs: bigint | null): bigint | null {
    if (highestUs === null) return null;
    const us = highestUs - BigInt(this.#settings.outOfOrdernessUs);
    return us > I64_MIN ? us : null;
  }

  /** The lowest watermark of the active partitions but one; null: one of them has not delivered. */
  #capFor(but: Partition): bigint | null {
    let lowestUs = I64_MAX;
    for (const partition of this.#partitions.values()) {
      if (partition === but || this.#isIdle(partition)) continue;
      if (partition.highestUs === null) return null;
      if (partition.highestUs < lowestUs) lowestUs = partition.highestUs;
    }
    return lowestUs === I64_MAX ? I64_MAX : this.#watermarkOf(lowestUs);
  }

  #goTo(atUs: number): void {
    assert(atUs >= this.#timeUs, "log time does not go back");
    this.#timeUs = atUs;
  }

  /** max(its last value, ...) */
  #raise(wantedUs: bigint | null): void {
    this.#watermarkUs = highest(this.#watermarkUs, wantedUs);
  }

  #active(): Partition | undefined {
    return [...this.#partitions.values()].find((partition) => !this.#isIdle(partition));
  }

  get #followsClock(): boolean {
    return followsClock(this.#settings.eventTime ?? "column");
  }

  /** As the table FOLLOWS says. */
  #move(): void {
    if (this.#partitions.size === 0) return;
    const active = this.#active();
    if (active === undefined)
      this.#raise(this.#followsClock ? BigInt(this.#timeUs) : this.#newestUs);
    else this.#raise(lowest(this.#watermarkOf(active.highestUs), this.#capFor(active)));
  }
}
