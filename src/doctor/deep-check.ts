// Verb: the data files of a table, read by DuckDB -> whether all values can be read and are what the manifests say: rows, nulls, bounds. DuckDB,
// because it knows nothing of how we wrote them.
import { counted } from "../base/counted.ts";
import { DuckDb, type DuckConnection, type DuckValue } from "../base/duckdb.ts";
import type { AvroRecord } from "../table/avro.ts";
import { plainText, type JsonObject } from "../table/lossless-json.ts";
import { listAt } from "../table/metadata.ts";
import { quoteName, quoteText } from "../view/render.ts";
import type { FilesUnderCheck } from "./history.ts";
import type { Place } from "./place.ts";
import { type Findings, reasonOf } from "./report.ts";

/** Files between two words on how far it is. */
const PROGRESS_FILES = 200;
/** One file at a time: a row group of 122,880 rows and 100 columns fits. */
const MEMORY_LIMIT = "1GB";

interface Field {
  readonly id: number;
  readonly name: string;
  readonly type: string;
}

/** Bounds that are whole numbers: bytes of Iceberg's form, and the column as such a number. */
const WHOLE: Readonly<Record<string, { bytes: number; sql: (value: string) => string }>> = {
  int: { bytes: 4, sql: (value) => `${value}::BIGINT` },
  long: { bytes: 8, sql: (value) => value },
  date: { bytes: 4, sql: (value) => `${value} - DATE '1970-01-01'` },
  timestamptz: { bytes: 8, sql: (value) => `epoch_us(${value})` },
};

/** A DuckDB that reads data files. */
export class DeepReader {
  readonly #database: DuckDb;
  readonly #connection: DuckConnection;

  private constructor(database: DuckDb, connection: DuckConnection) {
    this.#database = database;
    this.#connection = connection;
  }

  static async open(): Promise<DeepReader> {
    const database = await DuckDb.open({ threads: "1", memory_limit: MEMORY_LIMIT });
    return new DeepReader(database, await database.connect());
  }

  close(): void {
    this.#database.close();
  }

  /**
   * What of a file is not as its manifest's entry `said`; empty when all is. Without an entry (null: the current snapshot does not have the file) its
   * values are read all the same. Throws DuckDB's error when they cannot be.
   */
  async differences(
    path: string,
    said: AvroRecord | null,
    fields: readonly Field[],
  ): Promise<string[]> {
    const asked = fields.flatMap((field) => {
      const column = quoteName(field.name);
      const whole = WHOLE[field.type];
      const edge = (name: string): string =>
        whole === undefined ? "NULL" : whole.sql(`${name}(${column})`);
      return [`count(${column})`, edge("min"), edge("max")];
    });
    // all values are looked at: bounds in the footer would answer for the rest alone
    const { rows } = await this.#connection.run(
      `SELECT count(*), ${asked.join(", ")}, bit_xor(hash(COLUMNS(*))) FROM read_parquet(${quoteText(path)}, hive_partitioning=false)`,
    );
    if (said === null) return [];
    const values = (rows[0] ?? []).map(wholeOf);
    const count = values[0] ?? 0n;
    const found: string[] = [];
    if (count !== BigInt(Number(said["record_count"])))
      found.push(`${count} rows, the manifest says ${plainOf(said["record_count"])}`);
    for (const [index, field] of fields.entries()) {
      const [present, low, high] = values.slice(1 + 3 * index);
      const nulls = mapped(said, "null_value_counts", field.id);
      if (nulls !== undefined && count - (present ?? 0n) !== BigInt(Number(nulls)))
        found.push(
          `${count - (present ?? 0n)} nulls in ${field.name}, the manifest says ${plainOf(nulls)}`,
        );
      const lowest = wholeBound(said, "lower_bounds", field);
      const highest = wholeBound(said, "upper_bounds", field);
      const isBelow = lowest !== null && low !== null && low !== undefined && low < lowest;
      const isAbove = highest !== null && high !== null && high !== undefined && high > highest;
      if (isBelow || isAbove)
        found.push(
          `${field.name} from ${low} to ${high}, the manifest says from ${lowest} to ${highest}`,
        );
    }
    return found;
  }
}

/** Reads every file of the ledger that is there. */
export async function readDeep(
  deep: DeepReader,
  { recorded, history }: FilesUnderCheck,
  at: { readonly metadata: JsonObject; readonly place: Place; readonly findings: Findings },
): Promise<void> {
  const { metadata, place, findings } = at;
  const fields = fieldsOf(metadata);
  for (const [index, { path }] of recorded.entries()) {
    if (index > 0 && index % PROGRESS_FILES === 0)
      place.progress(`${path}: ${index} of ${counted(recorded.length, "file")}`);
    // a missing one is named already
    if (place.files.sizeBytes(path) === 0) continue;
    try {
      for (const text of await deep.differences(path, history.current.get(path) ?? null, fields))
        findings.damaged(`${path} has ${text}. Put it back from a backup (it never changes)`);
    } catch (error) {
      findings.damaged(
        `${path} cannot be read: ${reasonOf(error)}. Put it back from a backup (it never changes)`,
      );
    }
  }
}

function fieldsOf(metadata: JsonObject): Field[] {
  const schema = listAt(metadata, "schemas").find(
    (candidate) => candidate["schema-id"] === metadata["current-schema-id"],
  );
  return listAt(schema ?? {}, "fields").map((field) => ({
    id: Number(field["id"]),
    name: plainText(field["name"]),
    type: plainText(field["type"]),
  }));
}

/** A value of one of a manifest entry's maps by field id, which Avro has as lists of pairs. */
function mapped(said: AvroRecord, key: string, id: number): AvroRecord[string] | undefined {
  const pairs = said[key];
  if (!Array.isArray(pairs)) return undefined;
  return (pairs as readonly AvroRecord[]).find((pair) => pair["key"] === id)?.["value"];
}

function wholeBound(said: AvroRecord, key: string, { id, type }: Field): bigint | null {
  const bytes = mapped(said, key, id);
  const whole = WHOLE[type];
  if (whole === undefined || !(bytes instanceof Uint8Array) || bytes.length !== whole.bytes)
    return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return whole.bytes === 4 ? BigInt(view.getInt32(0, true)) : view.getBigInt64(0, true);
}

function wholeOf(value: DuckValue): bigint | null {
  return typeof value === "number" || typeof value === "bigint" ? BigInt(value) : null;
}

function plainOf(value: AvroRecord[string] | undefined): string {
  return typeof value === "number" || typeof value === "bigint" ? String(value) : "nothing";
}
