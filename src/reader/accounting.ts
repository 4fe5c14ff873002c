// Where events went, counted from the log alone: of every stream what was sent, and of every view what its stream accepted since the view
// began. A pure fold of records with a checkpoint part of its own. What views did with their events they count themselves (src/window):
// that both sums agree is the check.
import type { LogRecord } from "../log/record.ts";

/** sent = accepted + duplicates + rejected, over all records of a stream. */
export interface StreamAccount {
  readonly stream: string;
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
}

/** A view that counts the events of a stream after a log position. */
export interface CountedView {
  readonly view: string;
  readonly stream: string;
  readonly since: number;
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

/** Both sums at one position. */
export interface Accounts {
  readonly streams: readonly StreamAccount[];
  readonly views: readonly ViewAccount[];
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
  readonly views: readonly (CountedView & { readonly accepted: number })[];
}

export class Accounting {
  readonly #streams = new Map<string, Counts>();
  #views: (CountedView & { accepted: number })[] = [];

  /** Continues from what `body` gave. The checkpoint's checksum vouches for its shape. */
  restore(body: Uint8Array): void {
    const stored = JSON.parse(new TextDecoder().decode(body)) as Stored;
    for (const { stream, ...counts } of stored.streams) this.#streams.set(stream, counts);
    this.#views = stored.views.map((view) => ({ ...view }));
  }

  /** Which views there are from now on: those that begin where they did go on. */
  count(views: readonly CountedView[]): void {
    this.#views = views.map((view) => {
      const before = this.#views.find(
        ({ view: name, since }) => name === view.view && since === view.since,
      );
      return { ...view, accepted: before?.accepted ?? 0 };
    });
  }

  /** Counts a durable record: each once, in order. */
  fold(record: LogRecord): void {
    if (record.kind === "control") return;
    const counts = this.#streams.get(record.stream) ?? { accepted: 0, duplicates: 0, rejected: 0 };
    this.#streams.set(record.stream, counts);
    counts.accepted += record.rowCount;
    counts.duplicates += record.duplicateCount;
    counts.rejected += record.rejects.length;
    for (const view of this.#views)
      if (view.stream === record.stream && record.position > view.since)
        view.accepted += record.rowCount;
  }

  get streams(): StreamAccount[] {
    return [...this.#streams].map(([stream, counts]) => ({ stream, ...counts }));
  }

  /** What a view's stream accepted since the view began; null for a view that is not counted. */
  view(name: string): (CountedView & { readonly accepted: number }) | null {
    return this.#views.find(({ view }) => view === name) ?? null;
  }

  /** What `restore` takes: JSON. */
  body(): Uint8Array {
    const stored: Stored = { streams: this.streams, views: this.#views };
    return new TextEncoder().encode(JSON.stringify(stored));
  }
}
