// DuckDB, the one importer of @duckdb/node-api: instances, connections, results as plain values, statement types, table functions
// over our own memory. Knows no product nouns: what is asked, and of whom, is decided by view/ and query/.
import type {
  DuckDBConnection,
  DuckDBInstance,
  DuckDBResult,
  DuckDBType,
  DuckDBTableFunctionInfo,
  DuckDBDataChunk,
} from "@duckdb/node-api";
import { loadDuckDbBindings, loadDuckDbModule, type DuckDbModule } from "./duckdb-native.ts";
import { rawScanFunction, type RawScan } from "./duckdb-scan.ts";
import { typeOfText, vectorValue, type WritableValue } from "./duckdb-table.ts";
import { plainConverter, type DuckValue } from "./duckdb-value.ts";

/** A result's column: its name and its type as DuckDB prints it, e.g. `TIMESTAMP WITH TIME ZONE`. */
export interface DuckColumn {
  readonly name: string;
  readonly type: string;
}

/** A materialised result. */
export interface DuckResult {
  readonly columns: readonly DuckColumn[];
  readonly rows: readonly (readonly DuckValue[])[];
}

/** A result as it comes: rows of one chunk after another, then null. */
export interface DuckStream {
  readonly columns: readonly DuckColumn[];
  next(): Promise<readonly (readonly DuckValue[])[] | null>;
}

/** A parameter of a prepared statement: a whole number is INTEGER or BIGINT; bigint BIGINT, or HUGEINT beyond 64 bits; `double` DOUBLE. */
export type DuckParameter = null | boolean | number | bigint | string | { readonly double: number };

/** What the parser says about one statement of a text: `SELECT`, `INSERT`, `COPY`, ... (DuckDB's statement types). */
export interface DuckStatement {
  readonly type: string;
  readonly parameterCount: number;
}

/**
 * Rows in memory that DuckDB reads through a table function without arguments. `fill` writes rows [from, from + count) of one column;
 * only columns that a query uses are asked for. It runs on the event loop of the thread that registered it: that thread must not
 * block while a query runs.
 */
export interface MemoryTable {
  readonly name: string;
  readonly columns: readonly DuckColumn[];
  /** Rows now; read when a scan starts. */
  rowCount(): number;
  fill(column: number, from: number, count: number): readonly WritableValue[];
}

/** Settings that `open` accepts: threads, memory_limit, temp_directory, ... Values as text. */
export type DuckSettings = Readonly<Record<string, string>>;

/** A DuckDB instance in memory. Its time zone is UTC, always. */
export class DuckDb {
  readonly #module: DuckDbModule;
  readonly #instance: DuckDBInstance;

  private constructor(module: DuckDbModule, instance: DuckDBInstance) {
    this.#module = module;
    this.#instance = instance;
  }

  /** Opens an instance in memory. Extensions are never loaded or installed by themselves. Throws on an unknown setting. */
  static async open(settings: DuckSettings = {}): Promise<DuckDb> {
    const module = await loadDuckDbModule();
    const instance = await module.DuckDBInstance.create(":memory:", {
      autoinstall_known_extensions: "false",
      autoload_known_extensions: "false",
      allow_community_extensions: "false",
      allow_persistent_secrets: "false",
      ...settings,
    });
    const connection = await instance.connect();
    await connection.run("SET GLOBAL TimeZone = 'UTC'");
    connection.closeSync();
    return new DuckDb(module, instance);
  }

  /** A connection: one statement at a time. Close it when done. */
  async connect(): Promise<DuckConnection> {
    return new DuckConnection(this.#module, await this.#instance.connect());
  }

  close(): void {
    this.#instance.closeSync();
  }
}

/** A connection of an instance. Every method rejects with DuckDB's own error: its message names the kind ("Parser Error: ..."). */
export class DuckConnection {
  readonly #module: DuckDbModule;
  readonly #connection: DuckDBConnection;

  constructor(module: DuckDbModule, connection: DuckDBConnection) {
    this.#module = module;
    this.#connection = connection;
  }

