// Verb (pure): a pin and the names that a question uses -> views of DuckDB and the scans behind them. Committed files and what lies
// beyond them become one relation. Owns the SQL of relations and the columns of the system ones.
import { must } from "../base/assert.ts";
import { sqlTypeText } from "../event/schema.ts";
import { deadLetterTable, lateTable, type TableSpec } from "../table/shapes.ts";
import { quoteName, quoteText } from "../view/render.ts";
import type { ImageColumnSource, ImageScanColumn } from "./image-scan.ts";
import type {
  InlineRelation,
  Pin,
  PinnedFiles,
  PinnedRange,
  PinnedStream,
  PinnedView,
} from "./pin.ts";

/** The table function that reads scans: `millrace_scan(<index of the scan>)`. Questions may not call it. */
export const SCAN_FUNCTION = "millrace_scan";

/** The schema of system relations. */
export const SYSTEM_SCHEMA = "millrace";

export const LATE_EVENTS = `${SYSTEM_SCHEMA}.late_events`;
export const VIEW_ERRORS = `${SYSTEM_SCHEMA}.view_errors`;

/** What a scan reads: the log's tail of a stream, images of a view, of late events, or the tail's rejects. */
export type ScanOf =
  | { readonly kind: "stream"; readonly stream: string; readonly after: number }
  | { readonly kind: "images"; readonly images: readonly PinnedImage[] }
  | { readonly kind: "rejects"; readonly after: number };

/** An image on disk, and values that its rows share: the view, or of a change what it is and its number. */
export interface PinnedImage {
  readonly path: string;
  readonly fixed: readonly (bigint | string)[];
}

export interface PlannedScan {
  /** Name of the relation that it is part of, in lower case. */
  readonly relation: string;
  readonly columns: readonly ImageScanColumn[];
  readonly of: ScanOf;
}

/** `CREATE VIEW <qualifiedName> AS <sql>`. */
export interface PlannedRelation {
  readonly qualifiedName: string;
  readonly sql: string;
}

export interface RelationPlan {
  readonly relations: readonly PlannedRelation[];
  readonly scans: readonly PlannedScan[];
}

/** `read_parquet` by field id: files of older schemas give NULL for columns that they lack. */
function filesSelect(files: PinnedFiles, upTo: number | null): string {
  const names = files.columns.map(({ name }) => quoteName(name)).join(", ");
  const schema = files.columns.map(
    ({ name, type, fieldId }) =>
      `${fieldId}: {name: ${quoteText(name)}, type: ${quoteText(sqlTypeText(type))}, default_value: NULL}`,
  );
  const paths = files.files.map(quoteText).join(", ");
  const cut = upTo === null ? "" : ` WHERE _position <= ${upTo}`;
  return `SELECT ${names} FROM read_parquet([${paths}], schema = MAP {${schema.join(", ")}})${cut}`;
}

function emptySelect(columns: PinnedFiles["columns"]): string {
  const nulls = columns.map(
    ({ name, type }) => `CAST(NULL AS ${sqlTypeText(type)}) AS ${quoteName(name)}`,
  );
  return `SELECT ${nulls.join(", ")} WHERE false`;
}

/** Builds the plan: scans are numbered as they are added. */
class Planner {
  readonly relations: PlannedRelation[] = [];
  readonly scans: PlannedScan[] = [];

  /** The union of files and a scan, whichever there are. */
  union(files: PinnedFiles, upTo: number | null, scan: PlannedScan | null): string {
    const parts: string[] = [];
    if (files.files.length > 0) parts.push(filesSelect(files, upTo));
    if (scan !== null) {
      const names = files.columns.map(({ name }) => quoteName(name)).join(", ");
      parts.push(`SELECT ${names} FROM ${this.scan(scan)}`);
    }
    return parts.length === 0 ? emptySelect(files.columns) : parts.join(" UNION ALL ");
  }

  /** The call that reads a scan. */
  scan(scan: PlannedScan): string {
    this.scans.push(scan);
    return `${SCAN_FUNCTION}(${this.scans.length - 1})`;
  }

