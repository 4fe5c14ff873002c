// Verbs: a stream's raw events as SQL has them -> the question for a page of them, and its answer -> records as the log had them. What a plan does not
// read is left out, and NULL.
import { must } from "../base/assert.ts";
import { buildImage, streamImageColumns, type Cell, type ImageColumn } from "../event/image.ts";
import type { EventSchema } from "../event/schema.ts";
import { PREVIEW_PAGE_ROWS } from "../limits.ts";
import { DEFAULT_PARTITION, type EventsRecord } from "../log/record.ts";
import { readOrdinals, type ViewPlan } from "../view/plan.ts";
import { quoteName } from "../view/render.ts";
import { askedCell, askedText } from "./relation.ts";

/** Rows of one question; every value a text or null. `after`: the log position that the answer must see. */
export type Ask = (sql: string, after?: number) => Promise<readonly (readonly unknown[])[]>;

/** A place in the log: position and index as SQL gives them. */
type Place = readonly [string, string];

/** The rows of one record, in its order. */
export interface PastRecord {
  readonly position: number;
  readonly receivedAtUs: number;
  readonly rowCount: number;
  readonly image: Uint8Array;
  /** The lowest event time + `_behind` of its events, µs: what the watermark before one of them was not beyond. */
  readonly lowestUs: bigint;
  /** The highest event time + `_behind` of those that were behind, µs: what the watermark had reached; null: none was. */
  readonly reachedUs: bigint | null;
}

/** A row of an answer, as the stream's image has it. */
export interface PastRow {
  readonly cells: Cell[];
  readonly receivedAtUs: number;
  readonly position: string;
}

/** Which events are read. */
export interface PastSelection {
  /** SQL conditions, all of which hold for them. */
  readonly conditions: readonly string[];
  /** None of them is late: it was decided before which ones count. */
  readonly isInTime?: boolean;
  /** Of a page. */
  readonly rowsMax?: number;
}

export class PastRows {
  readonly #stream: string;
  readonly #schema: EventSchema;
  /** Of the stream's image. */
  readonly #columns: readonly PastColumn[];

  /** What `plan` reads, and rollups over it. */
  constructor(plan: ViewPlan, schema: EventSchema) {
    this.#stream = plan.stream;
    this.#schema = schema;
    this.#columns = pastColumns(plan, schema);
  }

  /** Pages of events, in the log's order. Rejects as `ask` does. */
  async *pages(
    ask: Ask,
    { conditions, isInTime = false, rowsMax = PREVIEW_PAGE_ROWS }: PastSelection,
  ): AsyncGenerator<PastPage> {
    let after: Place | null = null;
    for (;;) {
      const rows = await ask(this.#pageText({ conditions, after, rowsMax }));
      const last = rows.at(-1);
      const isLast = last === undefined || rows.length < rowsMax;
      yield { rows: rows.map((row) => this.#row(row, isInTime)), isLast };
      if (isLast) return;
      after = [String(last.at(-2)), String(last.at(-1))];
    }
  }

  /** Records of rows, one for each of the log's. */
  records(rows: readonly PastRow[]): PastRecord[] {
    const records: PastRecord[] = [];
    for (let from = 0; from < rows.length;) {
      const { position } = must(rows[from], "row");
      let to = from + 1;
      while (rows[to]?.position === position) to++;
      records.push(this.#record(rows.slice(from, to)));
      from = to;
    }
    return records;
  }

  /** A record as views take it. */
  eventsRecord(
    { receivedAtUs, rowCount, image }: PastRecord,
    at: { readonly position: number; readonly watermarkUs: bigint | null },
  ): EventsRecord {
    return {
      kind: "events",
      ...at,
      stream: this.#stream,
      partition: DEFAULT_PARTITION,
      schemaId: this.#schema.id,
      receivedAtUs,
      rowCount,
      duplicateCount: 0,
      rejects: [],
      image,
    };
  }

  #record(rows: readonly PastRow[]): PastRecord {
    const { position, receivedAtUs } = must(rows[0], "row");
    const behindAt = this.#columns.length - 1;
    const { eventTime } = this.#schema;
    let lowestUs = BigInt(receivedAtUs);
    let reachedUs: bigint | null = null;
    // events that are in order of their receipt are never behind
    if (eventTime !== null)
      for (const [index, { cells }] of rows.entries()) {
        const [time, behind] = [cells[eventTime], cells[behindAt]];
        if (typeof time !== "bigint" || typeof behind !== "bigint") continue;
        const passedUs = time + behind;
        if (index === 0 || passedUs < lowestUs) lowestUs = passedUs;
        if (behind > 0n && (reachedUs === null || passedUs > reachedUs)) reachedUs = passedUs;
      }
    const cells = rows.map((row) => row.cells);
    const image = buildImage(this.#columns, cells);
    const rowCount = rows.length;
    return { position: Number(position), receivedAtUs, rowCount, image, lowestUs, reachedUs };
  }

  #row(row: readonly unknown[], isInTime: boolean): PastRow {
    let at = 0;
    const cells = this.#columns.map((column) =>
      column.isRead ? askedCell(row[at++], column) : null,
    );
    if (isInTime) cells[cells.length - 1] = 0n;
    const [receivedAt, position] = row.slice(at).map(String);
    return { cells, receivedAtUs: Number(receivedAt), position: must(position, "position") };
  }

  /** The question for the next page: columns that are read, received_at, _position, _index, each as text. */
  #pageText(page: {
    readonly conditions: readonly string[];
    readonly after: Place | null;
    readonly rowsMax: number;
  }): string {
    const { conditions, after, rowsMax } = page;
    const items = [
      ...this.#columns.filter(({ isRead }) => isRead).map(askedText),
      askedText({ name: "received_at", type: { kind: "TIMESTAMPTZ" } }),
      "CAST(_position AS VARCHAR)",
      "CAST(_index AS VARCHAR)",
    ];
    const all = [...conditions];
    if (after !== null) {
      const [position, index] = after;
      all.push(`(_position > ${position} OR (_position = ${position} AND _index > ${index}))`);
    }
    const where = all.length === 0 ? "" : ` WHERE ${all.join(" AND ")}`;
    return `SELECT ${items.join(", ")} FROM ${quoteName(this.#stream)}${where} ORDER BY _position, _index LIMIT ${rowsMax}`;
  }
}

/** Rows in the log's order; the last record of a page that is not the last one may go on in the next. */
export interface PastPage {
  readonly rows: readonly PastRow[];
  readonly isLast: boolean;
}

/** A column of the stream's image, and whether a view reads it. */
interface PastColumn extends ImageColumn {
  readonly isRead: boolean;
}

/** What the view reads, the event time and `_behind`; rollups read no more than the view below them. */
function pastColumns(plan: ViewPlan, schema: EventSchema): PastColumn[] {
  const columns = streamImageColumns(schema);
  const read = new Set([...readOrdinals(plan), columns.length - 1]);
  if (schema.eventTime !== null) read.add(schema.eventTime);
  return columns.map((column, ordinal) => {
    const isRead = read.has(ordinal);
    return { ...column, nullable: column.nullable || !isRead, isRead };
  });
}
