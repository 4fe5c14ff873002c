// Follows the log of a run as it becomes durable, record by record, and holds it against what producers were told: no acknowledged event missing,
// none double, watermarks as the naive clock says and never back. Feeds the naive folds.
import type { ImageColumn } from "../../src/event/image.ts";
import type { LogReader } from "../../src/log/log.ts";
import type { LogRecord } from "../../src/log/record.ts";
import type { Told } from "./clients.ts";
import {
  NaiveClock,
  NaiveFold,
  type Entry,
  type Hit,
  type NaiveView,
  type StreamSettings,
} from "./naive.ts";

/** What the oracle uses of the product to read what lies on disk: codecs, nothing that decides. */
export interface LogTools {
  openReader(): LogReader;
  rows(image: Uint8Array, columns: readonly ImageColumn[]): readonly (readonly unknown[])[];
  readonly columns: readonly ImageColumn[];
}

interface Known extends Entry {
  readonly hash: number | bigint;
  readonly rejects: number;
  readonly watermarkUs: bigint | null;
  readonly behinds: readonly bigint[];
}

/** The naive clock and folds at a position. */
interface Past {
  position: number;
  readonly clock: NaiveClock;
  readonly folds: readonly NaiveFold[];
}

const READ_BYTES = 1 << 20;
/** Less than fit into READ_BYTES: there are no more. */
const FEW_RECORDS = 50;

export class LogOracle {
  readonly #tools: LogTools;
  readonly #told: Told;
  readonly #violated: (what: string) => void;
  readonly #settings: StreamSettings;
  readonly #views: readonly NaiveView[];
  #known: Known[] = [];
  #positions = new Map<string, number>();
  #clock: NaiveClock;
  folds: NaiveFold[];
  /** For questions: an earlier moment. */
  #past: Past;
  /** Acknowledgements that were looked at. */
  #looked = 0;
  /** Of this life of the process. */
  #reader: LogReader | null = null;
  /** Sums over the records up to each position. */
  #events: number[] = [0];
  #rejects: number[] = [0];

  constructor(
    parts: { tools: LogTools; told: Told; violated: (what: string) => void },
    stream: StreamSettings,
    views: readonly NaiveView[],
  ) {
    this.#tools = parts.tools;
    this.#told = parts.told;
    this.#violated = parts.violated;
    this.#settings = stream;
    this.#views = views;
    this.#clock = new NaiveClock(stream);
    this.folds = views.map((view) => new NaiveFold(view));
    this.#past = this.#noPast();
  }

  get last(): number {
    return this.#known.length;
  }

  /** Accepted events up to a position. */
  eventsUpTo(position: number): number {
    return this.#events[position] ?? 0;
  }

  rejectsUpTo(position: number): number {
    return this.#rejects[position] ?? 0;
  }

  hit(position: number, index: number): Hit | undefined {
    return this.#known[position - 1]?.hits[index];
  }