  add(qualifiedName: string, sql: string): void {
    this.relations.push({ qualifiedName, sql });
  }
}

function columnsFrom(
  files: PinnedFiles,
  sourceOf: (name: string, ordinal: number) => ImageColumnSource,
): ImageScanColumn[] {
  return files.columns.map(({ name, type }, ordinal) => ({
    name,
    type,
    source: sourceOf(name, ordinal),
  }));
}

/** Columns of a stream's batch images in order, then those that the record gives. */
function streamSource(name: string, ordinal: number): ImageColumnSource {
  if (name === "received_at") return { from: "fixed", index: 0 };
  if (name === "_position") return { from: "fixed", index: 1 };
  return name === "_index" ? { from: "ordinal" } : { from: "image", ordinal };
}

function planStream(planner: Planner, pin: Pin, stream: PinnedStream): void {
  const events = eventsOf(planner, pin, { ...stream, relation: stream.stream.toLowerCase() });
  planner.add(quoteName(stream.stream), events);
}

/** All events of a stream, for a relation. */
function eventsOf(
  planner: Planner,
  pin: Pin,
  stream: PinnedStream & { readonly relation: string },
): string {
  const { raw, coveredPosition, relation } = stream;
  const scan: PlannedScan | null =
    pin.position <= coveredPosition
      ? null
      : {
          relation,
          columns: columnsFrom(raw, streamSource),
          of: { kind: "stream", stream: stream.stream, after: coveredPosition },
        };
  return planner.union(raw, coveredPosition > pin.position ? pin.position : null, scan);
}

function planView(planner: Planner, view: PinnedView): void {
  const images = view.images.map((path) => ({ path, fixed: [] }));
  const scan: PlannedScan | null =
    images.length === 0
      ? null
      : {
          relation: view.view.toLowerCase(),
          columns: columnsFrom(view.rows, (_, ordinal) => ({ from: "image", ordinal })),
          of: { kind: "images", images },
        };
  const outputs = view.rows.columns
    .filter(({ name }) => name !== "revision")
    .map(({ name }) => quoteName(name));
  const columns = [...outputs, `${finalityOf(view)} AS is_final`, "revision"].join(", ");
  planner.add(
    quoteName(view.view),
    `SELECT ${columns} FROM (${view.changes.length === 0 ? planner.union(view.rows, null, scan) : changedRows(planner, view, scan)})`,
  );
}

/** Names of the columns that a scan of changes has beside the view's. */
const OP = quoteName("_millrace_op");
const ORDINAL = quoteName("_millrace_ordinal");

/** Rows of files that nothing beyond the ledger changes, the last word on each key beyond it, and open windows. */
function changedRows(planner: Planner, view: PinnedView, open: PlannedScan | null): string {
  const names = view.rows.columns.map(({ name }) => quoteName(name)).join(", ");
  const keys = view.keys.map(quoteName);
  const parts: string[] = [];
  if (view.rows.files.length > 0) {
    const same = keys.map((key) => `change.${key} IS NOT DISTINCT FROM stored.${key}`);
    parts.push(
      `SELECT ${names} FROM (${filesSelect(view.rows, null)}) AS stored WHERE NOT EXISTS (SELECT 1 FROM ` +
        `${planner.scan(changeScan(view))} AS change WHERE ${[`${OP} <> 'append'`, ...same].join(" AND ")})`,
    );
  }
  parts.push(
    `SELECT ${names} FROM (SELECT * FROM ${planner.scan(changeScan(view))} ` +
      `QUALIFY row_number() OVER (PARTITION BY ${keys.join(", ")} ORDER BY ${ORDINAL} DESC) = 1) WHERE ${OP} <> 'delete'`,
  );
  if (open !== null) parts.push(`SELECT ${names} FROM ${planner.scan(open)}`);
  return parts.join(" UNION ALL ");
}

