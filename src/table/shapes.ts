// Nouns: which tables there are and their columns. Field ids: declared columns keep their own (1 to 9,999, counted up as schemas
// evolve), columns that Millrace adds have fixed ones above.
import { must } from "../base/assert.ts";
import {
  ADMISSION_COLUMNS,
  eventTimeName,
  IMAGE_EXTRA_COLUMNS,
  type Column,
  type EventSchema,
  type SqlType,
} from "../event/schema.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { ColumnSource, FileColumn } from "./chunk.ts";

/** A table: where it lies, its columns and their sources, and how it is parted. */
export interface TableSpec {
  readonly namespace: string;
  readonly name: string;
  readonly columns: readonly FileColumn[];
  /** The TIMESTAMPTZ column of the batch images whose day parts the table, or their received_at, or null. */
  readonly day: { readonly name: string; readonly ordinal: number | "received_at" } | null;
  /** Ordinals of the columns that tell a row from others, where rows change after they were put out: window and group keys. */
  readonly keys: readonly number[] | null;
}

/** `namespace.name`: the table's name in the ledger and in SQL. */
export function tableName(spec: { readonly namespace: string; readonly name: string }): string {
  return `${spec.namespace}.${spec.name}`;
}

/** Namespace of tables that all streams and views share. */
export const SYSTEM_NAMESPACE = "millrace";

/** Field ids of columns that Millrace adds, from here on. */
const ADDED_FIELD_ID = 10_001;

const TIMESTAMPTZ: SqlType = { kind: "TIMESTAMPTZ" };
const BIGINT: SqlType = { kind: "BIGINT" };
const INTEGER: SqlType = { kind: "INTEGER" };
const VARCHAR: SqlType = { kind: "VARCHAR" };

type Named = Pick<Column, "name" | "type" | "nullable">;

function fileColumn(column: Named, fieldId: number, source: ColumnSource): FileColumn {
  const { name, type, nullable } = column;
  return { name, type, nullable, fieldId, source };
}

/** Constants of a raw segment, in order: received_at, _position. */
const RAW_SOURCES: Readonly<Record<string, ColumnSource>> = {
  received_at: { from: "constant", index: 0 },
  _position: { from: "constant", index: 1 },
  _index: { from: "index" },
};

/** Name of the table of a stream's raw events, within its namespace. */
export function rawTableName(stream: string): string {
  return `${stream}_raw`;
}

/** `<stream>_raw`, the raw events of a stream: the columns of its batch images, then received_at, _position, _index; parted by the event time's day. */
export function rawTable(namespace: string, stream: string, schema: EventSchema): TableSpec {
  const declared = schema.columns.map((column, ordinal) =>
    fileColumn(column, column.fieldId, { from: "image", ordinal }),
  );
  const extra = IMAGE_EXTRA_COLUMNS.map((column, index) =>
    fileColumn(column, ADDED_FIELD_ID + index, { from: "image", ordinal: declared.length + index }),
  );
  const admission = ADMISSION_COLUMNS.map((column, index) =>
    fileColumn(
      column,
      ADDED_FIELD_ID + extra.length + index,
      must(RAW_SOURCES[column.name], "source of an admission column"),
    ),
  );
  return {
    namespace,
    name: rawTableName(stream),
    columns: [...declared, ...extra, ...admission],
    day: { name: eventTimeName(schema), ordinal: schema.eventTime ?? "received_at" },
    keys: null,
  };
}

/** The column whose day parts a view's table: window_start, or a projection's first required time that is a column of the stream; -1 = none. */
function dayOrdinal({ output }: ViewPlan): number {
  return output.findIndex(
    ({ source, type, nullable }) =>
      source.kind === "window_start" ||
      (source.kind === "expression" &&
        source.expr.op === "column" &&
        type.kind === "TIMESTAMPTZ" &&
        !nullable),
  );
}

