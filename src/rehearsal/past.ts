// Noun: a view over events of the past: raw rows as SQL gives them, folded by the kernels as they were admitted. `_behind` is theirs, so
// what was late then is late here.
import { instantiate } from "../../kernels/host.ts";
import type { FoldKernels } from "../../kernels/fold.ts";
import { must } from "../base/assert.ts";
import { eventTimeName, type EventSchema } from "../event/schema.ts";
import { FOLD_MEMORY_BYTES_MAX, FOLD_PAGES_MAX } from "../limits.ts";
import type { ViewPlan } from "../view/plan.ts";
import { quoteName, quoteText } from "../view/render.ts";
import type { Cell } from "../event/image.ts";
import type { ViewCounts } from "../window/fold.ts";
import { Windows } from "../window/windows.ts";
import { isoTime } from "../base/iso-time.ts";
import { keyColumns, lastRows, refuseStopped, rowColumns } from "./last-rows.ts";
import { PastRows, type Ask, type PastRecord } from "./past-rows.ts";
import type { Relation } from "./relation.ts";

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

export class Past {
  readonly #windows: Windows;
  readonly #plan: ViewPlan;
  readonly #schema: EventSchema;
  readonly #rows: PastRows;
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
    this.#rows = new PastRows(this.#plan, schema);
  }

  /**
   * Reads the stream's events of the range in the log's order, page by page, and folds them. Rejects as `ask` does, and with NoRoomError
   * when there is no room for their state.
   */
  async read(ask: Ask, events: PastEvents): Promise<void> {
    const { isInTime = false } = events;
    const pages = this.#rows.pages(ask, { conditions: this.#conditions(events), isInTime });
    for await (const { rows } of pages) {
      for (const record of this.#rows.records(rows)) this.#fold(record);
      refuseStopped(this.#windows);
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

  /**
   * One record for each of the log's, or a part of it. The watermark is what `_behind` tells of it, which is all that decides: an event that is not
   * behind touches nothing that the watermark has passed.
   */
  #fold(record: PastRecord): void {
    const { reachedUs } = record;
    if (reachedUs !== null && (this.#watermarkUs === null || reachedUs > this.#watermarkUs))
      this.#watermarkUs = reachedUs;
    this.#position++;
    const at = { position: this.#position, watermarkUs: this.#watermarkUs };
    this.#windows.fold(this.#rows.eventsRecord(record, at));
  }

  #conditions({ range, where }: PastEvents): string[] {
    const conditions = [...(where ?? [])];
    if (range === null) return conditions;
    const time = quoteName(eventTimeName(this.#schema));
    const at = (us: bigint): string => `TIMESTAMPTZ ${quoteText(isoTime(us))}`;
    return [...conditions, `${time} >= ${at(range.fromUs)}`, `${time} < ${at(range.toUs)}`];
  }
}