function changeScan({ rows, changes }: PinnedView): PlannedScan {
  return {
    // of no relation: a question's texts must not pass over a change that says that a row is gone
    relation: "",
    columns: [
      ...columnsFrom(rows, (_, ordinal) => ({ from: "image", ordinal })),
      { name: "_millrace_op", type: { kind: "VARCHAR" }, source: { from: "fixed", index: 0 } },
      { name: "_millrace_ordinal", type: { kind: "BIGINT" }, source: { from: "fixed", index: 1 } },
    ],
    of: {
      kind: "images",
      images: changes.map(({ path, op }, ordinal) => ({ path, fixed: [op, BigInt(ordinal)] })),
    },
  };
}

/** final: the watermark at the pinned position has passed the window's end and the allowed lateness. */
function finalityOf({ finality, watermarkUs }: PinnedView): string {
  if (finality === null) return "CAST(NULL AS BOOLEAN)";
  if (finality === "always") return "true";
  if (watermarkUs === null) return "false";
  return `(epoch_us(${quoteName(finality.column)}) + ${finality.addUs} <= ${BigInt(watermarkUs)})`;
}

/** Sources of a system table's columns, by name, as the table's own (table/shapes.ts) for its images and constants. */
function sourcesOf(table: TableSpec): (name: string) => ImageColumnSource {
  return (name) => {
    const { source } = must(
      table.columns.find((column) => column.name === name),
      `column ${name} of ${table.name}`,
    );
    if (source.from === "image") return source;
    return source.from === "index" ? { from: "ordinal" } : { from: "fixed", index: source.index };
  };
}

function planLateEvents(planner: Planner, pin: Pin): void {
  const { files, images } = pin.lateEvents;
  const relation = LATE_EVENTS;
  const scan: PlannedScan | null =
    images.length === 0
      ? null
      : {
          relation,
          columns: columnsFrom(files, sourcesOf(lateTable())),
          of: {
            kind: "images",
            images: images.map(({ path, view }) => ({ path, fixed: [view] })),
          },
        };
  const events = planner.union(files, null, scan);
  planner.add(
    relation,
    `SELECT *, ${reconciledText(pin.lateEvents.reconciled)} AS reconciled FROM (${events})`,
  );
}

/** Events that views counted as failed, from the streams' own rows. */
function planViewErrors(planner: Planner, pin: Pin): void {
  const selects = pin.viewErrors.map((failures) => {
    const { view, operation, isCounted, hasSessions, after, upTo } = failures;
    const stream = must(
      pin.streams.find((one) => one.stream === failures.stream),
      "a pinned stream",
    );
    // of no relation: conditions of the question are on other columns
    const events = eventsOf(planner, pin, { ...stream, relation: "" });
    const place = `_position > ${after}${upTo === null ? "" : ` AND _position <= ${upTo}`}`;
    const late = `SELECT 1 FROM ${LATE_EVENTS} late WHERE late.view = ${quoteText(view)} AND late._position = event._position AND late._index = event._index`;
    const inTime = hasSessions ? ` AND NOT EXISTS (${late})` : "";
    return (
      `SELECT ${quoteText(view)} AS view, ${quoteName(failures.eventTime)} AS event_time, operation, _position, _index, received_at FROM ` +
      `(SELECT *, ${operation} AS operation FROM (${events}) WHERE ${place} AND ${isCounted}) event WHERE operation IS NOT NULL${inTime}`
    );
  });
  planner.add(VIEW_ERRORS, selects.length === 0 ? NO_VIEW_ERRORS : selects.join(" UNION ALL "));
}

const NO_VIEW_ERRORS = `SELECT CAST(NULL AS VARCHAR) AS view, CAST(NULL AS TIMESTAMPTZ) AS event_time, CAST(NULL AS VARCHAR) AS operation, CAST(NULL AS BIGINT) AS _position, CAST(NULL AS INTEGER) AS _index, CAST(NULL AS TIMESTAMPTZ) AS received_at WHERE false`;

