// Nouns: what a savepoint's manifest says, and its bytes. Written last, so a folder without it is no savepoint. Format: ARCHITECTURE.md.
import { join } from "node:path";
import type { Files } from "../base/files.ts";

/** Operating error: a savepoint cannot be made or restored. The message says why and what to do. */
export class SavepointError extends Error {
  override readonly name = "SavepointError";
}

/** Format of the manifest: counted up when a program that knows only the older one could not restore it. */
export const SAVEPOINT_VERSION = 1;

export const MANIFEST_NAME = "savepoint.json";
/** In a folder from the first moment until the manifest is there. */
export const UNFINISHED_NAME = "savepoint.unfinished";
/** The configuration and schemas at the savepoint, for information. */
export const CONFIGURATION_NAME = "configuration.json";

/** A file of a savepoint. */
export interface SavepointFile {
  /** Relative to the savepoint's folder, and to the data folder that it becomes part of. */
  readonly path: string;
  readonly bytes: number;
  /** SHA-256, hexadecimal. */
  readonly sha256: string;
}

/** A table as it is in a savepoint. */
export interface SavepointTable {
  /** `namespace.table`. */
  readonly name: string;
  /** Number of its newest metadata file; 0 = it has none. */
  readonly version: number;
  /** The last epoch that the ledger has. */
  readonly epoch: number;
}

export interface Savepoint {
  /** The release that made it. */
  readonly millrace: string;
  readonly jobId: string;
  /** Key of the hashes of event ids: 16 bytes, hexadecimal. */
  readonly hashKey: string;
  /** ISO 8601. */
  readonly madeAt: string;
  /** The data folder that it is of: absolute, links resolved. Metadata of tables name files by it. */
  readonly dataFolder: string;
  /** Records of the log in it; `last` is the position that the savepoint is of. `last < first`: there are none. */
  readonly log: { readonly first: number; readonly last: number };
  readonly tables: readonly SavepointTable[];
  readonly files: readonly SavepointFile[];
}

const FORMAT = "millrace-savepoint";
/** Only these are taken from a savepoint: a manifest cannot name a path elsewhere. */
const PATH = /^(state\.db|ledger\.db|configuration\.json|(log|ids|warehouse)(\/[^/\0]+)+)$/;

function checksumOf(savepoint: unknown): string {
  return new Bun.CryptoHasher("sha256").update(JSON.stringify(savepoint)).digest("hex");
}

export function encodeManifest(savepoint: Savepoint): Uint8Array {
  const value = {
    format: FORMAT,
    version: SAVEPOINT_VERSION,
    checksum: checksumOf(savepoint),
    savepoint,
  };
  return new TextEncoder().encode(`${JSON.stringify(value, null, 1)}\n`);
}

/** Reads the manifest of the savepoint in `folder`. Throws SavepointError when there is none, it is damaged, or of a version that is not known. */
export function readManifest(folder: string, files: Files): Savepoint {
  const path = join(folder, MANIFEST_NAME);
  if (!files.exists(folder)) throw new SavepointError(`there is no folder ${folder}`);
  if (!files.exists(path)) throw new SavepointError(withoutManifest(folder, files));
  let value: Readonly<Record<string, unknown>> | null;
  try {
    value = JSON.parse(new TextDecoder().decode(files.read(path))) as typeof value;
  } catch {
    throw new SavepointError(damaged(path, "it is not JSON"));
  }
  if (value?.["format"] !== FORMAT)
    throw new SavepointError(`${path} is not the manifest of a savepoint of Millrace`);
  const { version, checksum } = value;
  if (version !== SAVEPOINT_VERSION)
    throw new SavepointError(
      `${folder} is a savepoint of format ${String(version)}, this release knows ${SAVEPOINT_VERSION}: restore it with the release that made it`,
    );
  const savepoint = value["savepoint"] as Savepoint;
  if (checksum !== checksumOf(savepoint))
    throw new SavepointError(damaged(path, "its checksum does not fit"));
  const foreign = foreignName(savepoint);
  if (foreign !== null)
    throw new SavepointError(damaged(path, `it names ${JSON.stringify(foreign)}`));
  return savepoint;
}

/** A path or a table that no data folder has, and that a restore would write elsewhere; null: there is none. */
export function foreignName({
  files,
  tables,
}: {
  readonly files: readonly { readonly path: string }[];
  readonly tables: readonly { readonly name: string }[];
}): string | null {
  const isOwn = (path: string): boolean =>
    PATH.test(path) && path.split("/").every((part) => part !== "." && part !== "..");
  const file = files.find(({ path }) => !isOwn(path));
  const table = tables.find(({ name }) => !/^[\w-]+\.[\w-]+$/.test(name));
  return file?.path ?? table?.name ?? null;
}

function withoutManifest(folder: string, files: Files): string {
  return files.exists(join(folder, UNFINISHED_NAME))
    ? `${folder} is a savepoint that was not finished: the process that made it ended before. Remove it and make another one`
    : `${folder} is not a savepoint: it has no ${MANIFEST_NAME}`;
}

function damaged(path: string, why: string): string {
  return `${path} is damaged (${why}): the savepoint cannot be restored. Take another copy of it, or another savepoint`;
}
