// Iceberg manifests and manifest lists (format version 2): descriptors of data files <-> Avro bytes. Pure: iceberg-table.ts reads
// and writes the files. Source: https://iceberg.apache.org/spec/#manifests
import { readAvro, writeAvro, type AvroRecord, type AvroSchema, type AvroValue } from "./avro.ts";
import { must } from "../base/assert.ts";
import { icebergBound, type Bound } from "./bounds.ts";
import { printJson } from "./lossless-json.ts";
import { partitionFieldsJson, partitionName, schemaJson, type TableShape } from "./metadata.ts";
import type { FinishedFile } from "./parquet-file.ts";

/** A data file as the ledger records it and a manifest needs it: plain JSON. */
export interface FileDescriptor {
  /** Relative to the table's folder: `data/event_time_day=2019-10-01/00000012-0.parquet`. */
  readonly path: string;
  /** Days since the epoch, or null when the table is not partitioned. */
  readonly day: number | null;
  readonly rowCount: number;
  readonly bytes: number;
  /** Lowest and highest time of the column that parts the table, µs as decimal text; null when it is not partitioned. */
  readonly times: { readonly low: string; readonly high: string } | null;
  readonly splitOffsets: readonly number[];
  readonly columns: readonly {
    readonly fieldId: number;
    readonly bytes: number;
    readonly valueCount: number;
    readonly nullCount: number;
    /** null = not a floating point column */
    readonly nanCount: number | null;
    /** Iceberg's single-value form, base64; null = no bound */
    readonly low: string | null;
    readonly high: string | null;
  }[];
}

/** Describes a finished file. `timeField`: id of the column that parts the table. */
export function describeFile(
  file: FinishedFile,
  place: { readonly path: string; readonly day: number | null; readonly bytes: number },
  timeField: number | null,
): FileDescriptor {
  const times = file.columns.find(({ fieldId }) => fieldId === timeField)?.bounds;
  const timeText = (bound: Bound | null | undefined): string => String(must(bound, "bound").value);
  return {
    ...place,
    times: times === undefined ? null : { low: timeText(times.low), high: timeText(times.high) },
    rowCount: file.rowCount,
    splitOffsets: file.splitOffsets,
    columns: file.columns.map((column) => {
      const { low, high } = column.bounds;
      const encode = (bytes: Uint8Array | null): string | null =>
        bytes === null ? null : Buffer.from(bytes).toString("base64");
      const isFloat = column.type.kind === "FLOAT" || column.type.kind === "DOUBLE";
      return {
        fieldId: column.fieldId,
        bytes: column.bytes,
        valueCount: column.valueCount,
        nullCount: column.nullCount,
        nanCount: isFloat ? column.nanCount : null,
        low: low === null ? null : encode(icebergBound(column.type, "low", low)),
        high: high === null ? null : encode(icebergBound(column.type, "high", high)),
      };
    }),
  };
}

const STATUS_EXISTING = 0;
const STATUS_ADDED = 1;
const STATUS_DELETED = 2;

type FieldId = Readonly<Record<string, unknown>>;

function required(name: string, id: number, type: AvroSchema): FieldId {
  return { name, type, "field-id": id };
}
function optional(name: string, id: number, type: AvroSchema): FieldId {
  return { name, type: ["null", type], default: null, "field-id": id };
}
/** A map with integer keys: an array of key-value records (spec, "Avro"). */
function intMap(keyId: number, valueId: number, value: AvroSchema): AvroSchema {
  return {
    type: "array",
    logicalType: "map",
    items: {
      type: "record",
      name: `k${keyId}_v${valueId}`,
      fields: [required("key", keyId, "int"), required("value", valueId, value)],
    },
  };
}

/** Schema of a manifest's entries for a table's partition. */
function entrySchema(shape: TableShape): AvroSchema {
  const partition =
    shape.dayColumn === null
      ? []
      : [optional(partitionName(shape.dayColumn), 1000, { type: "int", logicalType: "date" })];
  const file: AvroSchema = {
    type: "record",
    name: "r2",
    fields: [
      required("content", 134, "int"),
      required("file_path", 100, "string"),
      required("file_format", 101, "string"),
      required("partition", 102, { type: "record", name: "r102", fields: partition }),
      required("record_count", 103, "long"),
      required("file_size_in_bytes", 104, "long"),
      optional("column_sizes", 108, intMap(117, 118, "long")),
      optional("value_counts", 109, intMap(119, 120, "long")),
      optional("null_value_counts", 110, intMap(121, 122, "long")),
      optional("nan_value_counts", 137, intMap(138, 139, "long")),
      optional("lower_bounds", 125, intMap(126, 127, "bytes")),
      optional("upper_bounds", 128, intMap(129, 130, "bytes")),
      optional("key_metadata", 131, "bytes"),
      optional("split_offsets", 132, { type: "array", items: "long", "element-id": 133 }),
      optional("equality_ids", 135, { type: "array", items: "int", "element-id": 136 }),
      optional("sort_order_id", 140, "int"),
    ],
  };
  return {
    type: "record",
    name: "manifest_entry",
    fields: [
      required("status", 0, "int"),
      optional("snapshot_id", 1, "long"),
      optional("sequence_number", 3, "long"),
      optional("file_sequence_number", 4, "long"),
      required("data_file", 2, file),
    ],
  };
}

