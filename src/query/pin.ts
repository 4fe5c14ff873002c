// Nouns: the state that one query sees, fixed before it runs. Made by the parent (engine, export, log each say their part), sent to
// the query child as JSON, released when the answer is out. Until then nothing it names is unlinked.
import type { Column } from "../event/schema.ts";
import type { Finality } from "../view/plan.ts";

/** Data files of one table up to one ledger epoch: absolute paths of Parquet files whose columns carry field ids. */
export interface PinnedFiles {
  readonly columns: readonly Column[];
  readonly files: readonly string[];
}

/**
 * A stream: `raw.columns` are the table's, in order: those of the stream's batch images (declared members, `attrs`, `_behind`), then
 * received_at, _position, _index. Committed files up to the log position `coveredPosition`, then the log's records after it up to the
 * pin's position.
 */
export interface PinnedStream {
  readonly stream: string;
  readonly raw: PinnedFiles;
  readonly coveredPosition: number;
}

/** A view: files of ledgered epochs, plus images of what the engine still holds. `rows.columns`: output columns, then `revision`. */
export interface PinnedView {
  readonly view: string;
  readonly rows: PinnedFiles;
  /** Batch images on disk: open windows and closed rows beyond the ledger. Columns as in the view's table. */
  readonly images: readonly string[];
  /**
   * Where rows beyond the ledger change others: all of them in order, in place of those in `images`. The last word on a key (columns `keys`)
   * counts, and takes the place of a row in `rows`.
   */
  readonly changes: readonly PinnedChange[];
  readonly keys: readonly string[];
  /** The stream watermark at the pinned position, µs as decimal text, or null before the first event: for `is_final`. */
  readonly watermarkUs: string | null;
  /**
   * A row is final once `column` (TIMESTAMPTZ) + `addUs` <= the watermark: the output column of window_end with 0, or that of
   * window_start with the window's size; the allowed lateness is in it too. null when the view puts out neither: `is_final` is NULL then.
   * "always": a projection's rows.
   */
  readonly finality: Finality;
}

/** An image of rows that are new ("append"), take the place of rows with the same key, or are gone. */
export interface PinnedChange {
  readonly path: string;
  readonly op: "append" | "upsert" | "delete";
}

/** Events of a stream that a view counts as failed: SQL over the stream's rows (view/failures.ts). */
export interface PinnedFailures {
  readonly view: string;
  readonly stream: string;
  /** The stream's column of event times. */
  readonly eventTime: string;
  readonly operation: string;
  readonly isCounted: string;
  /** Late events are those in `millrace.late_events`: no condition tells them. */
  readonly hasSessions: boolean;
  /** The view looks at events behind `after`, up to `upTo`; null: all. */
  readonly after: number;
  readonly upTo: number | null;
}

/** Windows of a view that were reconciled; µs as decimal text. */
export interface PinnedRange {
  readonly view: string;
  readonly fromUs: string;
  readonly toUs: string;
  readonly position: number;
  /** Windows of the view begin every slideUs and are sizeUs long. Null: it has sessions, and the events' own times lie in the range. */
  readonly grid: { readonly sizeUs: number; readonly slideUs: number } | null;
}

/** A small system relation, given by value: columns and rows of JSON values (BIGINT and times as decimal text). */
export interface InlineRelation {
  readonly name: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly (string | number | boolean | null)[])[];
}

/** Everything that one query may see. */
export interface Pin {
  readonly position: number;
  readonly logFolder: string;
  readonly streams: readonly PinnedStream[];
  readonly views: readonly PinnedView[];
  readonly lateEvents: {
    readonly files: PinnedFiles;
    readonly images: readonly { readonly view: string; readonly path: string }[];
    /** Which of them count after all: those at or below `position`, of windows that start in [fromUs, toUs). */
    readonly reconciled: readonly PinnedRange[];
  };
  /** Of each view whose operations can fail. */
  readonly viewErrors: readonly PinnedFailures[];
  /** Dead letters: files, then the rejects of the log's records after `coveredPosition`. */
  readonly deadLetters: { readonly files: PinnedFiles; readonly coveredPosition: number };
  readonly inline: readonly InlineRelation[];
}
