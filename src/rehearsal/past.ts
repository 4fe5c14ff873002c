// Noun: a view over events of the past: raw rows as SQL gives them, folded by the kernels as they were admitted. `_behind` is theirs, so
// what was late then is late here.
import { instantiate } from "../../kernels/host.ts";
import type { FoldKernels } from "../../kernels/fold.ts";
import { must } from "../base/assert.ts";
import { buildImage, streamImageColumns, type Cell, type ImageColumn } from "../event/image.ts";
import { eventTimeName, type EventSchema } from "../event/schema.ts";
import { FOLD_MEMORY_BYTES_MAX, FOLD_PAGES_MAX, PREVIEW_PAGE_ROWS } from "../limits.ts";
import { DEFAULT_PARTITION } from "../log/record.ts";
import { readOrdinals, type ViewPlan } from "../view/plan.ts";
import { quoteName, quoteText } from "../view/render.ts";
import type { ViewCounts } from "../window/fold.ts";
import { Windows } from "../window/windows.ts";
import { isoTime } from "../base/iso-time.ts";
import { keyColumns, lastRows, refuseStopped, rowColumns } from "./last-rows.ts";
import { askedCell, askedText, type Relation } from "./relation.ts";

/** Events whose time is in [fromUs, toUs), or all. */
export interface PastRange {
  readonly fromUs: bigint;
  readonly toUs: bigint;
}

/** Which events are read: those of a range, for which every one of these SQL conditions holds. */
export interface PastEvents {
  readonly range: PastRange | null;
  readonly where?: readonly string[];
  /** None of them is late: it was decided before which ones count. */
  readonly isInTime?: boolean;
}

/** Rows of one question; every value a text or null. */
export type Ask = (sql: string) => Promise<readonly (readonly unknown[])[]>;

export class Past {
  readonly #windows: Windows;
  readonly #plan: ViewPlan;
  readonly #schema: EventSchema;
  /** Of the stream's image; those that no view reads are not asked for, and NULL. */
  readonly #columns: readonly PastColumn[];
  #position = 0;
  #watermarkUs: bigint | null = null;

  /** `plans`: the view, behind those that it is a rollup of. `pagesMax`: of their state. */
  constructor(
    foldModule: Uint8Array,
    plans: readonly ViewPlan[],
    schema: EventSchema,
    pagesMax: number = FOLD_PAGES_MAX,
  ) {
    const fold = instantiate<FoldKernels>(foldModule, FOLD_MEMORY_BYTES_MAX);
    this.#windows = new Windows(fold, pagesMax);
    for (const plan of plans) this.#windows.addView(plan, schema, { since: 0 });
    this.#plan = must(plans.at(-1), "a view");
    this.#schema = schema;
    this.#columns = pastColumns(this.#plan, schema);
  }

  /**
   * Reads the stream's events of the range in the log's order, page by page, and folds them. Rejects as `ask` does, and with NoRoomError
   * when there is no room for their state.
   */
  async read(ask: Ask, events: PastEvents): Promise<void> {
    let after: readonly [string, string] | null = null;
    for (;;) {
      const rows = await ask(this.#pageText({ ...events, after }));
      this.#fold(rows.map((row) => this.#cells(row, events.isInTime === true)));
      refuseStopped(this.#windows);
      const last = rows.at(-1);
      if (last === undefined || rows.length < PREVIEW_PAGE_ROWS) return;
      const [index, position] = [last.at(-1), last.at(-2)];
      after = [String(position), String(index)];
    }
  }

  get counts(): Readonly<ViewCounts> {
    return must(
      this.#windows.stats().find(({ view }) => view === this.#plan.name),
      "the view",
    ).counts;
  }

  /** The last state of every row of a view that is kept, of the view itself unless it is one below. */
  rows(plan: ViewPlan = this.#plan, keep?: (row: readonly Cell[]) => boolean): Relation {
    const { name } = plan;
    const rows = lastRows(plan, this.#windows.pending(name), this.#windows, keep);
    return { name, columns: rowColumns(plan), keys: keyColumns(plan), rows };
  }

  #cells(
    row: readonly unknown[],
    isInTime: boolean,
  ): {
    readonly cells: Cell[];
    readonly receivedAtUs: number;
    readonly position: string;
  } {
    let at = 0;
    const cells = this.#columns.map((column) =>
      column.isRead ? askedCell(row[at++], column) : null,
    );
    if (isInTime) cells[cells.length - 1] = 0n;
    const [receivedAt, position] = row.slice(at).map(String);
    return { cells, receivedAtUs: Number(receivedAt), position: must(position, "position") };
  }

  /**
   * One record for each of the log's. The watermark is what `_behind` tells of it, which is all that decides: an event that is not behind
   * touches nothing that the watermark has passed.
   */
  #fold(
    rows: readonly {
      readonly cells: Cell[];
      readonly receivedAtUs: number;
      readonly position: string;
    }[],
  ): void {
    const columns = this.#columns;
    const behind = columns.length - 1;
    for (let from = 0; from < rows.length;) {
      const first = must(rows[from], "row");
      let to = from + 1;
      while (rows[to]?.position === first.position) to++;
      const cells = rows.slice(from, to).map((row) => row.cells);
      const { eventTime } = this.#schema;
      // Events that are in order of their receipt are never behind.
      if (eventTime !== null) for (const row of cells) this.#passed(row[eventTime], row[behind]);
      this.#position++;
      this.#windows.fold({
        kind: "events",
        position: this.#position,
        stream: this.#plan.stream,
        partition: DEFAULT_PARTITION,
        schemaId: this.#schema.id,
        receivedAtUs: first.receivedAtUs,
        watermarkUs: this.#watermarkUs,
        rowCount: cells.length,
        duplicateCount: 0,
        rejects: [],
        image: buildImage(columns, cells),
      });
      from = to;
    }
  }

  #passed(time: Cell | undefined, behind: Cell | undefined): void {
    if (typeof time !== "bigint" || typeof behind !== "bigint" || behind === 0n) return;
    const watermarkUs = time + behind;
    if (this.#watermarkUs === null || watermarkUs > this.#watermarkUs)
      this.#watermarkUs = watermarkUs;
  }

  /** The question for the next page: columns that are read, received_at, _position, _index, each as text. */
  #pageText(page: PastEvents & { readonly after: readonly [string, string] | null }): string {
    const items = [
      ...this.#columns.filter(({ isRead }) => isRead).map(askedText),
      askedText({ name: "received_at", type: { kind: "TIMESTAMPTZ" } }),
      "CAST(_position AS VARCHAR)",
      "CAST(_index AS VARCHAR)",
    ];
    const conditions = [...(page.where ?? [])];
    if (page.range !== null) {
      const time = quoteName(eventTimeName(this.#schema));
      const at = (us: bigint): string => `TIMESTAMPTZ ${quoteText(isoTime(us))}`;
      conditions.push(`${time} >= ${at(page.range.fromUs)}`, `${time} < ${at(page.range.toUs)}`);
    }
    if (page.after !== null) {
      const [position, index] = page.after;
      conditions.push(
        `(_position > ${position} OR (_position = ${position} AND _index > ${index}))`,
      );
    }
    const where = conditions.length === 0 ? "" : ` WHERE ${conditions.join(" AND ")}`;
    return `SELECT ${items.join(", ")} FROM ${quoteName(this.#plan.stream)}${where} ORDER BY _position, _index LIMIT ${PREVIEW_PAGE_ROWS}`;
  }
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