/** Whether all windows that an event came too late for were reconciled since: they may lie in several ranges. */
function reconciledText(ranges: readonly PinnedRange[]): string {
  const views = [...Map.groupBy(ranges, ({ view }) => view)].map(([view, of]) => {
    const { grid } = must(of[0], "a range");
    const isOf = `view = ${quoteText(view)}`;
    if (grid === null) return `(${isOf} AND (${of.map(timeText).join(" OR ")}))`;
    const { sizeUs, slideUs } = grid;
    const [first, last] = ["epoch_us(window_start)", `(epoch_us(window_end) - ${sizeUs})`];
    const within = of.map((range) => {
      const [from, to] = [BigInt(range.fromUs), BigInt(range.toUs)];
      const [least, most] = [`greatest(${from}, ${first})`, `least(${to - 1n}, ${last})`];
      // Windows that start in the range: from the first one at or after `least` to the last one at or before `most`.
      const count = `(${most} - ${first}) // ${slideUs} - (${least} - ${first} + ${slideUs - 1}) // ${slideUs} + 1`;
      return `CASE WHEN _position <= ${range.position} AND ${least} <= ${most} THEN ${count} ELSE 0 END`;
    });
    return `(${isOf} AND ${within.join(" + ")} = (${last} - ${first}) // ${slideUs} + 1)`;
  });
  return views.length === 0 ? "false" : `(${views.join(" OR ")})`;
}

/** Whether a range holds an event's own time. */
function timeText({ fromUs, toUs, position }: PinnedRange): string {
  const time = "epoch_us(event_time)";
  return `(_position <= ${position} AND ${time} >= ${BigInt(fromUs)} AND ${time} < ${BigInt(toUs)})`;
}

function planDeadLetters(planner: Planner, pin: Pin): void {
  const { files, coveredPosition } = pin.deadLetters;
  const relation = `${SYSTEM_SCHEMA}.dead_letters`;
  const scan: PlannedScan | null =
    pin.position <= coveredPosition
      ? null
      : {
          relation,
          columns: columnsFrom(files, sourcesOf(deadLetterTable())),
          of: { kind: "rejects", after: coveredPosition },
        };
  const cut = coveredPosition > pin.position ? pin.position : null;
  planner.add(relation, planner.union(files, cut, scan));
}

/** BIGINT and times come as decimal text (µs). */
function inlineValue(value: string | number | boolean | null, type: string): string {
  if (value === null) return `CAST(NULL AS ${type})`;
  if (type.startsWith("TIMESTAMP")) return `CAST(make_timestamptz(${BigInt(value)}) AS ${type})`;
  return `CAST(${quoteText(String(value))} AS ${type})`;
}

function planInline(planner: Planner, { name, columns, rows }: InlineRelation): void {
  const values = (rows.length === 0 ? [[]] : rows).map(
    (row) =>
      `(${columns.map(({ type }, index) => inlineValue(row[index] ?? null, type)).join(", ")})`,
  );
  const names = columns.map((column) => quoteName(column.name)).join(", ");
  const none = rows.length === 0 ? " WHERE false" : "";
  planner.add(name, `SELECT * FROM (VALUES ${values.join(", ")}) AS t(${names})${none}`);
}

/** The relations of a pin that `names` lists ("clicks", "millrace.late_events"); names that the pin lacks are left to DuckDB. */
export function planRelations(pin: Pin, names: readonly string[]): RelationPlan {
  const wanted = new Set(names.map((name) => name.toLowerCase()));
  const wants = (name: string): boolean => wanted.has(name.toLowerCase());
  const planner = new Planner();
  for (const stream of pin.streams) if (wants(stream.stream)) planStream(planner, pin, stream);
  for (const view of pin.views) if (wants(view.view)) planView(planner, view);
  const wantsErrors = wants(VIEW_ERRORS);
  if (wantsErrors || wants(LATE_EVENTS)) planLateEvents(planner, pin);
  if (wantsErrors) planViewErrors(planner, pin);
  if (wants(`${SYSTEM_SCHEMA}.dead_letters`)) planDeadLetters(planner, pin);
  for (const relation of pin.inline) if (wants(relation.name)) planInline(planner, relation);
  return { relations: planner.relations, scans: planner.scans };
}
