// A process is killed at every durable step of the export, as by kill -9; the next one recovers: every row is there exactly once, in
// the files that queries read and in the Iceberg table, and nothing is left over.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildKernels } from "../../kernels/build.ts";
import { DuckDb } from "../../src/base/duckdb.ts";
import { readAvro } from "../../src/table/avro.ts";
import { parseJson, type JsonObject } from "../../src/table/lossless-json.ts";
import { open, RECORD_ROWS, SCHEMA } from "./tables-fixture.ts";

let root: string;
let database: DuckDb;
beforeAll(async () => {
  await buildKernels(["export"]);
  root = mkdtempSync(join(tmpdir(), "millrace-crash-"));
  database = await DuckDb.open();
});
afterAll(() => {
  database.close();
  rmSync(root, { recursive: true });
});

/** Runs the child; its signal when it was killed. */
function run(folder: string, last: number, plan?: string): NodeJS.Signals | number | null {
  const script = join(import.meta.dir, "crash-child.ts");
  const child = Bun.spawnSync(
    [
      process.execPath,
      "--no-install",
      script,
      folder,
      String(last),
      ...(plan === undefined ? [] : [plan]),
    ],
    { stdout: "pipe", stderr: "pipe" },
  );
  if (child.exitCode !== 0 && child.signalCode === undefined)
    throw new Error(`child: ${child.stderr.toString()}`);
  return child.signalCode ?? null;
}

async function countOf(files: readonly string[]): Promise<unknown> {
  const connection = await database.connect();
  const list = files.map((file) => `'${file}'`).join(", ");
  const found = await connection.run(
    `SELECT count(*), count(DISTINCT _position * 100 + _index), max(_position) FROM read_parquet([${list}], hive_partitioning=false)`,
  );
  connection.close();
  return found.rows[0];
}

/** Data files that the current snapshot of the Iceberg table names, by way of its manifests. */
function icebergFiles(metadata: JsonObject, read: (path: string) => Uint8Array): string[] {
  const snapshots = metadata["snapshots"] as JsonObject[];
  const current = snapshots.find((one) => one["snapshot-id"] === metadata["current-snapshot-id"]);
  const path = (uri: unknown): string => String(uri).replace("file://", "");
  return readAvro(read(path(current?.["manifest-list"])))
    .records.flatMap((line) => readAvro(read(path(line["manifest_path"]))).records)
    .map((entry) => path((entry["data_file"] as Record<string, unknown>)["file_path"]));
}

const STEPS = [
  ["table.data.write.before", 1],
  ["table.data.write.before", 4],
  ["table.ledger.make.before", 1],
  ["table.ledger.record.before", 1],
  ["table.ledger.record.before", 2],
  ["table.ledger.record.after", 1],
  ["table.ledger.record.after", 3],
  ["table.manifest.write.before", 1],
  ["table.list.write.before", 1],
  ["table.list.write.before", 3],
  ["table.metadata.write.before", 3],
  ["table.metadata.link.before", 1],
  ["table.metadata.link.before", 3],
  ["table.metadata.unlink.before", 3],
  ["table.hint.write.before", 3],
  ["table.hint.rename.before", 4],
  ["table.ledger.mark.before", 1],
  ["table.ledger.mark.before", 2],
  ["table.ledger.mark.after", 1],
] as const;

/** Steps of a recovery, each after the crash that gives it something to do. */
const RECOVERY_STEPS = [
  ["table.data.write.before:4:kill", "table.orphan.unlink.before:1:kill"],
  ["table.list.write.before:3:kill", "table.sweep.unlink.before:1:kill"],
  ["table.ledger.mark.before:2:kill", "table.ledger.mark.before:1:kill"],
  ["table.ledger.record.after:3:kill", "table.metadata.link.before:1:kill"],
  ["table.metadata.link.after:3:kill", "table.recover.sync.before:1:kill"],
] as const;

describe("killed at", () => {
  test.each(STEPS)(
    "%s, time %d",
    async (failpoint, countdown) => {
      const folder = mkdtempSync(join(root, "data-"));
      expect(run(folder, 8, `${failpoint}:${countdown}:kill`)).toBe("SIGKILL");
      await expectWhole(folder);
    },
    30_000,
  );

  test.each(RECOVERY_STEPS)(
    "%s, and at the next start at %s",
    async (first, second) => {
      const folder = mkdtempSync(join(root, "data-"));
      expect(run(folder, 8, first)).toBe("SIGKILL");
      expect(run(folder, 8, second)).toBe("SIGKILL");
      await expectWhole(folder);
    },
    30_000,
  );
});

/** The next process runs to the end, and every row is there once. */
async function expectWhole(folder: string): Promise<void> {
  expect(run(folder, 10)).toBe(null);
  const tables = open(folder);
  const raw = tables.raw("shop", "clicks", SCHEMA);
  expect([raw.export.position, tables.commitPending().committed]).toEqual([10, []]);
  const { files } = tables.pinnedFiles("shop.clicks_raw");
  const all = [BigInt(10 * RECORD_ROWS), BigInt(10 * RECORD_ROWS), 10n];
  expect(await countOf(files)).toEqual(all);
  const read = (path: string): Uint8Array => readFileSync(path);
  const metadata = parseJson(Buffer.from(read(tables.metadataPath("shop.clicks_raw"))).toString());
  expect(icebergFiles(metadata as JsonObject, read).toSorted()).toEqual([...files].toSorted());
  const data = join(folder, "warehouse/shop/clicks_raw/data");
  const onDisk = readdirSync(data).flatMap((day) =>
    readdirSync(join(data, day)).map((name) => join(data, day, name)),
  );
  expect(onDisk.toSorted()).toEqual([...files].toSorted());
  const names = readdirSync(join(folder, "warehouse/shop/clicks_raw/metadata"));
  expect(names.filter((name) => name.endsWith(".tmp"))).toEqual([]);
  tables.close();
}