const LIST_SCHEMA: AvroSchema = {
  type: "record",
  name: "manifest_file",
  fields: [
    required("manifest_path", 500, "string"),
    required("manifest_length", 501, "long"),
    required("partition_spec_id", 502, "int"),
    required("content", 517, "int"),
    required("sequence_number", 515, "long"),
    required("min_sequence_number", 516, "long"),
    required("added_snapshot_id", 503, "long"),
    required("added_files_count", 504, "int"),
    required("existing_files_count", 505, "int"),
    required("deleted_files_count", 506, "int"),
    required("added_rows_count", 512, "long"),
    required("existing_rows_count", 513, "long"),
    required("deleted_rows_count", 514, "long"),
    optional("partitions", 507, {
      type: "array",
      "element-id": 508,
      items: {
        type: "record",
        name: "r508",
        fields: [
          required("contains_null", 509, "boolean"),
          optional("contains_nan", 518, "boolean"),
          optional("lower_bound", 510, "bytes"),
          optional("upper_bound", 511, "bytes"),
        ],
      },
    }),
    optional("key_metadata", 519, "bytes"),
  ],
};

function keyed<T>(items: readonly T[], key: (item: T) => number, value: (item: T) => AvroValue) {
  return items.map((item) => ({ key: key(item), value: value(item) }));
}

/** The `data_file` of a descriptor; `location` is the table's. */
function dataFile(file: FileDescriptor, shape: TableShape, location: string): AvroRecord {
  const id = (column: FileDescriptor["columns"][number]): number => column.fieldId;
  const bound = (end: "low" | "high") =>
    file.columns.flatMap((column) => {
      const text = column[end];
      return text === null ? [] : [{ key: column.fieldId, value: Buffer.from(text, "base64") }];
    });
  return {
    content: 0,
    file_path: `${location}/${file.path}`,
    file_format: "PARQUET",
    partition: shape.dayColumn === null ? {} : { [partitionName(shape.dayColumn)]: file.day },
    record_count: file.rowCount,
    file_size_in_bytes: file.bytes,
    column_sizes: keyed(file.columns, id, (column) => column.bytes),
    value_counts: keyed(file.columns, id, (column) => column.valueCount),
    null_value_counts: keyed(file.columns, id, (column) => column.nullCount),
    nan_value_counts: file.columns.flatMap((column) =>
      column.nanCount === null ? [] : [{ key: column.fieldId, value: column.nanCount }],
    ),
    lower_bounds: bound("low"),
    upper_bounds: bound("high"),
    key_metadata: null,
    split_offsets: file.splitOffsets,
    equality_ids: null,
    sort_order_id: null,
  };
}

/** A new manifest: its bytes, and its line in the manifest list once its path is known. */
export interface NewManifest {
  readonly bytes: Uint8Array;
  readonly line: AvroRecord;
}

/** Identity of the commit that writes a manifest. */
export interface CommitIds {
  readonly snapshotId: number;
  readonly sequenceNumber: number;
}

/** A manifest of files that a commit adds. */
export function addedManifest(
  files: readonly FileDescriptor[],
  table: { readonly shape: TableShape; readonly location: string },
  ids: CommitIds,
): NewManifest {
  const entries = files.map((file) => ({
    status: STATUS_ADDED,
    snapshot_id: ids.snapshotId,
    sequence_number: null,
    file_sequence_number: null,
    data_file: dataFile(file, table.shape, table.location),
  }));
  return manifest(entries, table.shape, { ...ids, minSequenceNumber: ids.sequenceNumber });
}

/** One manifest with the live entries of several, each with its line in the list, from which null numbers are inherited. */
export function mergedManifest(
  sources: readonly ManifestSource[],
  shape: TableShape,
  ids: CommitIds,
): NewManifest {
  const entries = sources.flatMap(liveEntries);
  const numbers = entries.map((entry) => Number(entry["sequence_number"]));
  return manifest(entries, shape, { ...ids, minSequenceNumber: Math.min(...numbers) });
}

/** A manifest as it is read: its line in the list, from which null numbers are inherited, and its bytes. */
export interface ManifestSource {
  readonly line: AvroRecord;
  readonly bytes: Uint8Array;
}

