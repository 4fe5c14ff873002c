// Stands in for bun:sqlite where the product imports it: real SQLite in memory, with durability as documented for WAL mode stated here, so
// that it can be failed (the real file format and its recovery are proven by real kills, not here):
//   - a transaction is whole or not there, whenever the process or the machine ends;
//   - with synchronous = FULL it is durable when COMMIT returns; without, a power cut may take it and all after it back, until the -wal is synced;
//   - a COMMIT that fails for want of room leaves nothing; one that fails with EIO leaves nothing that readers see now, but recovery may find it
//     whole: nobody knows (the disk says whether it had taken effect: then it is there).
// All connections to a path share one database: steps never interleave, so no connection sees another's transaction half done.
import { Database as Memory, SQLiteError, type Statement } from "bun:sqlite";
import { must } from "../../src/base/assert.ts";
import type { Attached, Inode, Outcome, SimDisk } from "./disk.ts";
import { machine } from "./machine-now.ts";

export { SQLiteError };

/** Where a file says that it is in WAL mode: databases in memory cannot be. */
const WRITE_VERSION_AT = 18;
const READ_VERSION_AT = 19;

const WAL_HEADER_BYTES = 32;
const COMMIT_BYTES = 8216;
/** SQLite begins a -wal anew after a checkpoint. */
const WAL_BYTES_MAX = 64 * 1024 * 1024;

/** What has no constructor for us. */
function sqliteError(code: string, message: string): Error {
  const error: Error = Object.create(SQLiteError.prototype) as Error;
  return Object.assign(error, { message, code, name: "SQLiteError" });
}

