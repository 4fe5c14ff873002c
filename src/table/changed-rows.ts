// Copy-on-write: the rows of a view whose closed windows late events change, held as images until the epoch is cut. Files that hold a changed
// row are written anew without it or with its new value; others stay as they are (no delete files: every engine reads the table). Decides
// which files; epochs, names and disks are table-export.ts's.
import { assert, must } from "../base/assert.ts";
import { CHANGES_EPOCH_BYTES_MAX, OUTPUT_ROWS_MAX } from "../limits.ts";
import type { ViewOutput } from "../window/output.ts";
import { DayFiles, type FinishedDay } from "./day-files.ts";
import type { LedgerFile } from "./ledger.ts";
import { readParquet } from "./parquet-read.ts";
import type { ExportRoom } from "./room.ts";
import { columnsOfImage, imageOfRows, keyOf, timeOf, type RowAt } from "./row-columns.ts";
import type { TableSpec } from "./shapes.ts";

/** An image of rows, as an output has it. */
export type HeldRows = Pick<ViewOutput, "image" | "rowCount" | "op">;

/** Where the rows are that were put out before. */
export interface StoredRows {
  /** Files that are read now. */
  readonly files: () => readonly LedgerFile[];
  readonly read: (path: string) => Uint8Array;
}

/** Files of an ended epoch: made as they are asked for, and held until they are written. */
export interface FilesToWrite {
  /** Files that are not written, and perhaps some that will not be. */
  readonly left: number;
  /** Paths of the files that these take the place of: known once none is left. */
  readonly removed: readonly string[];
  /** The next file; when none is held `ahead` are made together. Undefined after the last. */
  next(ahead: number): FinishedDay | undefined;
  /** The next file is written: it is let go. */
  written(): void;
}

/** A row by its key; `gone`: it is no longer part of the view. */
type Rows = Map<string, { readonly at: RowAt; readonly gone: boolean }>;

/** Rows of an epoch that may append to a table and change what is in it. */
export class ChangedRows {
  readonly #room: ExportRoom;
  readonly #spec: TableSpec;
  readonly #stored: StoredRows;
  #held: HeldRows[] = [];
  #bytes = 0;
  #rowCount = 0;
  #hasChanges = false;

  constructor(room: ExportRoom, spec: TableSpec, stored: StoredRows) {
    this.#room = room;
    this.#spec = spec;
    this.#stored = stored;
  }

  get rowCount(): number {
    return this.#rowCount;
  }

  get isFull(): boolean {
    return this.#bytes > CHANGES_EPOCH_BYTES_MAX;
  }

  /** Whether any of them change rows that may be in the table. */
  get hasChanges(): boolean {
    return this.#hasChanges;
  }

  add(rows: HeldRows): void {
    this.#held.push(rows);
    this.#bytes += rows.image.length;
    this.#rowCount += rows.rowCount;
    this.#hasChanges ||= rows.op !== undefined;
  }