  /** The folds as they were at a position; asked for in any order, quickly in that of the log. */
  foldsAt(position: number): readonly NaiveFold[] {
    if (position < this.#past.position) this.#past = this.#noPast();
    const past = this.#past;
    for (const known of this.#known.slice(past.position, position)) this.#fold(known, past);
    past.position = position;
    return past.folds;
  }

  #noPast(): Past {
    const folds = this.#views.map((view) => new NaiveFold(view));
    return { position: 0, clock: new NaiveClock(this.#settings), folds };
  }

  /** Takes in what is durable now. */
  follow(): void {
    this.#reader ??= this.#tools.openReader();
    const reader = this.#reader;
    for (;;) {
      const records = reader.read(this.last + 1, READ_BYTES);
      for (const record of records) this.#take(record);
      if (records.length < FEW_RECORDS) break;
    }
  }

  /** The process has ended: the log may have lost what nobody was told of; what it holds is what it was. */
  restarted(): void {
    this.#reader = this.#tools.openReader();
    const reader = this.#reader;
    const { first, last } = reader.bounds();
    if (last < this.last) this.#forget(last);
    for (let position = Math.max(first, last - 100); position <= last && position <= this.last;) {
      const records = reader.read(position, READ_BYTES);
      for (const record of records) {
        const known = this.#known[record.position - 1];
        if (known !== undefined && known.hash !== hashOf(record))
          this.#violated(`log record ${record.position} is not what it was`);
      }
      position += records.length;
      if (records.length === 0) return this.#violated(`log record ${position} cannot be read`);
    }
    this.follow();
  }

  /** What producers were told since the last look is in the log. */
  checkTold(): void {
    const { acknowledged, inOrder } = this.#told;
    for (; this.#looked < inOrder.length; this.#looked++) {
      const id = inOrder[this.#looked] ?? "";
      const position = acknowledged.get(id) ?? 0;
      const found = this.#positions.get(id);
      if (found === undefined) this.#violated(`event ${id} was acknowledged and is not in the log`);
      else if (found > position)
        this.#violated(`event ${id} was acknowledged at ${position} and is at ${found}`);
    }
  }

  #forget(last: number): void {
    const lost = this.#known.slice(last);
    for (const { position, hits } of lost)
      for (const { id } of hits)
        if (this.#told.acknowledged.has(id))
          this.#violated(`event ${id} of log record ${position} was acknowledged and is lost`);
    const kept = this.#known.slice(0, last);
    this.#known = [];
    this.#events = [0];
    this.#rejects = [0];
    this.#positions = new Map();
    this.#past = this.#noPast();
    this.#clock = new NaiveClock(this.#settings);
    this.folds = this.#views.map((view) => new NaiveFold(view));
    for (const known of kept) this.#add(known);
  }

  #take(record: LogRecord): void {
    if (record.position !== this.last + 1)
      this.#violated(`log record ${record.position} follows ${this.last}`);
    const { position, receivedAtUs } = record;
    if (receivedAtUs < (this.#known.at(-1)?.receivedAtUs ?? 0))
      this.#violated(`received_at of log record ${position} goes back`);
    if (record.kind === "control") {
      const said = JSON.parse(record.body) as { partitions?: string[] };
      const isClock = /^(clock_tick|partition_)/.test(record.control);
      const change = isClock ? { kind: record.control, partitions: said.partitions ?? [] } : null;
      return this.#add({
        position,
        receivedAtUs,
        partition: "",
        hits: [],
        change,
        isEvents: false,
        hash: hashOf(record),
        rejects: 0,
        watermarkUs: null,
        behinds: [],
      });
    }
    const rows = record.rowCount === 0 ? [] : this.#tools.rows(record.image, this.#tools.columns);
    this.#add({
      position,
      receivedAtUs,
      partition: record.partition,
      hits: rows.map(([id, timeUs, user, value]) => ({
        id: String(id),
        timeUs: timeUs as bigint,
        user: String(user),
        value: value as bigint,
      })),
      change: null,
      isEvents: true,
      hash: hashOf(record),
      rejects: record.rejects.length,
      watermarkUs: record.watermarkUs,
      behinds: rows.map((row) => row.at(-1) as bigint),
    });
    return undefined;
  }

  #add(known: Known): void {
    this.#known.push(known);
    this.#events.push((this.#events.at(-1) ?? 0) + known.hits.length);
    this.#rejects.push((this.#rejects.at(-1) ?? 0) + known.rejects);
    for (const { id } of known.hits) {
      const before = this.#positions.get(id);
      if (before !== undefined)
        this.#violated(`event ${id} is in log records ${before} and ${known.position}`);
      this.#positions.set(id, known.position);
      if (!this.#told.sent.has(id)) this.#violated(`event ${id} was never sent`);
    }
    this.#fold(known, { clock: this.#clock, folds: this.folds });
  }

  #fold(known: Known, { clock, folds }: Pick<Past, "clock" | "folds">): void {
    const { position, partition, receivedAtUs, hits, change, isEvents } = known;
    if (change !== null) {
      const state = { partition_disconnected: "disconnected", partition_paused: "paused" } as const;
      for (const name of change.partitions)
        clock.heard(name, receivedAtUs, state[change.kind as keyof typeof state] ?? "connected");
      clock.at(receivedAtUs);
    }
    if (isEvents) {
      clock.heard(partition, receivedAtUs);
      clock.at(receivedAtUs);
    }
    for (const [index, hit] of hits.entries()) {
      const { watermarkUs } = clock;
      const behindUs = clock.event(partition, hit.timeUs);
      if (behindUs !== known.behinds[index])
        this.#violated(
          `_behind of event ${hit.id} at ${position} is ${known.behinds[index]}, not ${behindUs}`,
        );
      for (const fold of folds) fold.event(hit, { position, index }, watermarkUs);
    }
    if (isEvents && clock.watermarkUs !== known.watermarkUs)
      this.#violated(
        `the watermark after record ${position} is ${known.watermarkUs}, not ${clock.watermarkUs}`,
      );
    for (const fold of folds) fold.close(position, clock.watermarkUs);
  }
}

function hashOf(record: LogRecord): number | bigint {
  if (record.kind === "control") return Bun.hash.xxHash3(`${record.control} ${record.body}`);
  return Bun.hash.xxHash3(record.image, BigInt(record.rowCount));
}