/** The database in a file: what every connection sees, and what a power cut leaves. */
class Stored implements Attached {
  readonly #disk: SimDisk;
  readonly #path: string;
  memory: Memory;
  /** Goes up when the process ends: connections of before are no more. */
  life = 0;
  /** What a power cut may leave instead of what `memory` holds: the last synced state, then that after each commit since. Empty: all is synced. */
  #unsynced: Uint8Array[] = [];
  /** A state of which nobody knows whether it will be there after the process has ended, and whether it will. */
  #unknown: { readonly state: Uint8Array; readonly isThere: boolean } | null = null;
  /** Of the transaction at hand: how its commit will go, and the state before it where that may be needed. */
  #next: {
    outcome: Outcome;
    isSynced: boolean;
    end: () => void;
    before: Uint8Array | null;
  } | null = null;
  walBytes = 0;

  constructor(disk: SimDisk, path: string, inode: Inode) {
    this.#disk = disk;
    this.#path = path;
    this.memory = opened(inode.bytes);
  }

  ended(powerCut: boolean): void {
    this.life++;
    const { random } = machine();
    if (this.memory.inTransaction) this.memory.run("ROLLBACK");
    this.#next = null;
    const last: Uint8Array = this.memory.serialize();
    const states = [...this.#unsynced, last];
    let state = powerCut ? (states[random.between(0, states.length - 1)] ?? last) : last;
    if (this.#unknown?.isThere === true) ({ state } = this.#unknown);
    this.#unsynced = [];
    this.#unknown = null;
    this.memory.close();
    this.memory = Memory.deserialize(state);
  }

  close(): void {
    this.memory.close();
  }

  synced(): void {
    this.#unsynced = [];
  }

  /** A transaction begins. The disk says now how its end will go. */
  begin(isSynced: boolean): void {
    const { outcome, end } = this.#disk.begin("commit", this.#path);
    const isNeeded = outcome === "EIO" || outcome === "EIO after" || !isSynced;
    const before = isNeeded ? this.memory.serialize() : null;
    this.#next = { outcome, isSynced, end, before };
    this.memory.run("BEGIN IMMEDIATE");
  }

  rollback(): void {
    this.#next = null;
    this.memory.run("ROLLBACK");
  }

  commit(): void {
    this.#disk.mustRun();
    const next = must(this.#next, "a transaction to commit");
    const { outcome, isSynced, before } = next;
    if (outcome === "ENOSPC") {
      this.rollback();
      throw sqliteError("SQLITE_FULL", "database or disk is full");
    }
    this.#next = null;
    this.memory.run("COMMIT");
    if (outcome === "EIO" || outcome === "EIO after") {
      const isThere = outcome === "EIO after" || machine().random.chance(0.5);
      this.#unknown = { state: this.memory.serialize(), isThere };
      this.memory.close();
      this.memory = Memory.deserialize(must(before, "the state before"));
      this.life++;
      throw sqliteError("SQLITE_IOERR", "disk I/O error");
    }
    this.#disk.changed.add(this.#path);
    this.#unknown = null;
    if (isSynced) this.#unsynced = [];
    else this.#unsynced.push(must(before, "the state before"));
    this.walBytes = Math.max(WAL_HEADER_BYTES, this.walBytes) + COMMIT_BYTES;
    if (this.walBytes > WAL_BYTES_MAX) this.walBytes = WAL_HEADER_BYTES;
    const wal = `${this.#path}-wal`;
    if (this.#disk.find(wal) === null) this.#disk.placeWal(wal, this);
    next.end();
  }
}

/** A database in memory with these bytes; none: an empty one. */
function opened(bytes: Uint8Array): Memory {
  if (bytes.length === 0) return new Memory(":memory:");
  const plain = bytes.slice();
  plain[WRITE_VERSION_AT] = 1;
  plain[READ_VERSION_AT] = 1;
  return Memory.deserialize(plain);
}

function storedAt(path: string): Stored {
  const { disk } = machine();
  const inode = disk.find(path);
  if (inode === null) throw sqliteError("SQLITE_CANTOPEN", "unable to open database file");
  const known = inode.attached;
  // its commits lie in the -wal: without that they are gone
  const isWhole = known !== null && (known.walBytes === 0 || disk.find(`${path}-wal`) !== null);
  if (known instanceof Stored && isWhole) return known;
  const stored = new Stored(disk, path, inode);
  inode.attached = stored;
  return stored;
}

/** `bun:sqlite`'s connection, as far as the product uses it. */
export class Database {
  readonly #plain: Memory | null;
  readonly #stored: Stored | null;
  readonly #statements = new Map<string, SimStatement>();
  #life: number;
  #isSynced = true;

  constructor(path: string, _options: object = {}) {
    this.#plain = path === ":memory:" ? new Memory(path) : null;
    this.#stored = path === ":memory:" ? null : storedAt(path);
    this.#life = this.#stored?.life ?? 0;
  }

  /** Where statements run. A connection whose database failed sees the state before, as SQLite shows it. */
  get memory(): Memory {
    if (this.#plain !== null) return this.#plain;
    machine().disk.mustRun();
    const stored = must(this.#stored, "a stored database");
    this.#life = stored.life;
    return stored.memory;
  }

  /** Goes up when prepared statements are no more. */
  get life(): number {
    return this.#plain === null ? (this.#stored?.life ?? 0) : this.#life;
  }

  run(sql: string, values: readonly Value[] = []): Changes {
    if (this.execute(sql)) return { changes: 0 };
    return this.inTransaction(sql, () => this.memory.run(sql, [...values]));
  }

  prepare<Row = unknown, Values extends readonly Value[] = readonly Value[]>(
    sql: string,
  ): SimStatement<Row, Values> {
    return new SimStatement<Row, Values>(this, sql);
  }

  /** Kept prepared with the connection. */
  query<Row = unknown, Values extends readonly Value[] = readonly Value[]>(
    sql: string,
  ): SimStatement<Row, Values> {
    const known = this.#statements.get(sql) ?? new SimStatement(this, sql);
    this.#statements.set(sql, known);
    return known as unknown as SimStatement<Row, Values>;
  }

  transaction<T>(run: () => T): { readonly immediate: () => T } {
    const immediate = (): T => {
      this.execute("BEGIN IMMEDIATE");
      try {
        const result = run();
        this.execute("COMMIT");
        return result;
      } catch (error) {
        if (this.memory.inTransaction) this.execute("ROLLBACK");
        throw error;
      }
    };
    return { immediate };
  }

  /** Carries out what ends or begins a transaction, or sets how commits are synced; false: it is another statement. */
  execute(sql: string): boolean {
    const stored = this.#stored;
    if (stored === null) return false;
    const word = /^\s*(BEGIN|COMMIT|ROLLBACK|PRAGMA synchronous)\b/i.exec(sql)?.[1]?.toUpperCase();
    if (word === undefined) return false;
    if (word === "BEGIN") stored.begin(this.#isSynced);
    else if (word === "COMMIT") stored.commit();
    else if (word === "ROLLBACK") stored.rollback();
    else this.#isSynced = /=\s*(FULL|EXTRA|2|3)/i.test(sql);
    return true;
  }

  /** Runs a statement; one that writes outside of a transaction is one of its own. */
  inTransaction<T>(sql: string, run: () => T): T {
    const writes = /^\s*(INSERT|UPDATE|DELETE|CREATE|DROP)\b/i.test(sql);
    if (this.#stored === null || !writes || this.memory.inTransaction) return run();
    return this.transaction(run).immediate();
  }

  serialize(): Uint8Array {
    return this.memory.serialize();
  }

  close(_throws = false): void {
    for (const statement of this.#statements.values()) statement.finalize();
    this.#plain?.close();
  }
}

type Value = string | number | bigint | boolean | null | Uint8Array;
interface Changes {
  readonly changes: number;
}

/** A prepared statement of such a connection. */
class SimStatement<Row = unknown, Values extends readonly Value[] = readonly Value[]> {
  readonly #database: Database;
  readonly #sql: string;
  #life = -1;
  #statement: Statement<Row, Value[]> | null = null;

  constructor(database: Database, sql: string) {
    this.#database = database;
    this.#sql = sql;
  }

  get #prepared(): Statement<Row, Value[]> {
    const { memory, life } = this.#database;
    if (this.#statement === null || this.#life !== life) {
      this.#statement = memory.prepare<Row, Value[]>(this.#sql);
      this.#life = life;
    }
    return this.#statement;
  }

  run(...values: Values): Changes {
    if (this.#database.execute(this.#sql)) return { changes: 0 };
    return this.#database.inTransaction(this.#sql, () => this.#prepared.run(...values));
  }

  get(...values: Values): Row | null {
    return this.#prepared.get(...values);
  }

  all(...values: Values): Row[] {
    return this.#prepared.all(...values);
  }

  iterate(...values: Values): IterableIterator<Row> {
    return this.#prepared.iterate(...values);
  }

  finalize(): void {
    this.#statement?.finalize();
    this.#statement = null;
  }

  [Symbol.dispose](): void {
    this.finalize();
  }
}
