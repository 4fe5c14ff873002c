// Two hours pass in a moment, for tables of an appliance that does not run: snapshots become old, and another program has committed since, so
// often that none of them is among the newest.
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { METADATA_FILES_KEPT, SNAPSHOTS_KEPT, SNAPSHOTS_KEPT_MS } from "../../src/limits.ts";

/** What is read and written of metadata: all numbers that we write are below 2^53. */
interface Metadata {
  "current-snapshot-id": number;
  "last-sequence-number": number;
  "last-updated-ms": number;
  readonly refs: { readonly main: { "snapshot-id": number } };
  readonly snapshots: Snapshot[];
  readonly "snapshot-log": { "snapshot-id": number; "timestamp-ms": number }[];
  readonly "metadata-log": { "metadata-file": string; "timestamp-ms": number }[];
}

interface Snapshot {
  "snapshot-id": number;
  "parent-snapshot-id"?: number;
  "sequence-number": number;
  "timestamp-ms": number;
  "manifest-list": string;
}

/** Ages the tables of these names in the namespace `default`. */
export function letTimePass(data: string, tables: readonly string[]): void {
  for (const table of tables) age(join(data, "warehouse", "default", table, "metadata"));
}

/** Path of the newest metadata of a table whose metadata lie in `folder`. */
export function newestMetadata(folder: string): string {
  const versions = readdirSync(folder).map((name) => Number(/^v(\d+)\./.exec(name)?.[1] ?? 0));
  return join(folder, `v${Math.max(...versions)}.metadata.json`);
}

/** How many snapshots a table of the namespace `default` has. */
export function snapshotCount(data: string, table: string): number {
  const path = newestMetadata(join(data, "warehouse", "default", table, "metadata"));
  return (JSON.parse(readFileSync(path, "utf8")) as Metadata).snapshots.length;
}

function age(folder: string): void {
  const path = newestMetadata(folder);
  const metadata = JSON.parse(readFileSync(path, "utf8")) as Metadata;
  const thenMs = Date.now() - 2 * SNAPSHOTS_KEPT_MS;
  const { snapshots } = metadata;
  for (const dated of [...snapshots, ...metadata["snapshot-log"], ...metadata["metadata-log"]])
    dated["timestamp-ms"] = thenMs;
  const current = snapshots.find((one) => one["snapshot-id"] === metadata["current-snapshot-id"]);
  if (current === undefined) throw new Error(`${path} has a current snapshot`);
  const list = join(folder, `other-${current["snapshot-id"]}.avro`);
  copyFileSync(current["manifest-list"].replace("file://", ""), list);
  let parent = current;
  for (let count = 1; count <= SNAPSHOTS_KEPT; count++) {
    const snapshot = {
      ...current,
      "snapshot-id": current["snapshot-id"] + count,
      "parent-snapshot-id": parent["snapshot-id"],
      "sequence-number": current["sequence-number"] + count,
      "timestamp-ms": thenMs + count,
      "manifest-list": `file://${list}`,
    };
    snapshots.push(snapshot);
    metadata["snapshot-log"].push({
      "snapshot-id": snapshot["snapshot-id"],
      "timestamp-ms": thenMs + count,
    });
    parent = snapshot;
  }
  for (let count = 0; count < METADATA_FILES_KEPT; count++)
    metadata["metadata-log"].push({
      "metadata-file": `file://${folder}/other-${count}.metadata.json`,
      "timestamp-ms": thenMs,
    });
  metadata["current-snapshot-id"] = parent["snapshot-id"];
  metadata.refs.main["snapshot-id"] = parent["snapshot-id"];
  metadata["last-sequence-number"] = parent["sequence-number"];
  metadata["last-updated-ms"] = parent["timestamp-ms"];
  writeFileSync(path, JSON.stringify(metadata));
}
