// The metadata files of one table on the disk: their names, which of them is the newest, and reading them. What they say is metadata.ts's;
// who writes new ones is iceberg-table.ts.
import { assert } from "../base/assert.ts";
import type { Files } from "../base/files.ts";
import { readAvro, type AvroRecord } from "./avro.ts";
import { parseJson, plainText, type JsonObject } from "./lossless-json.ts";

/** Operating error: the table cannot be used as it is; the message says what to do. */
export class TableRefusedError extends Error {
  override readonly name = "TableRefusedError";
}

/** A metadata file and its number. */
export interface Version {
  readonly version: number;
  readonly metadata: JsonObject;
}

const METADATA_NAME = /^v(\d+)\.metadata\.json$/;
/** Our manifests and lists: the metadata version that they were written for, and the snapshot. */
const OUR_NAME = /^millrace-(\d+)-\d+-[a-z0-9]+\.avro$/;
/** Name of the file that leads other programs to the newest metadata. */
export const HINT_NAME = "version-hint.text";

/** The number of a metadata file by its name; 0 for another name. */
export function versionOf(name: string): number {
  return Number(METADATA_NAME.exec(name)?.[1] ?? 0);
}

/** The metadata version that a manifest or list of ours was written for, by its name; 0 for another name. */
export function manifestVersionOf(name: string): number {
  return Number(OUR_NAME.exec(name)?.[1] ?? 0);
}

/** The metadata files of the table in `folder` (absolute). */
export class MetadataFiles {
  /** Where they lie. */
  readonly folder: string;
  readonly #files: Files;
  /** What was read last: a version, once it is there, stays as it is. */
  #last: Version | null = null;

  constructor(folder: string, files: Files) {
    this.folder = `${folder}/metadata`;
    this.#files = files;
  }

  /** Where the number of the newest stands, for readers that do not look for it. */
  get hintPath(): string {
    return `${this.folder}/${HINT_NAME}`;
  }

  pathOf(version: number): string {
    return `${this.folder}/v${version}.metadata.json`;
  }

  /** All versions that are there, ascending. */
  versions(): number[] {
    const all = this.#files.list(this.folder).map(versionOf);
    return all.filter((version) => version > 0).toSorted((a, b) => a - b);
  }

  /** Number of the newest: where the hint points or, when that is nowhere, the highest; then on as long as there is a next. 0 = none. */
  newestVersion(): number {
    let version = this.hint() ?? 0;
    if (version === 0 || !this.#files.exists(this.pathOf(version)))
      version = this.versions().at(-1) ?? 0;
    if (version === 0) return 0;
    while (this.#files.exists(this.pathOf(version + 1))) version++;
    return version;
  }

  /** The newest; null = none. Throws TableRefusedError when it is not metadata. */
  newest(): Version | null {
    const version = this.newestVersion();
    if (version === 0) return null;
    if (this.#last?.version !== version) this.#last = { version, metadata: this.read(version) };
    return this.#last;
  }

  /** What the hint says; null when there is none, or it is no number. */
  hint(): number | null {
    if (!this.#files.exists(this.hintPath)) return null;
    const version = Number(Buffer.from(this.#files.read(this.hintPath)).toString("utf8").trim());
    return Number.isSafeInteger(version) && version > 0 ? version : null;
  }

  /** Replaces the hint, in one step. Throws OS errors; then the temporary file is gone. */
  writeHint(version: number): void {
    const temporary = `${this.folder}/${crypto.randomUUID()}.tmp`;
    try {
      this.#files.writeSynced(temporary, [Buffer.from(String(version))], "table.hint.write");
      this.#files.renameOver(temporary, this.hintPath, "table.hint.rename");
    } catch (error) {
      this.#files.unlink(temporary, "table.hint.unlink");
      throw error;
    }
  }

  /** Throws TableRefusedError when it is not metadata, OS errors when it is not there. */
  read(version: number): JsonObject {
    const path = this.pathOf(version);
    const text = Buffer.from(this.#files.read(path)).toString("utf8");
    const refused = `${path} is not table metadata: restore it from a copy.`;
    let value: unknown;
    try {
      value = parseJson(text);
    } catch (cause) {
      throw new TableRefusedError(refused, { cause });
    }
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new TableRefusedError(refused);
    return value as JsonObject;
  }

  /** Lines of a snapshot's manifest list. Throws AvroError, OS errors. */
  manifestLines(snapshot: JsonObject): AvroRecord[] {
    return readAvro(this.#files.read(pathOf(plainText(snapshot["manifest-list"])))).records;
  }
}

/** The manifest that a line of a manifest list names. */
export function manifestUri(line: AvroRecord): string {
  const path = line["manifest_path"];
  assert(typeof path === "string", "a manifest list names its manifests");
  return path;
}

/** The path of a `file:` URI, written with one, two or three slashes by different engines. */
export function pathOf(uri: string): string {
  return uri.replace(/^file:\/*/, "/");
}
