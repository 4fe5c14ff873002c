// Holds the tables of a run against the log: each accepted event once in the raw table, each closed row and late event once in its table with the
// naive value, nothing beyond what the ledger covers, and nothing in Iceberg that the ledger does not know or knows twice.
import type { Cell } from "../../src/event/image.ts";
import type { LogOracle } from "./oracle-log.ts";
import type { NaiveFold } from "./naive.ts";

/** A row of a data file, by column. */
export type DataRow = ReadonlyMap<string, Cell>;

/** A data file in the ledger; `path` absolute. */
export interface DataFile {
  readonly path: string;
  readonly epoch: number;
  readonly removedEpoch: number | null;
}

/** What the oracle uses of the product to read what lies on disk. */
export interface TableTools {
  /** Null: there is no ledger yet. */
  writers(): readonly { table: string; writer: string; position: number; epoch: number }[] | null;
  /** Of this epoch and later ones. */
  files(table: string, since: number): readonly DataFile[];
  /** Rows of a data file by column name. */
  rows(table: string, path: string): readonly DataRow[];
  /** Paths of the files in the newest snapshot, and how many rows each says to have. Null: no table. */
  snapshot(table: string): readonly { path: string; rowCount: number }[] | null;
}

type Table = Map<string, readonly DataRow[]>;

export class TableOracle {
  readonly #tools: TableTools;
  readonly #log: LogOracle;
  readonly #violated: (what: string) => void;
  /** Files that were read, by table. Names are never used twice, so that what was read stays. */
  readonly #read = new Map<string, Table>();
  /** The newest epoch whose files were read, by table. */
  readonly #lastEpochs = new Map<string, number>();
  /** Keys that were seen, by table. */
  readonly #seen = new Map<string, Map<string, string>>();
  /** Late rows that were seen, by view. */
  readonly #lateRows = new Map<string, number>();
  /** What each writer had when it was looked at last. */
  readonly #checked = new Map<string, string>();

  constructor(tools: TableTools, log: LogOracle, violated: (what: string) => void) {
    this.#tools = tools;
    this.#log = log;
    this.#violated = violated;
  }

