// Ids of the raw table of clicks as pyiceberg finds them, by its metadata alone.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DuckDb } from "../../src/base/duckdb.ts";
import { readBack } from "../python/python.ts";

/** Path of the newest metadata of the raw table below a data folder. */
export function rawMetadata(data: string): string {
  const metadata = join(data, "warehouse", "default", "clicks_raw", "metadata");
  const version = readFileSync(join(metadata, "version-hint.text"), "utf8");
  return join(metadata, `v${version}.metadata.json`);
}

/** Ids in the data files that pyiceberg finds from the table's metadata, each as often as it is there. */
export async function icebergIds(data: string): Promise<string[]> {
  const { files } = readBack("iceberg", rawMetadata(data)) as { files: { path: string }[] };
  const paths = files.map(({ path }) => `'${path.replace(/^file:\/\//, "")}'`);
  const database = await DuckDb.open();
  try {
    const connection = await database.connect();
    const { rows } = await connection.run(
      `SELECT event_id FROM read_parquet([${paths.join(", ")}], hive_partitioning=false)`,
    );
    return rows.map(([id]) => String(id)).toSorted();
  } finally {
    database.close();
  }
}

/** e0, e1, ... in the order of their names. */
export function idsOf(events: number): string[] {
  return Array.from({ length: events }, (_, index) => `e${index}`).toSorted();
}
