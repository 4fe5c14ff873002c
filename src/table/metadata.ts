// Iceberg table metadata (format version 2): pure verbs over the metadata JSON. Members that we do not know are kept as they are.
// Source: https://iceberg.apache.org/spec/#table-metadata-fields. Files and links are iceberg-table.ts's.
import { assert, unreachable } from "../base/assert.ts";
import { sqlTypeText, type Column, type SqlType } from "../event/schema.ts";
import { METADATA_FILES_KEPT, SNAPSHOTS_KEPT, SNAPSHOTS_KEPT_MS } from "../limits.ts";
import { plainText, type Json, type JsonObject } from "./lossless-json.ts";

/** What a table is: columns with their field ids, and the column whose day parts it. */
export interface TableShape {
  readonly columns: readonly Column[];
  /** Name of a TIMESTAMPTZ column that is not nullable, or null: the table is not partitioned. */
  readonly dayColumn: string | null;
}

/** Where a table's files stand after one of our commits; in every snapshot's summary and in the table's properties. */
export interface Marker {
  readonly jobId: string;
  /** All epochs of the ledger up to this one are in the table. */
  readonly epoch: number;
  /** Log position that the last of them covers. */
  readonly position: number;
  /** Watermark at that position, µs as decimal text; "" before the first event. */
  readonly watermark: string;
}

const MARKER_KEYS = {
  jobId: "millrace.job-id",
  epoch: "millrace.epoch",
  position: "millrace.position",
  watermark: "millrace.watermark",
} as const;

/** Partition field ids start here (spec). */
const PARTITION_FIELD_ID = 1000;

function icebergType(type: SqlType): string {
  switch (type.kind) {
    case "INTEGER":
      return "int";
    case "BIGINT":
      return "long";
    case "VARCHAR":
      return "string";
    case "DECIMAL":
      return `decimal(${type.precision}, ${type.scale})`;
    case "BOOLEAN":
    case "FLOAT":
    case "DOUBLE":
    case "DATE":
    case "TIMESTAMPTZ":
      return type.kind.toLowerCase();
    default:
      return unreachable(type);
  }
}

/** Name of the partition field, and of its folder: `<column>_day`. */
export function partitionName(dayColumn: string): string {
  return `${dayColumn}_day`;
}

/** The schema as metadata and manifests write it. */
export function schemaJson(columns: readonly Column[]): JsonObject {
  return {
    type: "struct",
    "schema-id": 0,
    fields: columns.map((column) => ({
      id: column.fieldId,
      name: column.name,
      required: !column.nullable,
      type: icebergType(column.type),
    })),
  };
}

/** The partition fields as metadata and manifests write them. */
export function partitionFieldsJson(shape: TableShape): readonly JsonObject[] {
  if (shape.dayColumn === null) return [];
  const source = shape.columns.find((column) => column.name === shape.dayColumn);
  assert(source !== undefined, `partition column ${shape.dayColumn} is a column`);
  assert(
    source.type.kind === "TIMESTAMPTZ" && !source.nullable,
    `partition column ${shape.dayColumn} is a time that is never null, not ${sqlTypeText(source.type)}`,
  );
  return [
    {
      "source-id": source.fieldId,
      "field-id": PARTITION_FIELD_ID,
      name: partitionName(shape.dayColumn),
      transform: "day",
    },
  ];
}

/** Metadata of a table without snapshots. `location` is a URI without a trailing slash. */
export function newMetadata(shape: TableShape, location: string, nowMs: number): JsonObject {
  return {
    "format-version": 2,
    "table-uuid": crypto.randomUUID(),
    location,
    "last-sequence-number": 0,
    "last-updated-ms": nowMs,
    "last-column-id": Math.max(...shape.columns.map((column) => column.fieldId)),
    schemas: [schemaJson(shape.columns)],
    "current-schema-id": 0,
    "partition-specs": [{ "spec-id": 0, fields: partitionFieldsJson(shape) }],
    "default-spec-id": 0,
    "last-partition-id": shape.dayColumn === null ? PARTITION_FIELD_ID - 1 : PARTITION_FIELD_ID,
    "sort-orders": [{ "order-id": 0, fields: [] }],
    "default-sort-order-id": 0,
    properties: {
      "write.format.default": "parquet",
      "write.parquet.compression-codec": "zstd",
    },
    refs: {},
    snapshots: [],
    "snapshot-log": [],
    "metadata-log": [],
  };
}

