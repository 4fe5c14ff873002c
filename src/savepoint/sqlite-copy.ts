// Adapter: a SQLite database at one moment -> a copy of it, while others write to it. Knows nothing of what its tables mean.
// Not VACUUM INTO, which begins a moment of its own and cannot pause, nor SQLite's backup, which begins anew when the database is
// written to: a read transaction holds the moment, rows go over in pieces, each synced.
import { Database } from "bun:sqlite";
import { assert, must } from "../base/assert.ts";
import { durably } from "../base/failpoints.ts";
import type { Files } from "../base/files.ts";
import { SAVEPOINT_PIECE_BYTES } from "../limits.ts";

type Value = bigint | number | string | Uint8Array | null;

interface SchemaEntry {
  readonly type: string;
  readonly name: string;
  readonly sql: string | null;
}

/** A database of this data folder, as it was when this was made. Hold it briefly: its -wal grows meanwhile. */
export class PinnedDatabase {
  readonly #database: Database;

  constructor(path: string) {
    this.#database = new Database(path, { readonly: true, safeIntegers: true });
    try {
      this.#database.run("PRAGMA busy_timeout = 5000");
      this.#database.run("BEGIN");
      // the moment is that of the first read
      this.#schema();
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /**
   * Writes the new file `path`, piece by piece, and yields the bytes of each. The copy is whole and synced at the end, and not in WAL mode:
   * it has no files beside it. Throws SQLite and OS errors; then it is worthless.
   */
  *copyTo(path: string, files: Files): Generator<number> {
    files.writeSynced(path, [], "savepoint.database.make");
    const target = new Database(path, { readwrite: true, create: false, safeIntegers: true });
    try {
      for (const name of ["page_size", "application_id", "user_version"])
        target.run(`PRAGMA ${name} = ${this.#pragma(name)}`);
      // what is half-written is thrown away
      target.run("PRAGMA journal_mode = OFF");
      target.run("PRAGMA synchronous = FULL");
      const schema = this.#schema();
      const tables = schema.filter(({ type }) => type === "table");
      const indexes = schema.filter(({ type }) => type === "index");
      assert(tables.length + indexes.length === schema.length, "a database of tables and indexes");
      const isOwn = ({ name }: SchemaEntry): boolean => !name.startsWith("sqlite_");
      for (const table of tables.filter(isOwn)) target.run(must(table.sql, table.name));
      for (const { name } of tables) yield* this.#copyRows(name, target, files);
      for (const { sql } of indexes) if (sql !== null) target.run(sql);
    } finally {
      target.close(true);
    }
  }

  close(): void {
    this.#database.close(true);
  }

  *#copyRows(table: string, target: Database, files: Files): Generator<number> {
    // SQLite's own table of numbers never used twice: it has rows already
    target.run(`DELETE FROM "${table}"`);
    using select = this.#database.prepare<Readonly<Record<string, Value>>, []>(
      `SELECT * FROM "${table}"`,
    );
    const places = select.columnNames.map(() => "?").join(", ");
    using insert = target.prepare<unknown, Value[]>(`INSERT INTO "${table}" VALUES (${places})`);
    let bytes = 0;
    target.run("BEGIN");
    for (const row of select.iterate()) {
      const values = Object.values(row);
      insert.run(...values);
      for (const value of values) bytes += bytesOf(value);
      if (bytes < SAVEPOINT_PIECE_BYTES) continue;
      commit(target, files);
      yield bytes;
      bytes = 0;
      target.run("BEGIN");
    }
    commit(target, files);
    yield bytes;
  }

  #schema(): SchemaEntry[] {
    using select = this.#database.prepare<SchemaEntry, []>(
      "SELECT type, name, sql FROM sqlite_schema ORDER BY rowid",
    );
    return select.all();
  }

  #pragma(name: string): string {
    using select = this.#database.prepare<Readonly<Record<string, bigint>>, []>(`PRAGMA ${name}`);
    return String(Object.values(must(select.get(), name))[0]);
  }
}

function commit(target: Database, files: Files): void {
  durably(files, "savepoint.database.write", () => {
    files.reach("savepoint.database.write.inside");
    target.run("COMMIT");
  });
}

const NUMBER_BYTES = 8;

function bytesOf(value: Value): number {
  if (value instanceof Uint8Array || typeof value === "string") return value.length;
  return NUMBER_BYTES;
}