/** The entries of a manifest whose files are not deleted; numbers that it leaves to its line in the list are filled in. */
export function liveEntries({ line, bytes }: ManifestSource): AvroRecord[] {
  return readAvro(bytes)
    .records.filter((entry) => entry["status"] !== STATUS_DELETED)
    .map((entry) => ({
      ...entry,
      status: STATUS_EXISTING,
      snapshot_id: entry["snapshot_id"] ?? line["added_snapshot_id"] ?? null,
      sequence_number: entry["sequence_number"] ?? line["sequence_number"] ?? null,
      file_sequence_number: entry["file_sequence_number"] ?? line["sequence_number"] ?? null,
    }));
}

/** A manifest without some of its files: they are DELETED in it, by the snapshot of `ids`. */
export interface ReducedManifest extends NewManifest {
  /** `data_file` of those that were taken away. */
  readonly removed: readonly AvroRecord[];
}

/** Takes the files at `uris` out of a manifest; null when it has none of them. */
export function reducedManifest(
  source: ManifestSource,
  uris: ReadonlySet<string>,
  shape: TableShape,
  ids: CommitIds,
): ReducedManifest | null {
  const fileOf = (entry: AvroRecord): AvroRecord => entry["data_file"] as AvroRecord;
  const isRemoved = (entry: AvroRecord): boolean => {
    const path = fileOf(entry)["file_path"];
    return typeof path === "string" && uris.has(path);
  };
  const live = liveEntries(source);
  const removed = live.filter(isRemoved).map(fileOf);
  if (removed.length === 0) return null;
  const entries = live.map((entry) =>
    isRemoved(entry) ? { ...entry, status: STATUS_DELETED, snapshot_id: ids.snapshotId } : entry,
  );
  const numbers = entries.map((entry) => Number(entry["sequence_number"]));
  return {
    ...manifest(entries, shape, { ...ids, minSequenceNumber: Math.min(...numbers) }),
    removed,
  };
}

function manifest(
  entries: readonly AvroRecord[],
  shape: TableShape,
  ids: CommitIds & { readonly minSequenceNumber: number },
): NewManifest {
  const bytes = writeAvro(
    entrySchema(shape),
    {
      schema: printJson(schemaJson(shape.columns)),
      "schema-id": "0",
      "partition-spec": printJson(partitionFieldsJson(shape)),
      "partition-spec-id": "0",
      "format-version": "2",
      content: "data",
    },
    entries,
  );
  const count = (status: number): number =>
    entries.filter((entry) => entry["status"] === status).length;
  const rows = (status: number): number =>
    entries
      .filter((entry) => entry["status"] === status)
      .reduce((sum, entry) => sum + Number((entry["data_file"] as AvroRecord)["record_count"]), 0);
  const line = {
    manifest_length: bytes.length,
    partition_spec_id: 0,
    content: 0,
    sequence_number: ids.sequenceNumber,
    min_sequence_number: ids.minSequenceNumber,
    added_snapshot_id: ids.snapshotId,
    added_files_count: count(STATUS_ADDED),
    existing_files_count: count(STATUS_EXISTING),
    deleted_files_count: count(STATUS_DELETED),
    added_rows_count: rows(STATUS_ADDED),
    existing_rows_count: rows(STATUS_EXISTING),
    deleted_rows_count: rows(STATUS_DELETED),
    partitions: partitionSummary(entries, shape),
    key_metadata: null,
  };
  return { bytes, line };
}

function partitionSummary(entries: readonly AvroRecord[], shape: TableShape): AvroValue {
  const { dayColumn } = shape;
  if (dayColumn === null) return [];
  const days = entries.map((entry) => {
    const partition = (entry["data_file"] as AvroRecord)["partition"] as AvroRecord;
    return Number(partition[partitionName(dayColumn)]);
  });
  const encode = (day: number): Uint8Array => {
    const out = Buffer.alloc(4);
    out.writeInt32LE(day);
    return out;
  };
  return [
    {
      contains_null: false,
      contains_nan: false,
      lower_bound: encode(days.reduce((a, b) => Math.min(a, b))),
      upper_bound: encode(days.reduce((a, b) => Math.max(a, b))),
    },
  ];
}

/** A manifest list of a snapshot. */
export function writeManifestList(
  lines: readonly AvroRecord[],
  ids: CommitIds & { readonly parentId: string | null },
): Uint8Array {
  return writeAvro(
    LIST_SCHEMA,
    {
      "snapshot-id": String(ids.snapshotId),
      "parent-snapshot-id": ids.parentId ?? "null",
      "sequence-number": String(ids.sequenceNumber),
      "format-version": "2",
    },
    lines,
  );
}
