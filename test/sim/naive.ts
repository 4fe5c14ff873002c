// What the answers must be, from the events in the log alone, the plainest way: time as in the decision tables of ARCHITECTURE.md, windows as maps.
// Shares no code with the product. An event of the log is given once, in order.

/** An accepted event. */
export interface Hit {
  readonly id: string;
  readonly timeUs: bigint;
  readonly user: string;
  readonly value: bigint;
}

/** A record of the log, as far as it matters. */
export interface Entry {
  readonly position: number;
  readonly receivedAtUs: number;
  readonly partition: string;
  readonly hits: readonly Hit[];
  /** Of a control record: what happened to which partitions. */
  readonly change: { readonly kind: string; readonly partitions: readonly string[] } | null;
  readonly isEvents: boolean;
}

/** The settings of the run's one stream, µs. */
export interface StreamSettings {
  readonly outOfOrdernessUs: number;
  readonly idleAfterUs: number | null;
}

interface Partition {
  highestUs: bigint | null;
  lastUs: number;
  state: "connected" | "disconnected" | "paused";
}

/** The watermark of one stream. */
export class NaiveClock {
  readonly #settings: StreamSettings;
  readonly #partitions = new Map<string, Partition>();
  #newestUs: bigint | null = null;
  #nowUs = 0;
  watermarkUs: bigint | null = null;

  constructor(settings: StreamSettings) {
    this.#settings = settings;
  }

  heard(name: string, atUs: number, state: Partition["state"] | null = null): void {
    const partition = this.#partitions.get(name) ?? {
      highestUs: null,
      lastUs: atUs,
      state: "connected",
    };
    partition.lastUs = atUs;
    if (state !== null) partition.state = state;
    this.#partitions.set(name, partition);
  }

  at(nowUs: number): void {
    this.#nowUs = nowUs;
    this.#move();
  }

  /** Gives how far the event is behind the watermark before it. */
  event(name: string, timeUs: bigint): bigint {
    const before = this.watermarkUs;
    const seenUs = timeUs < BigInt(this.#nowUs) ? timeUs : BigInt(this.#nowUs);
    const partition = this.#partitions.get(name);
    if (partition !== undefined && (partition.highestUs === null || seenUs > partition.highestUs))
      partition.highestUs = seenUs;
    if (this.#newestUs === null || seenUs > this.#newestUs) this.#newestUs = seenUs;
    this.#move();
    return before !== null && timeUs < before ? before - timeUs : 0n;
  }

  #move(): void {
    const wanted = this.#wanted();
    if (wanted !== null && (this.watermarkUs === null || wanted > this.watermarkUs))
      this.watermarkUs = wanted;
  }

  #wanted(): bigint | null {
    const { idleAfterUs, outOfOrdernessUs } = this.#settings;
    let lowest: bigint | null = null;
    let active = 0;
    for (const { highestUs, lastUs, state } of this.#partitions.values()) {
      const isSilent = idleAfterUs !== null && this.#nowUs - lastUs >= idleAfterUs;
      if (state === "connected" && isSilent) continue;
      active++;
      if (highestUs === null) return null;
      const us = highestUs - BigInt(outOfOrdernessUs);
      if (lowest === null || us < lowest) lowest = us;
    }
    return active === 0 ? this.#newestUs : lowest;
  }
}

/** A view of the run: windows of equal size; which late events it still takes. */
export interface NaiveView {
  readonly name: string;
  readonly sizeUs: bigint;
  readonly slideUs: bigint;
  readonly allowedUs: bigint;
}

/** A row, and the log position that closed its window. */
export interface Row {
  readonly position: number;
  count: number;
  sum: bigint;
}

interface Window {
  readonly endUs: bigint;
  readonly groups: Map<string, { count: number; sum: bigint }>;
}

/** What a view has put out. */
export class NaiveFold {
  readonly view: NaiveView;
  readonly #open = new Map<bigint, Window>();
  /** By window start and user. */
  readonly rows = new Map<string, Row>();
  /** Events that were too late, by position and index, and the windows that they missed. */
  readonly late = new Map<string, { readonly position: number }>();

  constructor(view: NaiveView) {
    this.view = view;
  }

  /** `watermarkUs`: just before the event. */
  event(hit: Hit, at: { position: number; index: number }, watermarkUs: bigint | null): void {
    const { sizeUs, slideUs, allowedUs } = this.view;
    let isLate = false;
    for (let start = floorTo(hit.timeUs, slideUs); start > hit.timeUs - sizeUs; start -= slideUs) {
      const endUs = start + sizeUs;
      if (watermarkUs !== null && watermarkUs >= endUs + allowedUs) {
        isLate = true;
        continue;
      }
      const isClosed = watermarkUs !== null && watermarkUs >= endUs;
      if (isClosed) this.#correct(start, hit, at.position);
      else this.#add(start, hit);
    }
    if (isLate) this.late.set(`${at.position} ${at.index}`, at);
  }

  #add(start: bigint, { user, value }: Hit): void {
    const window = this.#open.get(start) ?? {
      endUs: start + this.view.sizeUs,
      groups: new Map<string, { count: number; sum: bigint }>(),
    };
    const group = window.groups.get(user) ?? { count: 0, sum: 0n };
    group.count++;
    group.sum += value;
    window.groups.set(user, group);
    this.#open.set(start, window);
  }

  #correct(start: bigint, { user, value }: Hit, position: number): void {
    // its window may close with the record at hand
    if (this.#open.has(start)) return this.#add(start, { id: "", timeUs: start, user, value });
    const key = `${start} ${user}`;
    const row = this.rows.get(key) ?? { position, count: 0, sum: 0n };
    row.count++;
    row.sum += value;
    this.rows.set(key, row);
  }

  /** After a record. */
  close(position: number, watermarkUs: bigint | null): void {
    if (watermarkUs === null) return;
    for (const [start, { endUs, groups }] of this.#open) {
      if (endUs > watermarkUs) continue;
      this.#open.delete(start);
      for (const [user, { count, sum }] of groups)
        this.rows.set(`${start} ${user}`, { position, count, sum });
    }
  }

  /** Rows of closed windows, and those of open ones as they are now. */
  allRows(): ReadonlyMap<string, { readonly count: number; readonly sum: bigint }> {
    const rows = new Map<string, { readonly count: number; readonly sum: bigint }>(this.rows);
    for (const [start, { groups }] of this.#open)
      for (const [user, group] of groups) rows.set(`${start} ${user}`, group);
    return rows;
  }

  /** Rows that the table has once it covers `position`: of views without corrections. */
  rowsUpTo(position: number): number {
    let count = 0;
    for (const row of this.rows.values()) if (row.position <= position) count++;
    return count;
  }

  lateUpTo(position: number): number {
    let count = 0;
    for (const at of this.late.values()) if (at.position <= position) count++;
    return count;
  }
}

function floorTo(timeUs: bigint, slideUs: bigint): bigint {
  return timeUs - (((timeUs % slideUs) + slideUs) % slideUs);
}
