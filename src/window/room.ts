// Who has to stop when there is no room: what counts as a view's state, the bound of a view and its rollups, and the room that a record needs. Depends
// on records and state alone, not on where closed windows lie.
import { FOLD_PAGE_BYTES } from "../../kernels/abi.ts";
import type { FoldKernels } from "../../kernels/fold.ts";
import { CLOSED_WINDOWS } from "../limits.ts";
import type { EventsRecord } from "../log/record.ts";
import type { Fold } from "./fold.ts";
import type { PageMeter } from "./page-meter.ts";
import type { Spill } from "./spill.ts";

/** Pages that one event may take in a view: a window, its first bucket and a page of rows, text or sketch. */
const ROW_PAGES_MAX = 3;
/** Pages for what grows by the record: lists of windows, directories, nodes over panes. */
const SPARE_PAGES = 1024;

/** A view that has to stop, and why. */
export interface Stop {
  readonly view: string;
  readonly reason: string;
  /** Its bound, with which it keeps its state; null: it gives it back. */
  readonly boundBytes: number | null;
}

interface RoomParts {
  readonly call: FoldKernels;
  readonly meter: PageMeter;
  readonly spill: Spill;
}

export class Room {
  readonly #call: FoldKernels;
  readonly #meter: PageMeter;
  readonly #spill: Spill;
  readonly #views: ReadonlyMap<string, Fold>;
  readonly #pagesMax: number;
  /** Pages that a view and its rollups may have together. */
  readonly #bounds = new Map<string, number>();

  /** `pagesMax`: of all views. */
  constructor(
    views: ReadonlyMap<string, Fold>,
    { call, meter, spill }: RoomParts,
    pagesMax: number,
  ) {
    this.#views = views;
    this.#call = call;
    this.#meter = meter;
    this.#spill = spill;
    this.#pagesMax = pagesMax;
  }

  /** Bounds a view and the rollups over it; null = as long as all views have room. */
  bind(view: string, bytesMax: number | null): void {
    this.#bounds.set(view, (bytesMax ?? Infinity) / FOLD_PAGE_BYTES);
  }

  /** Pages of a view that count: without closed windows where these can leave. */
  pagesOf({ plan, openPages }: Fold): number {
    return (this.#spill.isOn ? openPages : null) ?? this.#meter.of(plan.name);
  }

  /** Pages that a view's closed windows may have beside what cannot leave. */
  closedPagesOf(name: string): number {
    const view = this.#views.get(name);
    if (view === undefined) return 0;
    const bottom = this.#bottomOf(view);
    return (this.#bounds.get(bottom) ?? Infinity) - this.#familyPages(bottom);
  }

  /** A view that with its rollups is beyond its bound: it keeps what it has. Null: it is not. */
  beyondBound(name: string): Stop | null {
    const pagesMax = this.#bounds.get(name) ?? Infinity;
    if (pagesMax === Infinity || this.#familyPages(name) <= pagesMax) return null;
    const whose = this.#family(name).length === 1 ? "its state is" : "it and its rollups are";
    return {
      view: name,
      reason: `${whose} larger than the bound, ${sizeText(pagesMax)}`,
      boundBytes: pagesMax * FOLD_PAGE_BYTES,
    };
  }

  /** The largest view when a record might not fit; null: it fits. */
  withoutRoom(record: EventsRecord): Stop | null {
    const need =
      record.rowCount * ROW_PAGES_MAX +
      Math.ceil((record.image.byteLength * 2) / FOLD_PAGE_BYTES) +
      SPARE_PAGES;
    // as a rule there is room for everything, closed windows too, and nobody has to be counted
    const most = this.#call.pagesUsed() + CLOSED_WINDOWS.pagesReserved;
    if (most + need <= this.#pagesMax || this.#taken() + need <= this.#pagesMax) return null;
    const largest = this.#largest([...this.#views.values()]);
    const pages = this.pagesOf(largest);
    if (pages === 0) return null;
    const reason = `views have no more room, and its state is the largest, ${sizeText(pages)}`;
    return { view: largest.plan.name, reason, boundBytes: null };
  }

  /** Pages that count, and where closed windows can leave a fixed number for them. */
  #taken(): number {
    let pages = 0;
    let reserved = 0;
    for (const view of this.#views.values()) {
      pages += this.pagesOf(view);
      if (this.#spill.isOn && view.openPages !== null) reserved = CLOSED_WINDOWS.pagesReserved;
    }
    return pages + reserved;
  }

  #bottomOf({ plan }: Fold): string {
    const below = plan.rollupOf === null ? undefined : this.#views.get(plan.rollupOf);
    return below === undefined ? plan.name : this.#bottomOf(below);
  }

  /** A view and the rollups over it. */
  #family(name: string): Fold[] {
    return [...this.#views.values()].filter((view) => this.#bottomOf(view) === name);
  }

  #familyPages(name: string): number {
    return this.#family(name).reduce((sum, view) => sum + this.pagesOf(view), 0);
  }

  #largest(views: readonly Fold[]): Fold {
    return views.reduce((a, b) => (this.pagesOf(b) > this.pagesOf(a) ? b : a));
  }
}

function sizeText(pages: number): string {
  const kilobytes = (pages * FOLD_PAGE_BYTES) / 1024;
  return kilobytes < 10_000 ? `${Math.round(kilobytes)} KB` : `${Math.round(kilobytes / 1024)} MB`;
}
