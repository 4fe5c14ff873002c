// One Iceberg table on the disk: finds the newest metadata, commits snapshots by exclusive creation, expires old ones, merges small
// manifests. Knows nothing of epochs beyond the marker. See ICEBERG.md, "Commit scheme".
import { basename } from "node:path";
import { assert, must } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import type { Step } from "../base/failpoints.ts";
import type { Files } from "../base/files.ts";
import { COMMIT_ATTEMPTS_MAX, MANIFEST_ENTRIES_MAX, MANIFESTS_MAX } from "../limits.ts";
import type { AvroRecord } from "./avro.ts";
import { plainText, printJson, type JsonObject } from "./lossless-json.ts";
import {
  addedManifest,
  mergedManifest,
  reducedManifest,
  writeManifestList,
  type CommitIds,
  type FileDescriptor,
  type NewManifest,
} from "./manifest.ts";
import {
  changeSummary,
  currentSnapshot,
  highestMarker,
  listAt,
  markerSummary,
  newMetadata,
  nextTimestampMs,
  objectAt,
  oldestEpoch,
  shapeDifference,
  withSnapshot,
  type Expired,
  type Marker,
  type RemovedFiles,
  type TableShape,
} from "./metadata.ts";
import { rollback, type LedgerMoment, type Rollback } from "./rollback.ts";
import {
  manifestUri,
  manifestVersionOf,
  MetadataFiles,
  pathOf,
  TableRefusedError,
  versionOf,
  type Version,
} from "./metadata-files.ts";

/** Other writers committed to the table each time that we tried: try again later. */
export class CommitConflictError extends Error {
  override readonly name = "CommitConflictError";
}

/** Writes a file of a commit and returns its URI. */
type WriteAvro = (kind: "manifest" | "merged" | "reduced" | "list", bytes: Uint8Array) => string;

/** What a commit does to a table's files. */
export interface TableChange {
  readonly added: readonly FileDescriptor[];
  /** Relative to the table's folder. */
  readonly removed: readonly string[];
}

/** "found": the table has an epoch that the ledger does not know to be in it: of a commit that came to be though it failed, or another writer's. */
export type CommitResult =
  | { readonly kind: "committed"; readonly snapshotId: number }
  | { readonly kind: "found"; readonly marker: Marker };

/** A table in `folder` (absolute). */
export class IcebergTable {
  readonly folder: string;
  readonly location: string;
  readonly shape: TableShape;
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #metadata: MetadataFiles;

  constructor(
    place: { readonly folder: string; readonly files: Files; readonly clock: Clock },
    shape: TableShape,
  ) {
    this.folder = place.folder;
    this.location = `file://${place.folder}`;
    this.shape = shape;
    this.#files = place.files;
    this.#clock = place.clock;
    this.#metadata = new MetadataFiles(place.folder, place.files);
  }