  /** What every table holds now, as far as the ledger says. */
  check(): void {
    for (const { table, writer, position, epoch } of this.#tools.writers() ?? []) {
      const state = `${position} ${epoch}`;
      if (this.#checked.get(`${table} ${writer}`) === state) continue;
      this.#checked.set(`${table} ${writer}`, state);
      if (position > this.#log.last)
        this.#violated(`${table} covers position ${position} of a log of ${this.#log.last}`);
      if (table === "default.hits_raw") this.#checkRaw(table, position);
      else if (table === "millrace.dead_letters") this.#checkDead(table, position);
      else if (table === "millrace.late_events") this.#checkLate(table, writer, position);
      else this.#checkRows(table, writer, position);
    }
  }

  /** At the end: all is covered, and Iceberg has just what the ledger has. */
  checkComplete(): void {
    const writers = this.#tools.writers() ?? [];
    for (const fold of this.#log.folds) this.#checkFinal(fold);
    const { last } = this.#log;
    const raw = writers.find(({ table }) => table === "default.hits_raw");
    if ((raw?.position ?? 0) < last && this.#log.eventsUpTo(last) > 0) {
      const covered = this.#log.eventsUpTo(raw?.position ?? 0);
      if (covered !== this.#log.eventsUpTo(last))
        this.#violated(`the raw table ends at ${raw?.position ?? 0}, the log at ${last}`);
    }
    this.checkIceberg(true);
  }

  /** The newest snapshots against the ledger. */
  checkIceberg(isComplete: boolean): void {
    for (const table of new Set((this.#tools.writers() ?? []).map((one) => one.table))) {
      const snapshot = this.#tools.snapshot(table);
      if (snapshot === null) continue;
      const known = this.#tools.files(table, 0);
      const paths = new Set<string>();
      for (const { path, rowCount } of snapshot) {
        if (paths.has(path)) this.#violated(`${table}: the snapshot has ${path} twice`);
        paths.add(path);
        if (!known.some((file) => file.path === path))
          this.#violated(`${table}: the snapshot has ${path}, which the ledger does not know`);
        const rows = this.#rowsOf(table, path).length;
        if (rows !== rowCount)
          this.#violated(`${table}: ${path} has ${rows} rows, not ${rowCount}`);
      }
      if (!isComplete) continue;
      for (const { path, removedEpoch } of known)
        if (removedEpoch === null && !paths.has(path))
          this.#violated(`${table}: the snapshot lacks ${path}`);
    }
  }

  #rowsOf(table: string, path: string): readonly DataRow[] {
    const files: Table = this.#read.get(table) ?? new Map();
    this.#read.set(table, files);
    const known = files.get(path);
    if (known !== undefined) return known;
    const rows = this.#tools.rows(table, path);
    files.set(path, rows);
    return rows;
  }

  /** Files that are new since the last look, with the keys of their rows; a key twice is a row twice. */
  #newRows(table: string, keyOf: (row: DataRow) => string): { row: DataRow; key: string }[] {
    const read = this.#read.get(table);
    const seen = this.#seen.get(table) ?? new Map<string, string>();
    this.#seen.set(table, seen);
    const fresh: { row: DataRow; key: string }[] = [];
    for (const { path, epoch } of this.#tools.files(table, this.#lastEpochs.get(table) ?? 0)) {
      this.#lastEpochs.set(table, epoch);
      if (read?.has(path) === true) continue;
      for (const row of this.#rowsOf(table, path)) {
        const key = keyOf(row);
        const other = seen.get(key);
        if (other !== undefined) this.#violated(`${table}: row ${key} is in ${other} and ${path}`);
        seen.set(key, path);
        fresh.push({ row, key });
      }
    }
    return fresh;
  }

  #count(table: string): number {
    return this.#seen.get(table)?.size ?? 0;
  }

  #checkRaw(table: string, covered: number): void {
    const fresh = this.#newRows(table, (row) => `${row.get("_position")} ${row.get("_index")}`);
    for (const { row, key } of fresh) {
      const hit = this.#log.hit(Number(row.get("_position")), Number(row.get("_index")));
      if (hit === undefined || hit.id !== row.get("id") || hit.value !== row.get("value"))
        this.#violated(`${table}: row ${key} is ${row.get("id")}, in the log ${hit?.id}`);
    }
    const expected = this.#log.eventsUpTo(covered);
    if (this.#count(table) !== expected)
      this.#violated(
        `${table} has ${this.#count(table)} rows up to ${covered}, the log ${expected} events`,
      );
  }

  #checkDead(table: string, covered: number): void {
    this.#newRows(table, (row) => `${row.get("_position")} ${row.get("_ordinal")}`);
    const expected = this.#log.rejectsUpTo(covered);
    if (this.#count(table) !== expected)
      this.#violated(
        `${table} has ${this.#count(table)} rows up to ${covered}, the log ${expected} rejects`,
      );
  }

  #checkLate(table: string, view: string, covered: number): void {
    const keyOf = (row: DataRow): string =>
      `${row.get("view")} ${row.get("_position")} ${row.get("_index")}`;
    for (const { row, key } of this.#newRows(table, keyOf)) {
      const name = String(row.get("view"));
      this.#lateRows.set(name, (this.#lateRows.get(name) ?? 0) + 1);
      const other = this.#log.folds.find((one) => one.view.name === name);
      if (other?.late.has(`${row.get("_position")} ${row.get("_index")}`) === false)
        this.#violated(`${table}: ${key} was not late`);
    }
    const fold = this.#log.folds.find((one) => one.view.name === view);
    const count = this.#lateRows.get(view) ?? 0;
    if (fold !== undefined && count !== fold.lateUpTo(covered))
      this.#violated(
        `${table} has ${count} rows of ${view} up to ${covered}, not ${fold.lateUpTo(covered)}`,
      );
  }

  #checkRows(table: string, view: string, covered: number): void {
    const fold = this.#log.folds.find((one) => one.view.name === view);
    if (fold === undefined || fold.view.allowedUs > 0n) return;
    for (const { row, key } of this.#newRows(table, keyOfRow)) this.#checkRow(fold, row, key);
    const expected = fold.rowsUpTo(covered);
    if (this.#count(table) !== expected)
      this.#violated(`${table} has ${this.#count(table)} rows up to ${covered}, not ${expected}`);
  }

  #checkRow(fold: NaiveFold, row: DataRow, key: string): void {
    const expected = fold.rows.get(key);
    const [count, sum] = [Number(row.get("hits")), row.get("total")];
    if (expected === undefined) this.#violated(`${fold.view.name}: no window gives row ${key}`);
    else if (expected.count !== count || expected.sum !== sum)
      this.#violated(
        `${fold.view.name}: row ${key} is ${count} of ${String(sum)}, not ${expected.count} of ${expected.sum}`,
      );
  }

  /** The whole table of a view, those too whose rows were corrected. */
  #checkFinal(fold: NaiveFold): void {
    const table = `default.${fold.view.name}`;
    const rows = new Map<string, DataRow>();
    for (const { path, removedEpoch } of this.#tools.files(table, 0)) {
      if (removedEpoch !== null) continue;
      for (const row of this.#rowsOf(table, path)) {
        const key = keyOfRow(row);
        if (rows.has(key)) this.#violated(`${table}: row ${key} is there twice`);
        rows.set(key, row);
      }
    }
    for (const [key, row] of rows) this.#checkRow(fold, row, key);
    for (const key of fold.rows.keys())
      if (!rows.has(key)) this.#violated(`${table}: row ${key} is missing`);
  }
}

export function keyOfRow(row: DataRow): string {
  return `${String(row.get("window_start"))} ${String(row.get("user"))}`;
}