  /** Runs one statement and takes all of its result into memory. (A streamed one would swallow errors in mid-stream: DuckDB's node API.) */
  async run(sql: string, parameters: readonly DuckParameter[] = []): Promise<DuckResult> {
    const types = typesOf(this.#module, parameters) as DuckDBType[];
    const values = valuesOf(parameters);
    const result = await this.#connection.run(sql, values, types);
    return {
      columns: columnsOf(result),
      rows: await result.convertRows(plainConverter(this.#module)),
    };
  }

  /**
   * Runs one statement and hands out its rows as they come. An error or interrupt after the first rows looks like the end of the
   * rows (DuckDB's node API): run it inside `BEGIN TRANSACTION READ ONLY`, and `SELECT 1` after the end; if that fails, so did this.
   */
  async stream(sql: string, parameters: readonly DuckParameter[] = []): Promise<DuckStream> {
    const types = typesOf(this.#module, parameters) as DuckDBType[];
    const values = valuesOf(parameters);
    const result = await this.#connection.stream(sql, values, types);
    const columns = columnsOf(result);
    const converter = plainConverter(this.#module);
    return {
      columns,
      next: async () => {
        const chunk = await result.fetchChunk();
        return chunk === null || chunk.rowCount === 0 ? null : chunk.convertRows(converter);
      },
    };
  }

  /** Runs statements one after another, without parameters or results; stops at the first that fails. */
  async execute(statements: readonly string[]): Promise<void> {
    for (const sql of statements) await this.#connection.run(sql);
  }

  /** Parses a text into its statements and binds each. Rejects with the parser's or binder's error; runs nothing. */
  async statements(sql: string): Promise<DuckStatement[]> {
    const extracted = await this.#connection.extractStatements(sql);
    const statements: DuckStatement[] = [];
    for (let index = 0; index < extracted.count; index++) {
      const prepared = await extracted.prepare(index);
      statements.push({
        type: this.#module.StatementType[prepared.statementType] ?? "INVALID",
        parameterCount: prepared.parameterCount,
      });
      prepared.destroySync();
    }
    return statements;
  }

  /** Number of statements in a text, by the parser alone. Rejects with the parser's error. */
  async statementCount(sql: string): Promise<number> {
    return (await this.#connection.extractStatements(sql)).count;
  }

  /** Makes `SELECT * FROM <table.name>()` read our memory, on every connection of the instance. */
  registerTable(table: MemoryTable): void {
    const module = this.#module;
    const types = table.columns.map((column) => typeOfText(module, column.type));
    this.#connection.registerTableFunction(
      module.DuckDBTableFunction.create({
        name: table.name,
        supportsProjectionPushdown: true,
        bindFunction: (info) => {
          for (const [index, column] of table.columns.entries())
            info.addResultColumn(column.name, types[index] ?? module.VARCHAR);
          info.setCardinality(table.rowCount(), true);
        },
        initFunction: (info) => {
          info.setMaxThreads(1);
          info.setInitData({ next: 0, end: table.rowCount(), columns: info.getColumnIndexes() });
        },
        mainFunction: (info, output) => scanMemory(module, table, info, output),
      }),
    );
  }

  /** Makes `SELECT * FROM <name>(id)` read the scan that `find` gives for the id, on every connection of the instance. */
  async registerScans(name: string, find: (id: number) => RawScan | undefined): Promise<void> {
    const bindings = await loadDuckDbBindings();
    this.#connection.registerTableFunction(rawScanFunction(this.#module, bindings, name, find));
  }

  /** Ends the running statement within some ms, which then rejects. Does not reach into one long function call (DUCKDB.md). */
  interrupt(): void {
    this.#connection.interrupt();
  }

  close(): void {
    this.#connection.closeSync();
  }
}

function valuesOf(
  parameters: readonly DuckParameter[],
): (null | boolean | number | bigint | string)[] | undefined {
  if (parameters.length === 0) return undefined;
  return parameters.map((value) =>
    typeof value === "object" && value !== null ? value.double : value,
  );
}

/** bigint as BIGINT where it fits (DuckDB's node API alone makes HUGEINT of it), doubles as such; other types by their values. */
function typesOf(
  module: DuckDbModule,
  parameters: readonly DuckParameter[],
): (DuckDBType | undefined)[] {
  return parameters.map((value) => {
    if (typeof value === "object" && value !== null) return module.DOUBLE;
    const isBigint = typeof value === "bigint" && BigInt.asIntN(64, value) === value;
    return isBigint ? module.BIGINT : undefined;
  });
}

function columnsOf(result: DuckDBResult): DuckColumn[] {
  return result.columnNames().map((name, index) => ({
    name,
    type: result.columnType(index).toString(),
  }));
}

/** One chunk of a scan: at most DuckDB's vector size; zero rows end it. */
function scanMemory(
  module: DuckDbModule,
  table: MemoryTable,
  info: DuckDBTableFunctionInfo,
  output: DuckDBDataChunk,
): void {
  const scan = info.getInitData() as { next: number; end: number; columns: number[] };
  const count = Math.min(module.DuckDBVector.standardSize(), scan.end - scan.next);
  output.rowCount = count;
  if (count === 0) return;
  for (const [position, column] of scan.columns.entries()) {
    // A query that reads no column (count(*)) asks for a virtual one: its values are never looked at.
    if (column >= table.columns.length) continue;
    const vector = output.getColumnVector(position);
    const values = table.fill(column, scan.next, count);
    for (let row = 0; row < count; row++)
      vector.setItem(row, vectorValue(module, vector.type, values[row] ?? null));
    vector.flush();
  }
  scan.next += count;
}

export type { DuckValue, WritableValue };
export { DuckDecimal, duckText } from "./duckdb-value.ts";
export type { RawReader, RawScan, RawVectors } from "./duckdb-scan.ts";
