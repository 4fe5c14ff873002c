// Verb: a table's metadata -> the same with the table at another path. Iceberg names every file by an absolute URI: manifests name data files, lists
// name manifests, metadata names lists. All kept snapshots go along. Data files are not touched: they name nothing.
import { basename, join } from "node:path";
import type { Files } from "../base/files.ts";
import {
  AvroError,
  readAvro,
  writeAvro,
  type AvroRecord,
  type AvroSchema,
  type AvroValue,
} from "../table/avro.ts";
import { plainText, printJson, type Json } from "../table/lossless-json.ts";
import { MetadataFiles } from "../table/metadata-files.ts";
import { SavepointError } from "./manifest.ts";

export interface TableMove {
  /** `namespace.table`. */
  readonly name: string;
  /** Where its files are now, while it is moved. */
  readonly folder: string;
  /** What its metadata says, and is to say. */
  readonly locations: Locations;
}

/** URIs without a slash at the end. */
interface Locations {
  readonly from: string;
  readonly to: string;
}

type AvroFile = ReturnType<typeof readAvro>;

/** Writes a table's metadata anew. Throws SavepointError when it has what cannot be moved, OS errors. */
export function moveTable({ name, folder, locations }: TableMove, files: Files): void {
  const metadata = new MetadataFiles(folder, files);
  try {
    moveAvro(metadata.folder, locations, files);
    for (const version of metadata.versions()) {
      const old = metadata.read(version);
      if (old["location"] !== locations.from)
        throw new SavepointError(
          `its metadata says that it lies at ${plainText(old["location"])}, not at ${locations.from}`,
        );
      const text = printJson(movedJson(old, locations));
      replace(metadata.pathOf(version), new TextEncoder().encode(text), files);
    }
  } catch (error) {
    if (!(error instanceof AvroError || error instanceof SavepointError)) throw error;
    throw new SavepointError(
      `table ${name} cannot be moved to another path: ${error.message}. Restore to the path that the data folder had, ${pathOfData(locations.from)}`,
    );
  }
}

/** `file:///data/warehouse/default/clicks_raw` -> `/data`. */
function pathOfData(location: string): string {
  return location.replace(/^file:\/\//, "").replace(/\/warehouse\/[^/]+\/[^/]+$/, "");
}

/** Manifests first: lists say how long they are. */
function moveAvro(folder: string, locations: Locations, files: Files): void {
  const names = files.list(folder).filter((name) => name.endsWith(".avro"));
  const read = names.map((name) => ({
    path: join(folder, name),
    ...readAvro(files.read(join(folder, name))),
  }));
  const isList = ({ records }: AvroFile): boolean => records[0]?.["manifest_path"] !== undefined;
  const lengths = new Map<string, number>();
  for (const file of read.filter((one) => !isList(one))) {
    const bytes = written(
      file,
      file.records.map((entry) => movedEntry(entry, locations)),
    );
    lengths.set(`${locations.from}/metadata/${basename(file.path)}`, bytes.length);
    replace(file.path, bytes, files);
  }
  for (const file of read.filter(isList)) {
    const bytes = written(
      file,
      file.records.map((line) => movedLine(line, locations, lengths)),
    );
    replace(file.path, bytes, files);
  }
}

function written({ metadata }: AvroFile, records: readonly AvroRecord[]): Uint8Array {
  const { "avro.schema": schema = "", "avro.codec": _, ...rest } = Object.fromEntries(metadata);
  return writeAvro(JSON.parse(schema) as AvroSchema, rest, records);
}

function movedEntry(entry: AvroRecord, locations: Locations): AvroRecord {
  const file = entry["data_file"] as AvroRecord;
  // files of deletes name data files by their paths, inside
  if ((file["content"] ?? 0) !== 0)
    throw new SavepointError("another program has put files of deletes into it");
  return { ...entry, data_file: { ...file, file_path: moved(file["file_path"], locations) } };
}

function movedLine(
  line: AvroRecord,
  locations: Locations,
  lengths: ReadonlyMap<string, number>,
): AvroRecord {
  const uri = line["manifest_path"];
  const length = typeof uri === "string" ? lengths.get(uri) : undefined;
  return {
    ...line,
    manifest_path: moved(uri, locations),
    manifest_length: length ?? line["manifest_length"] ?? null,
  };
}

function movedJson(value: Json, locations: Locations): Json {
  if (typeof value === "string") return movedText(value, locations);
  if (Array.isArray(value)) return value.map((item: Json) => movedJson(item, locations));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, movedJson(member, locations)]),
  );
}

function moved(value: AvroValue | undefined, locations: Locations): AvroValue {
  return typeof value === "string" ? movedText(value, locations) : (value ?? null);
}

function movedText(text: string, { from, to }: Locations): string {
  return text === from || text.startsWith(`${from}/`) ? to + text.slice(from.length) : text;
}

/** Nobody has been told of the file yet. */
function replace(path: string, bytes: Uint8Array, files: Files): void {
  files.unlink(path, "restore.table.unlink");
  files.writeSynced(path, [bytes], "restore.table.write");
}
