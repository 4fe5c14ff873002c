// Noun: a DuckDB that runs one question at a time, locked down: no files but the warehouse's, no network, no settings, bounded memory
// and temporary space. Owns the order of the lock-down (each step closes what the one before still needed) and the pool of sandboxes.
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DuckDb, type DuckConnection, type RawScan } from "../base/duckdb.ts";
import { WINDOW_MACROS } from "../view/macros.ts";
import { BOUNDED_MACROS } from "./bounded-functions.ts";
import { quoteText } from "../view/render.ts";
import { SCAN_FUNCTION, SYSTEM_SCHEMA, type PlannedRelation } from "./relations.ts";

/** Names of sandboxes and of their folders for temporary files. */
const TEMP_PREFIX = "duckdb-query-";

/** What a sandbox may use. Folders are absolute paths without a slash at the end. */
export interface SandboxOptions {
  /** The only folder whose files DuckDB may read: the tables'. */
  readonly warehouseFolder: string;
  /** Where DuckDB spills to; one folder below it for each sandbox. */
  readonly tempFolder: string;
  readonly threads: number;
  readonly memoryBytesMax: number;
  readonly tempBytesMax: number;
}

export class Sandbox {
  readonly connection: DuckConnection;
  readonly #db: DuckDb;
  #scans: readonly RawScan[] = [];
  /** Relations that are set up: qualified name -> the SQL of its view. */
  readonly #views = new Map<string, string>();

  private constructor(db: DuckDb, connection: DuckConnection) {
    this.#db = db;
    this.connection = connection;
  }

  static async open(options: SandboxOptions, name: string): Promise<Sandbox> {
    const db = await DuckDb.open({
      threads: String(options.threads),
      memory_limit: `${options.memoryBytesMax}B`,
      temp_directory: join(options.tempFolder, name),
      max_temp_directory_size: `${options.tempBytesMax}B`,
      errors_as_json: "true",
    });
    const connection = await db.connect();
    const sandbox = new Sandbox(db, connection);
    await connection.registerScans(SCAN_FUNCTION, (id) => sandbox.#scans[id]);
    await connection.execute([
      `SET allowed_directories = [${quoteText(`${options.warehouseFolder}/`)}]`,
      "SET enable_external_access = false",
      // Data files never change: their footers are read once.
      "SET parquet_metadata_cache = true",
      `CREATE SCHEMA ${SYSTEM_SCHEMA}`,
      ...BOUNDED_MACROS,
      ...WINDOW_MACROS,
      "SET lock_configuration = true",
    ]);
    return sandbox;
  }

  /**
   * Sets up the relations of one question. One whose SQL did not change since an earlier question is there already; what others left is
   * out of reach, because the guard names what a question reads. Rejects with DuckDB's error, e.g. when a data file is gone.
   */
  async prepare(relations: readonly PlannedRelation[], scans: readonly RawScan[]): Promise<void> {
    this.#scans = scans;
    for (const { qualifiedName, sql } of relations) {
      if (this.#views.get(qualifiedName) === sql) continue;
      this.#views.delete(qualifiedName);
      await this.connection.execute([`CREATE OR REPLACE VIEW ${qualifiedName} AS ${sql}`]);
      this.#views.set(qualifiedName, sql);
    }
  }

  /** Lets go of the data of the last question. */
  clear(): void {
    this.#scans = [];
  }

  close(): void {
    this.connection.close();
    this.#db.close();
  }
}

/** Sandboxes that are free. Opening one costs 11 ms of a core, so they are kept; at rest one stays. */
export class SandboxPool {
  readonly #options: SandboxOptions;
  #free: Sandbox[] = [];
  #opened = 0;

  /** Removes what a killed process left in the temporary folder. */
  constructor(options: SandboxOptions) {
    this.#options = options;
    mkdirSync(options.tempFolder, { recursive: true });
    for (const name of readdirSync(options.tempFolder))
      if (name.startsWith(TEMP_PREFIX))
        rmSync(join(options.tempFolder, name), { recursive: true, force: true });
  }

  /** A sandbox for one question. The number of those at work is bounded by who calls. */
  async take(): Promise<Sandbox> {
    return (
      this.#free.pop() ?? (await Sandbox.open(this.#options, `${TEMP_PREFIX}${++this.#opened}`))
    );
  }

  /** Gives a sandbox back whose connection is well. */
  giveBack(sandbox: Sandbox): void {
    sandbox.clear();
    this.#free.push(sandbox);
  }

  /** Closes all free sandboxes but one. */
  shrink(): void {
    for (const sandbox of this.#free.splice(1)) sandbox.close();
  }
}