/** Members of metadata that must be there; throws Error naming a missing or malformed one. */
export function objectAt(value: Json, key: string): JsonObject {
  const member = (value as JsonObject)[key];
  if (typeof member !== "object" || member === null || Array.isArray(member))
    throw new Error(`table metadata: ${key} is not an object`);
  return member as JsonObject;
}

export function listAt(metadata: JsonObject, key: string): readonly JsonObject[] {
  return (metadata[key] ?? []) as readonly JsonObject[];
}

function fieldText(field: JsonObject): string {
  const type = plainText(field["type"]).replaceAll(" ", "");
  const required = field["required"] === true ? " not null" : "";
  return `${plainText(field["id"])} ${plainText(field["name"])} ${type}${required}`;
}

/** Why a table on disk is not the one that is wanted, or null when it is. */
export function shapeDifference(metadata: JsonObject, shape: TableShape): string | null {
  const schema = listAt(metadata, "schemas").find(
    (candidate) => candidate["schema-id"] === metadata["current-schema-id"],
  );
  const known = listAt(schema ?? {}, "fields").map(fieldText);
  const wanted = listAt(schemaJson(shape.columns), "fields").map(fieldText);
  const gone = known.filter((field) => !wanted.includes(field));
  const added = wanted.filter((field) => !known.includes(field));
  if (gone.length > 0 || added.length > 0)
    return `columns on disk only: [${gone.join(", ")}], in the configuration only: [${added.join(", ")}]`;
  const spec = listAt(metadata, "partition-specs").find(
    (candidate) => candidate["spec-id"] === metadata["default-spec-id"],
  );
  const transform = (fields: readonly JsonObject[]): string =>
    fields
      .map((field) => `${plainText(field["transform"])}(${plainText(field["source-id"])})`)
      .join();
  const [have, want] = [listAt(spec ?? {}, "fields"), partitionFieldsJson(shape)].map(transform);
  return have === want ? null : `partitioned by [${have}] on disk, [${want}] in the configuration`;
}

export function markerSummary(marker: Marker): Readonly<Record<string, string>> {
  return {
    [MARKER_KEYS.jobId]: marker.jobId,
    [MARKER_KEYS.epoch]: String(marker.epoch),
    [MARKER_KEYS.position]: String(marker.position),
    [MARKER_KEYS.watermark]: marker.watermark,
  };
}

/** The marker in a snapshot's summary, or in a table's properties; null when another program made it. */
export function readMarker(values: JsonObject): Marker | null {
  const epoch = values[MARKER_KEYS.epoch];
  if (typeof epoch !== "string") return null;
  return {
    jobId: plainText(values[MARKER_KEYS.jobId]),
    epoch: Number(epoch),
    position: Number(values[MARKER_KEYS.position] ?? 0),
    watermark: plainText(values[MARKER_KEYS.watermark]),
  };
}

/**
 * The highest marker in the snapshot history and the properties: never only the current snapshot's, a foreign commit may have come in
 * between (see ICEBERG.md on the known failures of others). Null when no commit of ours is in the table.
 */
export function highestMarker(metadata: JsonObject): Marker | null {
  const candidates = [
    ...listAt(metadata, "snapshots").map((snapshot) => readMarker(objectAt(snapshot, "summary"))),
    readMarker(objectAt(metadata, "properties")),
  ];
  return candidates.reduce(
    (best, marker) => (marker !== null && marker.epoch > (best?.epoch ?? -1) ? marker : best),
    null,
  );
}

/** The current snapshot, or null. */
export function currentSnapshot(metadata: JsonObject): JsonObject | null {
  const id = metadata["current-snapshot-id"];
  if (id === undefined || id === null || id === -1) return null;
  const snapshot = listAt(metadata, "snapshots").find(
    (candidate) => candidate["snapshot-id"] === id,
  );
  assert(snapshot !== undefined, "the current snapshot is in the metadata");
  return snapshot;
}

/** Milliseconds of the next change: never before the last one. */
export function nextTimestampMs(metadata: JsonObject, nowMs: number): number {
  return Math.max(nowMs, Number(metadata["last-updated-ms"]) + 1);
}

/** What a commit takes away from the metadata; its files may be unlinked once the commit is done. */
export interface Expired {
  readonly manifestLists: readonly string[];
  readonly metadataFiles: readonly string[];
}

