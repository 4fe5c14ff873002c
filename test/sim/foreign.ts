// Another program that commits to the appliance's Iceberg tables: a snapshot with the same files, as maintenance makes, between two of ours or
// in the race for one version. What it wrote must stay as it is until the product's expiry takes it away.
import { must } from "../../src/base/assert.ts";
import type { Inode, SimDisk } from "./disk.ts";
import type { Random } from "./random.ts";

const VERSION = /^(.*\/metadata)\/v(\d+)\.metadata\.json$/;

interface Snapshot {
  readonly "snapshot-id": number;
  readonly "manifest-list": string;
  readonly [key: string]: unknown;
}

interface Metadata {
  readonly "current-snapshot-id"?: number | null;
  readonly "last-sequence-number": number;
  readonly "last-updated-ms": number;
  readonly snapshots: readonly Snapshot[];
  readonly refs: object;
  readonly properties: object;
  readonly "snapshot-log": readonly unknown[];
  readonly "metadata-log": readonly unknown[];
}

export class ForeignWriter {
  readonly #disk: SimDisk;
  readonly #random: Random;
  readonly #say: (line: string) => void;
  /** What it wrote, by path. */
  readonly #written = new Map<string, Inode>();

  constructor(disk: SimDisk, random: Random, say: (line: string) => void) {
    this.#disk = disk;
    this.#random = random;
    this.#say = say;
  }

  /** Makes the version that the product is about to make. */
  intrude(path: string): void {
    const [, folder, version] = must(VERSION.exec(path), "the path of a version");
    this.#commit(must(folder ?? null, "its folder"), Number(version) - 1);
  }

  /** Makes the next version of one of the tables. */
  commit(): void {
    const folders = this.#disk.paths().flatMap((path) => VERSION.exec(path)?.[1] ?? []);
    const tables = [...new Set(folders)];
    const folder = tables[this.#random.between(0, tables.length - 1)];
    if (folder === undefined) return;
    const versions = this.#disk
      .list(folder)
      .map((name) => Number(VERSION.exec(`${folder}/${name}`)?.[2] ?? 0));
    this.#commit(folder, Math.max(...versions));
  }

  /** Paths of what it wrote and others wrote over. */
  overwritten(): string[] {
    const paths: string[] = [];
    for (const [path, inode] of this.#written) {
      const now = this.#disk.find(path);
      if (now === inode) continue;
      this.#written.delete(path);
      if (now !== null) paths.push(path);
    }
    return paths;
  }

  #commit(folder: string, base: number): void {
    const inode = this.#disk.find(`${folder}/v${base}.metadata.json`);
    if (inode === null) return;
    const metadata = JSON.parse(new TextDecoder().decode(inode.bytes)) as Metadata;
    const path = `${folder}/v${base + 1}.metadata.json`;
    this.#say(`another writer makes ${path}`);
    const next = { ...metadata, ...this.#change(metadata, folder) };
    this.#written.set(path, this.#disk.place(path, Buffer.from(JSON.stringify(next))));
    this.#disk.place(`${folder}/version-hint.text`, Buffer.from(String(base + 1)));
  }

  /** The current snapshot once more, with a manifest list of its own; of a table without one a property. */
  #change(metadata: Metadata, folder: string): Partial<Metadata> {
    const id = metadata["current-snapshot-id"];
    const parent = metadata.snapshots.find((one) => one["snapshot-id"] === id);
    const atMs = metadata["last-updated-ms"] + 1;
    const at = { "last-updated-ms": atMs };
    if (parent === undefined) return { ...at, properties: { ...metadata.properties, owner: "us" } };
    const snapshotId = this.#random.bits() + 1;
    const list = `${folder}/snap-${snapshotId}.avro`;
    const source = this.#disk.mustFind(parent["manifest-list"].replace(/^file:\/*/, "/"));
    this.#disk.place(list, source.bytes);
    const sequence = metadata["last-sequence-number"] + 1;
    const snapshot = {
      ...parent,
      "snapshot-id": snapshotId,
      "parent-snapshot-id": parent["snapshot-id"],
      "sequence-number": sequence,
      "timestamp-ms": atMs,
      "manifest-list": `file://${list}`,
      summary: { operation: "replace" },
    };
    return {
      ...at,
      "last-sequence-number": sequence,
      "current-snapshot-id": snapshotId,
      refs: { ...metadata.refs, main: { "snapshot-id": snapshotId, type: "branch" } },
      snapshots: [...metadata.snapshots, snapshot],
      "snapshot-log": [
        ...metadata["snapshot-log"],
        { "snapshot-id": snapshotId, "timestamp-ms": atMs },
      ],
    };
  }
}
