// Where events went, counted from the log alone: of every stream what was sent and how far its watermark is, and of every view what its stream
// accepted since the view began. A pure fold of records with a checkpoint part of its own. What views did with their events they count themselves (src/window):
// that both sums agree is the check.
import { clockControlOf } from "../log/clock-control.ts";
import type { LogRecord } from "../log/record.ts";

/** sent = accepted + duplicates + rejected, over all records of a stream. */
export interface StreamAccount {
  readonly stream: string;
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
}

/** A view that counts the events of a stream. */
export interface CountedView {
  readonly view: string;
  readonly stream: string;
  /** The log position at which it was configured. */
  readonly since: number;
  /** It counts events after this position, */
  readonly from: number;
  /** and these before: what was in open windows of the view below when a rollup began. */
  readonly accepted: number;
}

/** What became of a view's events: accepted = filtered + late + failed + applied + pending, else something is wrong. */
export interface ViewAccount {
  readonly view: string;
  readonly stream: string;
  readonly accepted: number;
  readonly filtered: number;
  readonly late: number;
  readonly failed: number;
  readonly applied: number;
  readonly pending: number;
}

/** Both sums at one position, and the streams' watermarks there: µs as decimal text, null = −∞. */
export interface Accounts {
  readonly streams: readonly StreamAccount[];
  readonly views: readonly ViewAccount[];
  readonly watermarks: readonly { readonly stream: string; readonly watermarkUs: string | null }[];
}

/** Events that the view's stream accepted and that the view does not account for: 0, or something is wrong. */
export function unaccounted(account: ViewAccount): number {
  const { accepted, filtered, late, failed, applied, pending } = account;
  return accepted - (filtered + late + failed + applied + pending);
}

interface Counts {
  accepted: number;
  duplicates: number;
  rejected: number;
}

interface Stored {
  readonly streams: readonly StreamAccount[];
  readonly views: readonly CountedView[];
  /** Absent in checkpoints of the first releases. */
  readonly watermarks?: Accounts["watermarks"];
}

export class Accounting {
  readonly #streams = new Map<string, Counts>();
  readonly #watermarks = new Map<string, string | null>();
  #views: (Omit<CountedView, "accepted"> & { accepted: number })[] = [];

  /** Continues from what `body` gave. The checkpoint's checksum vouches for its shape. */
  restore(body: Uint8Array): void {
    const stored = JSON.parse(new TextDecoder().decode(body)) as Stored;
    for (const { stream, ...counts } of stored.streams) this.#streams.set(stream, counts);
    this.#views = stored.views.map((view) => ({ ...view }));
    for (const { stream, watermarkUs } of stored.watermarks ?? [])
      this.#watermarks.set(stream, watermarkUs);
  }

  /** Which views there are from now on: those that were configured where they were go on. */
  count(views: readonly CountedView[]): void {
    this.#views = views.map((view) => {
      const before = this.#views.find(
        ({ view: name, since }) => name === view.view && since === view.since,
      );
      return { ...view, accepted: before?.accepted ?? view.accepted };
    });
  }

  /** Counts a durable record: each once, in order. */
  fold(record: LogRecord): void {
    if (record.kind === "control") {
      const said = clockControlOf(record);
      if (said !== null) this.#watermarks.set(said.stream, said.watermarkUs?.toString() ?? null);
      return;
    }
    this.#watermarks.set(record.stream, record.watermarkUs?.toString() ?? null);
    const counts = this.#streams.get(record.stream) ?? { accepted: 0, duplicates: 0, rejected: 0 };
    this.#streams.set(record.stream, counts);
    counts.accepted += record.rowCount;
    counts.duplicates += record.duplicateCount;
    counts.rejected += record.rejects.length;
    for (const view of this.#views)
      if (view.stream === record.stream && record.position > view.from)
        view.accepted += record.rowCount;
  }

  get streams(): StreamAccount[] {
    return [...this.#streams].map(([stream, counts]) => ({ stream, ...counts }));
  }

  /** What a view's stream accepted since the view began; null for a view that is not counted. */
  view(name: string): CountedView | null {
    return this.#views.find(({ view }) => view === name) ?? null;
  }

  /** A stream's watermark after the last record of it, µs as decimal text; null = −∞, undefined: there was none. */
  watermarkUs(stream: string): string | null | undefined {
    return this.#watermarks.get(stream);
  }

  /** What `restore` takes: JSON. */
  body(): Uint8Array {
    const watermarks = [...this.#watermarks].map(([stream, watermarkUs]) => ({
      stream,
      watermarkUs,
    }));
    const stored: Stored = { streams: this.streams, views: this.#views, watermarks };
    return new TextEncoder().encode(JSON.stringify(stored));
  }
}