/** Metadata with one more snapshot on `main`, the marker in its properties, and old snapshots and metadata files expired. */
export function withSnapshot(
  metadata: JsonObject,
  snapshot: JsonObject,
  context: { readonly marker: Marker; readonly metadataFile: string },
): { readonly metadata: JsonObject; readonly expired: Expired } {
  const timestampMs = Number(snapshot["timestamp-ms"]);
  const id = snapshot["snapshot-id"] ?? null;
  const refs = objectAt(metadata, "refs");
  const pinned = new Set(Object.values(refs).map((ref) => (ref as JsonObject)["snapshot-id"]));
  const all = [...listAt(metadata, "snapshots"), snapshot];
  const isKept = (candidate: JsonObject, index: number): boolean =>
    index >= all.length - SNAPSHOTS_KEPT ||
    Number(candidate["timestamp-ms"]) >= timestampMs - SNAPSHOTS_KEPT_MS ||
    pinned.has(candidate["snapshot-id"]);
  const kept = all.filter(isKept);
  const keptIds = new Set(kept.map((candidate) => candidate["snapshot-id"]));
  const metadataLog = [
    ...listAt(metadata, "metadata-log"),
    {
      "metadata-file": context.metadataFile,
      "timestamp-ms": metadata["last-updated-ms"] ?? timestampMs,
    },
  ];
  const firstKept = Math.max(0, metadataLog.length - METADATA_FILES_KEPT);
  return {
    metadata: {
      ...metadata,
      "last-sequence-number": snapshot["sequence-number"] ?? 0,
      "last-updated-ms": timestampMs,
      "current-snapshot-id": id,
      refs: { ...refs, main: { "snapshot-id": id, type: "branch" } },
      properties: { ...objectAt(metadata, "properties"), ...markerSummary(context.marker) },
      snapshots: kept,
      "snapshot-log": [
        ...listAt(metadata, "snapshot-log").filter((entry) => keptIds.has(entry["snapshot-id"])),
        { "snapshot-id": id, "timestamp-ms": timestampMs },
      ],
      "metadata-log": metadataLog.slice(firstKept),
    },
    expired: {
      manifestLists: all
        .filter((candidate) => !keptIds.has(candidate["snapshot-id"]))
        .map((candidate) => plainText(candidate["manifest-list"])),
      metadataFiles: metadataLog
        .slice(0, firstKept)
        .map((entry) => plainText(entry["metadata-file"])),
    },
  };
}

/** Files that a commit takes away. */
export interface RemovedFiles {
  readonly fileCount: number;
  readonly rowCount: number;
  readonly bytes: number;
}

/** What a snapshot's summary says of the files that it adds and takes away. */
export function changeSummary(
  files: readonly {
    readonly rowCount: number;
    readonly bytes: number;
    readonly day: number | null;
  }[],
  removed: RemovedFiles,
  parent: JsonObject | null,
): Readonly<Record<string, string>> {
  const before = parent === null ? {} : objectAt(parent, "summary");
  const rows = files.reduce((sum, file) => sum + file.rowCount, 0);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const total = (key: string, add: number): string => String(Number(before[key] ?? 0) + add);
  const taken = {
    "deleted-data-files": String(removed.fileCount),
    "deleted-records": String(removed.rowCount),
    "removed-files-size": String(removed.bytes),
  };
  return {
    operation: removed.fileCount === 0 ? "append" : "overwrite",
    "added-data-files": String(files.length),
    "added-records": String(rows),
    "added-files-size": String(bytes),
    ...(removed.fileCount === 0 ? {} : taken),
    "changed-partition-count": String(new Set(files.map((file) => file.day)).size),
    "total-data-files": total("total-data-files", files.length - removed.fileCount),
    "total-records": total("total-records", rows - removed.rowCount),
    "total-files-size": total("total-files-size", bytes - removed.bytes),
    "total-delete-files": total("total-delete-files", 0),
    "total-position-deletes": total("total-position-deletes", 0),
    "total-equality-deletes": total("total-equality-deletes", 0),
  };
}

/** The epoch that the oldest snapshot says; 0 when a foreign one is the oldest: files replaced in it or before are in no snapshot. */
export function oldestEpoch(metadata: JsonObject): number {
  const [oldest] = listAt(metadata, "snapshots");
  return oldest === undefined ? 0 : (readMarker(objectAt(oldest, "summary"))?.epoch ?? 0);
}