  /** Ends the epoch; the next row begins a new one. */
  finish(): FilesToWrite {
    const held = this.#held;
    const place = { room: this.#room, spec: this.#spec, stored: this.#stored };
    const files = this.#hasChanges
      ? new ChangedFiles(
          place,
          resolve(held, must(this.#spec.keys, "keys of a table whose rows change")),
        )
      : dayFiles(place, held);
    this.#held = [];
    this.#bytes = 0;
    this.#rowCount = 0;
    this.#hasChanges = false;
    return files;
  }
}

interface Place {
  readonly room: ExportRoom;
  readonly spec: TableSpec;
  readonly stored: StoredRows;
}

function dayFiles({ room, spec }: Place, held: readonly HeldRows[]): FilesToWrite {
  const files = new DayFiles(room, spec.columns, spec.day?.ordinal ?? null);
  for (const { image, rowCount } of held) files.add(image, rowCount, []);
  return files.finish();
}

/** The last word on every key: rows that are new in this epoch, and changes of rows that may be in the table. */
function resolve(
  held: readonly HeldRows[],
  keys: readonly number[],
): { readonly fresh: Rows; readonly changed: Rows } {
  const fresh: Rows = new Map();
  const changed: Rows = new Map();
  for (const { image, op } of held) {
    const of = columnsOfImage(image);
    for (let row = 0; row < of.rowCount; row++) {
      const at = { of, row };
      const key = keyOf(at, keys);
      if (op === "delete" && !fresh.delete(key)) changed.set(key, { at, gone: true });
      else if (op === undefined || (op === "upsert" && fresh.has(key)))
        fresh.set(key, { at, gone: false });
      else if (op === "upsert") changed.set(key, { at, gone: false });
    }
  }
  return { fresh, changed };
}

/** Files that take the place of others, one at a time, then what is new. */
class ChangedFiles implements FilesToWrite {
  readonly removed: string[] = [];
  readonly #place: Place;
  readonly #keys: readonly number[];
  readonly #time: number;
  readonly #fresh: Rows;
  /** Changes whose row was not met in a file. */
  readonly #changed: Rows;
  /** Files that may hold changed rows: those of the longest time first. */
  readonly #candidates: LedgerFile[];
  /** Changed rows by the last candidate of their time: it takes those that are in no file. */
  readonly #lastOf = new Map<string, string[]>();
  #replacement: FinishedDay | null = null;
  #rest: FilesToWrite | null = null;

  constructor(place: Place, rows: { readonly fresh: Rows; readonly changed: Rows }) {
    this.#place = place;
    this.#keys = must(place.spec.keys, "keys of a table whose rows change");
    const { ordinal } = must(place.spec.day, "the time that parts it");
    assert(ordinal !== "received_at", "rows that change have a time of their own");
    this.#time = ordinal;
    this.#fresh = rows.fresh;
    this.#changed = rows.changed;
    this.#candidates = this.#findCandidates();
  }

  get left(): number {
    const held = this.#replacement === null ? 0 : 1;
    return this.#candidates.length + held + (this.#rest?.left ?? 1);
  }

  next(ahead: number): FinishedDay | undefined {
    while (this.#replacement === null && this.#candidates.length > 0) {
      this.#replacement = this.#rewrite(must(this.#candidates[0], "a candidate"));
      this.#candidates.shift();
    }
    if (this.#replacement !== null) return this.#replacement;
    this.#rest ??= this.#newRows();
    return this.#rest.next(ahead);
  }

  written(): void {
    if (this.#replacement === null) this.#rest?.written();
    this.#replacement = null;
  }

  #findCandidates(): LedgerFile[] {
    const keysOf = new Map<bigint, string[]>();
    for (const [key, { at }] of this.#changed) {
      const time = timeOf(at, this.#time);
      const keys = keysOf.get(time);
      if (keys === undefined) keysOf.set(time, [key]);
      else keys.push(key);
    }
    const times = BigInt64Array.from(keysOf.keys()).toSorted();
    const candidates = this.#place.stored
      .files()
      .filter((file) => within(times, file).length > 0)
      .toSorted((a, b) => Number(spanOf(b) - spanOf(a)) || a.epoch - b.epoch);
    const last = new Map<bigint, string>();
    for (const file of candidates)
      for (const time of within(times, file)) last.set(time, file.path);
    for (const [time, path] of last)
      this.#lastOf.set(path, [...(this.#lastOf.get(path) ?? []), ...(keysOf.get(time) ?? [])]);
    return candidates;
  }

  /** The file with its changed rows replaced, null when it has none or no row is left. */
  #rewrite(file: LedgerFile): FinishedDay | null {
    const { spec, stored } = this.#place;
    const of = readParquet(stored.read(file.path), spec.columns);
    const rows: RowAt[] = [];
    let changes = 0;
    for (let row = 0; row < of.rowCount; row++) {
      const at = { of, row };
      const key = keyOf(at, this.#keys);
      const change = this.#changed.get(key);
      if (change === undefined) rows.push(at);
      else {
        changes++;
        this.#changed.delete(key);
        if (!change.gone) rows.push(change.at);
      }
    }
    for (const key of this.#lastOf.get(file.path) ?? []) {
      const change = this.#changed.get(key);
      if (change === undefined || change.gone) continue;
      changes++;
      this.#changed.delete(key);
      rows.push(change.at);
    }
    if (changes === 0) return null;
    this.removed.push(file.path);
    return rows.length === 0 ? null : (this.#filesOf(rows).next(1) ?? null);
  }

  /** New rows, and changed ones of times that no file has. */
  #newRows(): FilesToWrite {
    const rows = [...this.#fresh.values(), ...this.#changed.values()];
    return this.#filesOf(rows.filter(({ gone }) => !gone).map(({ at }) => at));
  }

  #filesOf(rows: readonly RowAt[]): FilesToWrite {
    const types = this.#place.spec.columns.map(({ type }) => type);
    const held: HeldRows[] = [];
    for (let from = 0; from < rows.length; from += OUTPUT_ROWS_MAX) {
      const part = rows.slice(from, from + OUTPUT_ROWS_MAX);
      held.push({ image: imageOfRows(part, types), rowCount: part.length });
    }
    return dayFiles(this.#place, held);
  }
}

/** Those of the sorted times that lie within the times of a file. */
function within(sorted: BigInt64Array, { times }: LedgerFile): BigInt64Array {
  if (times === null) return new BigInt64Array(0);
  const from = sorted.findIndex((time) => time >= times.low);
  const end = sorted.findLastIndex((time) => time <= times.high);
  return from < 0 ? new BigInt64Array(0) : sorted.subarray(from, end + 1);
}

function spanOf({ times }: LedgerFile): bigint {
  return times === null ? 0n : times.high - times.low;
}