  /** Makes the table if it is not there. Throws TableRefusedError when it is there with other columns or another partition. */
  create(): void {
    this.#files.makeFolder(this.#metadata.folder);
    this.#files.makeFolder(`${this.folder}/data`);
    const newest = this.#metadata.newest();
    if (newest === null) {
      const metadata = newMetadata(this.shape, this.location, this.#nowMs());
      if (this.#publish(1, metadata)) return;
    }
    const { metadata } = must(newest ?? this.#metadata.newest(), "table metadata");
    const difference = shapeDifference(metadata, this.shape);
    if (difference !== null)
      throw new TableRefusedError(
        `table ${this.folder} has another shape (${difference}). Use the earlier definition, or another name.`,
      );
    if (metadata["location"] !== this.location)
      throw new TableRefusedError(
        `table ${this.folder} was written as ${plainText(metadata["location"])}: its files are named by absolute paths. Move it back.`,
      );
  }

  /** The highest marker in the table's history, null before our first commit. */
  marker(): Marker | null {
    return highestMarker(this.#newestOrThrow().metadata);
  }

  /** Path of the current metadata file. */
  metadataPath(): string {
    return this.#metadata.pathOf(this.#newestOrThrow().version);
  }

  /** Files that an epoch up to this one has replaced are in no snapshot any more. */
  oldestEpoch(): number {
    return oldestEpoch(this.#newestOrThrow().metadata);
  }

  /**
   * Adds files, and takes away those whose place they take, as one snapshot, unless the table's history has an epoch after `committed`, the last
   * one that the ledger knows to be in. Throws CommitConflictError, TableRefusedError (marker of another job), or OS errors; then nothing was committed, or all of it was.
   */
  commit(change: TableChange, marker: Marker, committed: number): CommitResult {
    assert(change.added.length + change.removed.length > 0, "no empty commits");
    for (let attempt = 0; attempt < COMMIT_ATTEMPTS_MAX; attempt++) {
      const base = this.#newestOrThrow();
      const known = highestMarker(base.metadata);
      if (known !== null && known.jobId !== marker.jobId)
        throw new TableRefusedError(
          `table ${this.folder} is written by job ${known.jobId}, this is job ${marker.jobId}. Give each job tables of its own.`,
        );
      if (known !== null && known.epoch > committed) {
        this.sync();
        return { kind: "found", marker: known };
      }
      const snapshotId = this.#tryCommit(base, change, marker);
      if (snapshotId !== null) return { kind: "committed", snapshotId };
    }
    throw new CommitConflictError(
      `table ${this.folder}: ${COMMIT_ATTEMPTS_MAX} commits in a row met another writer's; the epoch stays recorded and is tried again.`,
    );
  }

  /**
   * Takes the table back to where the ledger is, as a new version of its metadata; what only dropped snapshots named of metadata is unlinked.
   * Throws TableRefusedError when that cannot be, OS errors.
   */
  rollBack(moment: LedgerMoment): Rollback {
    for (let attempt = 0; attempt < COMMIT_ATTEMPTS_MAX; attempt++) {
      const { version, metadata } = this.#newestOrThrow();
      const metadataFile = `file://${this.#metadata.pathOf(version)}`;
      const decision = rollback(metadata, moment, { nowMs: this.#nowMs(), metadataFile });
      if (decision.kind === "refuse")
        throw new TableRefusedError(
          `table ${this.folder} cannot be taken back to epoch ${moment.recorded}: ${decision.reason}. Restore data folder and table from the same moment.`,
        );
      if (!this.#publish(version + 1, decision.metadata)) continue;
      this.#unlinkDropped(decision);
      return decision;
    }
    throw new CommitConflictError(`table ${this.folder}: others commit to it, start again`);
  }

  /** Manifests and lists of snapshots that are gone, unless a snapshot that stays has them too. */
  #unlinkDropped({ metadata, dropped }: Rollback): void {
    try {
      const lines = (snapshot: JsonObject): string[] =>
        this.#metadata.manifestLines(snapshot).map(manifestUri);
      const kept = new Set(listAt(metadata, "snapshots").flatMap(lines));
      const manifests = new Set(dropped.flatMap(lines).filter((uri) => !kept.has(uri)));
      for (const uri of manifests) this.#unlinkOurs(uri);
      for (const snapshot of dropped) this.#unlinkOurs(plainText(snapshot["manifest-list"]));
    } catch {
      // as in #unlinkExpired
    }
  }

  /** Versions that are there stay: a commit that failed, or whose process ended, may have been linked and not synced. Before they count as committed. */
  sync(): void {
    this.#files.sync(this.#metadata.folder, "table.recover.sync");
  }

  /** Removes what commits that never came to be left behind: temporary metadata, manifests for versions that do not exist yet. */
  sweep(): void {
    const newest = this.#newestOrThrow().version;
    for (const name of this.#files.list(this.#metadata.folder)) {
      const version = manifestVersionOf(name);
      if (!name.endsWith(".tmp") && version <= newest) continue;
      this.#files.unlink(`${this.#metadata.folder}/${name}`, "table.sweep.unlink");
    }
  }

  #tryCommit(base: Version, { added: files, removed }: TableChange, marker: Marker): number | null {
    const version = base.version + 1;
    const ids: CommitIds = {
      snapshotId: Number(crypto.getRandomValues(new BigUint64Array(1))[0] ?? 0n) % 2 ** 52 || 1,
      sequenceNumber: Number(base.metadata["last-sequence-number"]) + 1,
    };
    const written: string[] = [];
    const write: WriteAvro = (kind, bytes) => {
      const name = kind === "reduced" ? `${kind}${written.length}` : kind;
      const path = `${this.#metadata.folder}/millrace-${version}-${ids.snapshotId}-${name}.avro`;
      written.push(path);
      this.#files.writeSynced(path, [bytes], `table.${kind}.write`);
      return `file://${path}`;
    };
    let isCommitted = false;
    try {
      const parent = currentSnapshot(base.metadata);
      const old = parent === null ? [] : this.#metadata.manifestLines(parent).filter(isLive);
      const table = { shape: this.shape, location: this.location };
      const reduced = this.#reduce(old, removed, ids, write);
      const lines = [...reduced.lines, ...this.#merge(reduced.rest, ids, write)];
      if (files.length > 0) {
        const added = addedManifest(files, table, ids);
        lines.unshift({ ...added.line, manifest_path: write("manifest", added.bytes) });
      }
      const parentId = parent === null ? null : plainText(parent["snapshot-id"]);
      const list = write("list", writeManifestList(lines, { ...ids, parentId }));
      const snapshot = {
        "snapshot-id": ids.snapshotId,
        ...(parent === null ? {} : { "parent-snapshot-id": parent["snapshot-id"] ?? null }),
        "sequence-number": ids.sequenceNumber,
        "timestamp-ms": nextTimestampMs(base.metadata, this.#nowMs()),
        "manifest-list": list,
        summary: { ...changeSummary(files, reduced.removed, parent), ...markerSummary(marker) },
        "schema-id": base.metadata["current-schema-id"] ?? 0,
      };
      const next = withSnapshot(base.metadata, snapshot, {
        marker,
        metadataFile: `file://${this.#metadata.pathOf(base.version)}`,
      });
      isCommitted = this.#publish(version, next.metadata);
      if (isCommitted) this.#unlinkExpired(next.expired, next.metadata);
      return isCommitted ? ids.snapshotId : null;
    } finally {
      // After an error the commit may have come to be all the same: then its files are needed.
      if (!isCommitted && !this.#files.exists(this.#metadata.pathOf(version)))
        for (const path of written) this.#tryUnlink(path, "table.conflict.unlink");
      else if (!isCommitted) this.#unlinkUnlessNamed(version, ids, written);
    }
  }

  /** After a conflict, or an error past the link: keeps the files if the version on disk is ours. */
  #unlinkUnlessNamed(version: number, ids: CommitIds, written: readonly string[]): void {
    const metadata = this.#metadata.read(version);
    if (metadata["current-snapshot-id"] === ids.snapshotId) return;
    for (const path of written) this.#tryUnlink(path, "table.conflict.unlink");
  }

  /** Manifests without the files of these paths, and the lines of those that have none of them. Throws TableRefusedError when one is in none. */
  #reduce(
    old: readonly AvroRecord[],
    paths: readonly string[],
    ids: CommitIds,
    write: WriteAvro,
  ): { lines: AvroRecord[]; rest: readonly AvroRecord[]; removed: RemovedFiles } {
    const lines: AvroRecord[] = [];
    const rest: AvroRecord[] = [];
    const files: AvroRecord[] = [];
    const uris = new Set(paths.map((path) => `${this.location}/${path}`));
    for (const line of old) {
      const isLeft = files.length === uris.size || line["content"] !== 0;
      const source = isLeft ? null : { line, bytes: this.#files.read(pathOf(manifestUri(line))) };
      const reduced = source === null ? null : reducedManifest(source, uris, this.shape, ids);
      if (reduced === null) rest.push(line);
      else {
        files.push(...reduced.removed);
        lines.push({ ...reduced.line, manifest_path: write("reduced", reduced.bytes) });
      }
    }
    if (files.length !== uris.size)
      throw new TableRefusedError(
        `table ${this.folder}: another program has taken away files that corrections change (${uris.size - files.length} of ${uris.size}). Roll the table back to a snapshot that has them.`,
      );
    const sum = (key: string): number => files.reduce((all, file) => all + Number(file[key]), 0);
    const [rowCount, bytes] = [sum("record_count"), sum("file_size_in_bytes")];
    return { lines, rest, removed: { fileCount: files.length, rowCount, bytes } };
  }

  /** The lines of older manifests, the small ones merged when there are too many. */
  #merge(lines: readonly AvroRecord[], ids: CommitIds, write: WriteAvro): readonly AvroRecord[] {
    if (lines.length < MANIFESTS_MAX) return lines;
    const small: AvroRecord[] = [];
    let entries = 0;
    for (const line of lines) {
      const count = Number(line["added_files_count"]) + Number(line["existing_files_count"]);
      const isOurs = line["content"] === 0 && line["partition_spec_id"] === 0;
      if (!isOurs || entries + count > MANIFEST_ENTRIES_MAX) continue;
      small.push(line);
      entries += count;
    }
    if (small.length < 2) return lines;
    const sources = small.map((line) => ({
      line,
      bytes: this.#files.read(pathOf(manifestUri(line))),
    }));
    const merged: NewManifest = mergedManifest(sources, this.shape, ids);
    const gone = new Set(small);
    return [
      { ...merged.line, manifest_path: write("merged", merged.bytes) },
      ...lines.filter((line) => !gone.has(line)),
    ];
  }

  /** The commit point: false when another writer made this version first. */
  #publish(version: number, metadata: JsonObject): boolean {
    const temporary = `${this.#metadata.folder}/${crypto.randomUUID()}.tmp`;
    try {
      const bytes = Buffer.from(printJson(metadata), "utf8");
      this.#files.writeSynced(temporary, [bytes], "table.metadata.write");
      const path = this.#metadata.pathOf(version);
      if (!this.#files.linkExclusive(temporary, path, "table.metadata.link")) return false;
    } finally {
      this.#tryUnlink(temporary, "table.metadata.unlink");
    }
    this.#writeHint(version);
    return true;
  }

  /** A cache for readers: a failure here changes nothing, we look for newer versions ourselves. */
  #writeHint(version: number): void {
    try {
      this.#metadata.writeHint(version);
    } catch {
      // the next commit tries again
    }
  }

  /** Unlinks lists of expired snapshots, manifests that only they named, and old metadata files. Ours only, on a linear history. */
  #unlinkExpired(expired: Expired, metadata: JsonObject): void {
    const isLinear = Object.keys(objectAt(metadata, "refs")).length === 1;
    try {
      const oldest = listAt(metadata, "snapshots")[0];
      if (isLinear && oldest !== undefined && expired.manifestLists.length > 0) {
        const kept = new Set(
          this.#metadata.manifestLines(oldest).map((line) => line["manifest_path"]),
        );
        for (const list of expired.manifestLists) {
          for (const line of this.#metadata.manifestLines({ "manifest-list": list }))
            if (!kept.has(line["manifest_path"])) this.#unlinkOurs(manifestUri(line));
          this.#unlinkOurs(list);
        }
      }
      for (const uri of expired.metadataFiles)
        if (versionOf(basename(uri)) > 0)
          this.#files.unlink(`${this.#metadata.folder}/${basename(uri)}`, "table.expire.unlink");
    } catch {
      // The commit is done; files that stay are not named by it and cost room only.
    }
  }

  /** Of a manifest or list. */
  #unlinkOurs(uri: string): void {
    if (manifestVersionOf(basename(uri)) === 0) return;
    this.#files.unlink(`${this.#metadata.folder}/${basename(uri)}`, "table.expire.unlink");
  }

  /** Unlinks a file that nobody names; a failure leaves it to the next start's sweep. */
  #tryUnlink(path: string, step: Step): void {
    try {
      this.#files.unlink(path, step);
    } catch {
      // see above
    }
  }

  #newestOrThrow(): Version {
    const newest = this.#metadata.newest();
    if (newest === null)
      throw new TableRefusedError(`table ${this.folder} has no metadata: was its folder removed?`);
    return newest;
  }

  #nowMs(): number {
    return Math.floor(this.#clock.nowUs() / 1000);
  }
}

/** Whether a manifest names any file that is not deleted: others are not carried on. */
function isLive(line: AvroRecord): boolean {
  return Number(line["added_files_count"]) + Number(line["existing_files_count"]) > 0;
}
