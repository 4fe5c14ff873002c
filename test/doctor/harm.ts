// Harm to files of a data folder at rest, and what is in them: for tests of the doctor.
import { Database } from "bun:sqlite";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../../src/base/assert.ts";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { openCheckpointStore } from "../../src/checkpoint/sqlite-store.ts";
import { NO_CHANGE } from "../../src/checkpoint/store.ts";
import { checksumOfRows } from "../../src/table/ledger-rows.ts";

/** Absolute paths of files below a folder of the data folder, sorted. */
export function filesBelow(folder: string, inside: string, pattern: RegExp): string[] {
  const names = readdirSync(join(folder, inside), { recursive: true, encoding: "utf8" });
  return names
    .filter((name) => pattern.test(name))
    .toSorted()
    .map((name) => join(folder, inside, name));
}

const last = (paths: readonly string[]): string => paths.at(-1) ?? "";

/** Turns bytes of a file over. */
export function flip(path: string, from: number, count = 1): void {
  const bytes = readFileSync(path);
  for (let at = from; at < from + count; at++) bytes[at] = 0xff ^ (bytes[at] ?? 0);
  writeFileSync(path, bytes);
}

export function change(path: string, sql: string): void {
  const database = new Database(path, { readwrite: true, create: false });
  database.run(sql);
  database.close();
}

/** Changes rows of the ledger as a release with a fault would: the checksum is of what they are now. */
export function changeLedger(folder: string, sql: string): void {
  const database = new Database(join(folder, "ledger.db"), { readwrite: true, create: false });
  database.run(sql);
  database.query("UPDATE job SET checksum = ?").run(checksumOfRows(database));
  database.close();
}

/** A checkpoint with these positions in place of the one that is there. */
export function saveAnew(folder: string, positions: Readonly<Record<string, number>>): void {
  const state = join(folder, "state.db");
  const database = new Database(state, { readonly: true });
  const { job_id: jobId } = database.query("SELECT job_id FROM file").get() as { job_id: string };
  database.close();
  for (const path of filesBelow(folder, "", /^state\.db/)) rmSync(path);
  const store = openCheckpointStore(state, new DiskFiles(), jobId);
  const readers = Object.entries(positions).map(([name, position]) => ({
    name,
    position,
    body: new Uint8Array(0),
  }));
  store.save({ ...NO_CHANGE, readers });
  store.close();
}

/** Another text in the newest metadata of the table in `table`. */
export function rewriteMetadata(table: string, from: RegExp, to: string): void {
  const newest = last(
    filesBelow(table, "metadata", /^v\d+\./).toSorted(
      (a, b) => Number(/v(\d+)\./.exec(a)?.[1]) - Number(/v(\d+)\./.exec(b)?.[1]),
    ),
  );
  const text = readFileSync(newest, "utf8");
  assert(from.test(text), `${newest} has ${from}`);
  writeFileSync(newest, text.replace(from, to));
}

/** Every file with its bytes. */
export function contents(folder: string): Map<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8", withFileTypes: true });
  return new Map(
    names
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      // what a -shm holds is made anew by each reader
      .map((path) => [path, path.endsWith("-shm") ? "" : String(Bun.hash(readFileSync(path)))]),
  );
}
