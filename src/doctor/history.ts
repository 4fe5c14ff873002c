// Verb: a table's metadata -> all files that its kept snapshots name: manifest lists, manifests, data files. Reads a manifest at a time.
import { assert } from "../base/assert.ts";
import type { Files } from "../base/files.ts";
import type { AvroRecord } from "../table/avro.ts";
import type { Ledger, LedgerFile } from "../table/ledger.ts";
import { plainText, type JsonObject } from "../table/lossless-json.ts";
import { liveEntries } from "../table/manifest.ts";
import { currentSnapshot, listAt } from "../table/metadata.ts";
import { manifestUri, pathOf, type MetadataFiles } from "../table/metadata-files.ts";
import type { Findings } from "./report.ts";

export interface History {
  /** Data files (and files of deletes) that any kept snapshot has: their lengths by absolute path. */
  readonly named: ReadonlyMap<string, number>;
  /** Those of the current snapshot; what the manifest says of each, when that was asked for. */
  readonly current: ReadonlyMap<string, AvroRecord | null>;
  /** Manifest lists and manifests, by absolute path. */
  readonly avro: ReadonlySet<string>;
}

/** What is known of a table's files. */
export interface FilesUnderCheck {
  /** The table's, absolute. */
  readonly folder: string;
  /** Those of the ledger, by absolute path. */
  readonly recorded: readonly LedgerFile[];
  readonly history: History;
  /** The last epoch that is in the table. */
  readonly committed: number;
  /** Whether other programs have written snapshots. */
  readonly isForeign: boolean;
}

/** A table as the ledger knows it. */
export interface KnownTable {
  /** `namespace.table`. */
  readonly name: string;
  readonly epochNext: number;
  readonly ledger: Ledger;
}

interface Manifest {
  readonly line: AvroRecord;
  readonly isCurrent: boolean;
}

/** Reads the history of a table. What cannot be read is a finding. `isDeep`: keep what manifests say of current files. */
export function readHistory(
  metadata: JsonObject,
  from: { readonly metadataFiles: MetadataFiles; readonly files: Files; readonly isDeep: boolean },
  findings: Findings,
): History {
  const avro = new Set<string>();
  const manifests = new Map<string, Manifest>();
  const now = currentSnapshot(metadata)?.["snapshot-id"];
  for (const snapshot of listAt(metadata, "snapshots")) {
    const list = pathOf(plainText(snapshot["manifest-list"]));
    avro.add(list);
    const isCurrent = snapshot["snapshot-id"] === now;
    for (const line of readable(findings, list, () => from.metadataFiles.manifestLines(snapshot))) {
      const path = pathOf(manifestUri(line));
      const known = manifests.get(path)?.isCurrent ?? false;
      manifests.set(path, { line, isCurrent: isCurrent || known });
    }
  }
  const named = new Map<string, number>();
  const current = new Map<string, AvroRecord | null>();
  for (const [path, { line, isCurrent }] of manifests) {
    avro.add(path);
    const entries = readable(findings, path, () =>
      liveEntries({ line, bytes: from.files.read(path) }),
    );
    for (const entry of entries) {
      const file = entry["data_file"] as AvroRecord;
      const data = pathOf(textOf(file["file_path"]));
      named.set(data, Number(file["file_size_in_bytes"]));
      if (isCurrent) current.set(data, from.isDeep ? file : null);
    }
  }
  return { named, current, avro };
}

function textOf(value: AvroRecord[string] | undefined): string {
  assert(typeof value === "string", "a manifest names its files");
  return value;
}

function readable(findings: Findings, path: string, read: () => AvroRecord[]): AvroRecord[] {
  try {
    return read();
  } catch (error) {
    findings.damaged(
      `${path} cannot be read (${error instanceof Error ? error.message : String(error)}): other programs cannot read the snapshots that name it. ` +
        "Put it back from a backup (it never changes)",
    );
    return [];
  }
}
