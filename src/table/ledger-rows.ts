// The rows of ledger.db and the one checksum of all of them, so that a changed, a lost and a foreign row are found, wherever it is. A
// multiset hash: exclusive-or of each row's xxHash3, so that a change costs as much as the rows that it touches, not the whole ledger
// (Clarke et al., "Incremental Multiset Hash Functions and Their Application to Memory Integrity Checking", 2003, section 5). It finds
// accidents; whoever can write the file can write the checksum too.
import type { Database } from "bun:sqlite";
import { must } from "../base/assert.ts";

/** Tables whose rows the checksum covers, with what is hashed of a row. */
const ROWS = {
  tables: "json_array(name, epoch_next)",
  writers: "json_array(table_name, writer, position, epoch)",
  epochs:
    "json_array(table_name, epoch, writer, position_from, position, row_count, watermark, snapshot_id)",
  files:
    "json_array(table_name, epoch, path, descriptor, time_low, time_high, removed_epoch, bytes)",
} as const;

export type LedgerTable = keyof typeof ROWS;

type Value = string | number | null;

/** The checksum of all rows, 16 hex digits. */
export function checksumOfRows(database: Database): string {
  let sum = 0n;
  for (const [table, row] of Object.entries(ROWS))
    for (const { text } of rowsOf(database.query(`SELECT ${row} AS text FROM ${table}`).iterate()))
      sum ^= hashOf(table, text);
  return textOf(sum);
}

/** Whether the ledger has the rows that its checksum was made of. */
export function hasItsRows(database: Database): boolean {
  return storedChecksum(database) === checksumOfRows(database);
}

/** Changes rows, and the checksum with them. One for the life of a ledger's connection. */
export class LedgerRows {
  readonly #database: Database;
  #sum: bigint | null = null;
  #stored = "";

  constructor(database: Database) {
    this.#database = database;
  }

  insert(table: LedgerTable, values: Readonly<Record<string, Value>>): void {
    const names = Object.keys(values).join(", ");
    const places = Object.keys(values).map(() => "?");
    this.#add(
      table,
      `INSERT INTO ${table} (${names}) VALUES (${places.join(", ")})`,
      Object.values(values),
    );
  }

  /** Sets columns of the rows for which the condition holds; how many they were. */
  update(
    table: LedgerTable,
    set: Readonly<Record<string, Value>>,
    where: string,
    values: readonly Value[],
  ): number {
    const touched = this.#remove(table, where, values);
    const columns = Object.keys(set).map((name) => `${name} = ?`);
    this.#add(table, `UPDATE ${table} SET ${columns.join(", ")} WHERE ${where}`, [
      ...Object.values(set),
      ...values,
    ]);
    return touched;
  }

  delete(table: LedgerTable, where: string, values: readonly Value[]): void {
    this.#remove(table, where, values);
    this.#database.query(`DELETE FROM ${table} WHERE ${where}`).run(...values);
  }

  /** Writes the checksum of what the rows are now: the last thing in each transaction. */
  seal(): void {
    const text = textOf(this.#checksum());
    if (text === this.#stored) return;
    this.#database.query("UPDATE job SET checksum = ?").run(text);
    this.#stored = text;
  }

  /** Takes the rows for which the condition holds out of the checksum; how many they are. */
  #remove(table: LedgerTable, where: string, values: readonly Value[]): number {
    const rows = this.#database.query(`SELECT ${ROWS[table]} AS text FROM ${table} WHERE ${where}`);
    return this.#change(table, rows.all(...values));
  }

  #add(table: LedgerTable, statement: string, values: readonly Value[]): void {
    const rows = this.#database.query(`${statement} RETURNING ${ROWS[table]} AS text`);
    this.#change(table, rows.all(...values));
  }

  #change(table: LedgerTable, rows: readonly unknown[]): number {
    let sum = this.#checksum();
    for (const { text } of rowsOf(rows)) sum ^= hashOf(table, text);
    this.#sum = sum;
    return rows.length;
  }

  #checksum(): bigint {
    if (this.#sum === null) {
      this.#stored = storedChecksum(this.#database);
      this.#sum = BigInt(`0x${this.#stored}`);
    }
    return this.#sum;
  }
}

function storedChecksum(database: Database): string {
  const row = database.query("SELECT checksum FROM job").get() as { checksum: string } | null;
  return must(row, "the job's row").checksum;
}

const rowsOf = (rows: Iterable<unknown>): Iterable<{ readonly text: string }> =>
  rows as Iterable<{ readonly text: string }>;

function hashOf(table: string, row: string): bigint {
  return Bun.hash.xxHash3(`${table}${row}`);
}

function textOf(sum: bigint): string {
  return sum.toString(16).padStart(16, "0");
}
