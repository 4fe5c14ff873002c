// A table function over raw bytes: whole vectors are copied into DuckDB's chunks, no value becomes a JavaScript one. Owns the calls
// into DuckDB's bindings for it; what the bytes mean is the scan's.
import type {
  DuckDBDataChunk,
  DuckDBTableFunction,
  DuckDBTableFunctionInfo,
} from "@duckdb/node-api";
import type { DuckDbBindings, DuckDbModule } from "./duckdb-native.ts";
import { typeOfText } from "./duckdb-table.ts";

/**
 * Where a reader puts one chunk. `column` counts the columns that were asked for. Layouts are DuckDB's vectors
 * (https://duckdb.org/docs/stable/clients/c/vector): fixed-width values little-endian, BOOLEAN one byte each, VARCHAR 16-byte string
 * headers that hold up to 12 bytes or point at memory that stays until the query has ended; validity bits LSB first, 1 = valid.
 */
export interface RawVectors {
  values(column: number, source: ArrayBuffer, byteCount: number): void;
  /** Only for columns that have nulls in this chunk. */
  validity(column: number, source: ArrayBuffer, byteCount: number): void;
}

/**
 * Reads rows of a pass for one of DuckDB's threads, which has done with a chunk when it asks for the next. Each row of a pass goes to one
 * of its readers.
 */
export interface RawReader {
  /** Writes the next rows, at most `rowsMax`, and says how many: 0 ends the reader. Throwing fails the query with that message. */
  next(vectors: RawVectors, rowsMax: number): number;
}

/** Rows that a query may read, any number of times. */
export interface RawScan {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** How many rows there are, for the planner. */
  readonly rowCount: number;
  /** Begins a pass over these columns (ordinals); makes its readers. Runs on the event loop, like all of a scan: it must not block. */
  start(columns: readonly number[]): () => RawReader;
}

/**
 * Threads of DuckDB that read one scan. Each chunk is a message to the event loop and back: with two, one is on its way while the other is
 * worked on (1 M rows in 20 instead of 40 ms).
 */
const SCAN_THREADS = 2;

interface PassState {
  readonly readerOf: () => RawReader;
  /** The chunk's vector for each column that the reader was asked for. */
  readonly vectorOf: readonly number[];
}

/** What one thread has of a pass. */
interface ThreadState {
  reader: RawReader | null;
}

/** The table function `<name>(id INTEGER)`: reads the scan that `find` gives for the id when a query is bound. */
export function rawScanFunction(
  module: DuckDbModule,
  bindings: DuckDbBindings,
  name: string,
  find: (id: number) => RawScan | undefined,
): DuckDBTableFunction {
  return module.DuckDBTableFunction.create({
    name,
    parameterTypes: [module.INTEGER],
    supportsProjectionPushdown: true,
    bindFunction: (info) => {
      const scan = find(Number(info.getParameter(0)));
      if (scan === undefined) return info.setError(`${name}: no such scan`);
      for (const column of scan.columns)
        info.addResultColumn(column.name, typeOfText(module, column.type));
      info.setCardinality(scan.rowCount, true);
      return info.setBindData(scan);
    },
    initFunction: (info) => {
      const scan = info.getBindData() as RawScan;
      // A query that reads no column (count(*)) asks for a virtual one, whose values are never looked at.
      const asked = [...info.getColumnIndexes().entries()].filter(
        ([, column]) => column < scan.columns.length,
      );
      const readerOf = scan.start(asked.map(([, column]) => column));
      info.setMaxThreads(SCAN_THREADS);
      info.setInitData({ readerOf, vectorOf: asked.map(([vector]) => vector) } satisfies PassState);
    },
    localInitFunction: (info) => info.setInitData({ reader: null } satisfies ThreadState),
    mainFunction: (info, output) =>
      writeChunk(bindings, module.DuckDBVector.standardSize(), info, output),
  });
}

function writeChunk(
  bindings: DuckDbBindings,
  rowsMax: number,
  info: DuckDBTableFunctionInfo,
  output: DuckDBDataChunk,
): void {
  const { readerOf, vectorOf } = info.getInitData() as PassState;
  const thread = info.getLocalInitData() as ThreadState;
  const reader = (thread.reader ??= readerOf());
  const vector = (column: number): ReturnType<DuckDbBindings["data_chunk_get_vector"]> =>
    bindings.data_chunk_get_vector(output.chunk, vectorOf[column] ?? 0);
  const vectors: RawVectors = {
    values: (column, source, byteCount) =>
      bindings.copy_data_to_vector(vector(column), 0, source, 0, byteCount),
    validity: (column, source, byteCount) => {
      const target = vector(column);
      bindings.vector_ensure_validity_writable(target);
      bindings.copy_data_to_vector_validity(target, 0, source, 0, byteCount);
    },
  };
  try {
    output.rowCount = reader.next(vectors, rowsMax);
  } catch (error) {
    output.rowCount = 0;
    info.setError(error instanceof Error ? error.message : String(error));
  }
}