/** Closed windows of a view, or rows of a projection: its output columns, then revision; parted by day (`dayOrdinal`). */
export function viewTable(namespace: string, plan: ViewPlan): TableSpec {
  const output = plan.output.map((column, ordinal) =>
    fileColumn(column, column.fieldId, { from: "image", ordinal }),
  );
  const revision = { name: "revision", type: BIGINT, nullable: false };
  const start = dayOrdinal(plan);
  const day = plan.output[start];
  return {
    namespace,
    name: plan.name,
    columns: [
      // a window's bounds are never null, whatever the plan says of the expression
      ...output.map((column, ordinal) =>
        ordinal === start ? { ...column, nullable: false } : column,
      ),
      fileColumn(revision, ADDED_FIELD_ID, { from: "image", ordinal: output.length }),
    ],
    day: day === undefined ? null : { name: day.name, ordinal: start },
    keys:
      // late events may correct rows of windows, and a reconcile may change them
      day !== undefined && plan.window !== null
        ? plan.output.flatMap(({ source }, ordinal) =>
            source.kind === "aggregate" ? [] : [ordinal],
          )
        : null,
  };
}

/** Late events of all views: the view, then the columns of a "late" output (src/window/output.ts); parted by the event time's day. */
export function lateTable(): TableSpec {
  const image: readonly Named[] = [
    { name: "event_time", type: TIMESTAMPTZ, nullable: false },
    { name: "window_start", type: TIMESTAMPTZ, nullable: false },
    { name: "window_end", type: TIMESTAMPTZ, nullable: false },
    { name: "behind", type: BIGINT, nullable: false },
    { name: "_position", type: BIGINT, nullable: false },
    { name: "_index", type: INTEGER, nullable: false },
    { name: "received_at", type: TIMESTAMPTZ, nullable: false },
  ];
  const view = { name: "view", type: VARCHAR, nullable: false };
  return {
    namespace: SYSTEM_NAMESPACE,
    name: "late_events",
    columns: [
      fileColumn(view, 1, { from: "constant", index: 0 }),
      ...image.map((column, ordinal) =>
        fileColumn(column, ordinal + 2, { from: "image", ordinal }),
      ),
    ],
    day: { name: "event_time", ordinal: 0 },
    keys: null,
  };
}

/**
 * Columns of a batch image of dead letters. The bytes as they came are in `raw` when they are UTF-8, else in `raw_base64`: every
 * reader has text, and nothing is lost.
 */
export const DEAD_LETTER_IMAGE: readonly Named[] = [
  { name: "received_at", type: TIMESTAMPTZ, nullable: false },
  { name: "_index", type: INTEGER, nullable: false },
  { name: "reason", type: VARCHAR, nullable: false },
  { name: "field", type: VARCHAR, nullable: true },
  { name: "message", type: VARCHAR, nullable: false },
  { name: "raw", type: VARCHAR, nullable: true },
  { name: "raw_base64", type: VARCHAR, nullable: true },
];

/**
 * Dead letters of all streams: stream, _position, _ordinal, then DEAD_LETTER_IMAGE. `_index` counts within the request, and requests
 * share records; `_ordinal` counts the rejects of the record, so _position and _ordinal are a key. Parted by receipt.
 */
export function deadLetterTable(): TableSpec {
  const stream = { name: "stream", type: VARCHAR, nullable: false };
  const position = { name: "_position", type: BIGINT, nullable: false };
  const inRecord = { name: "_ordinal", type: INTEGER, nullable: false };
  return {
    namespace: SYSTEM_NAMESPACE,
    name: "dead_letters",
    columns: [
      fileColumn(stream, 1, { from: "constant", index: 0 }),
      fileColumn(position, 2, { from: "constant", index: 1 }),
      fileColumn(inRecord, 3, { from: "index" }),
      ...DEAD_LETTER_IMAGE.map((column, ordinal) =>
        fileColumn(column, ordinal + 4, { from: "image", ordinal }),
      ),
    ],
    day: { name: "received_at", ordinal: 0 },
    keys: null,
  };
}
