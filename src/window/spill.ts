// Which closed windows of all views lie in pages, and which on disk: those that late events touched last stay, the others leave with the next
// checkpoint. Where a window lies changes no output: no decision about rows is made here.
import { CLOSED_WINDOWS } from "../limits.ts";
import type { ClosedPart, ClosedParts, ClosedWindow, DroppedParts } from "./closed-part.ts";
import type { PageMeter } from "./page-meter.ts";

/** A closed window in pages that may leave. */
export interface Leaving {
  readonly view: string;
  /** Higher: touched later. */
  readonly used: number;
  readonly pages: number;
  /** Only some of it came back. */
  readonly isPartial: boolean;
  /** Takes it out of the pages; gives its groups. */
  leave(): readonly ClosedPart[];
}

/** A list of closed windows. */
export interface Leavers {
  /** The view that pays for them. */
  readonly view: string;
  /** Pages of all that lie in pages, and of those among them that may leave. */
  readonly pages: number;
  readonly leavingPages: number;
  leaving(): Leaving[];
}

/** What a checkpoint says of closed windows outside of memory. */
export interface SpillChange {
  readonly closedParts: readonly ClosedPart[];
  readonly droppedParts: readonly DroppedParts[];
}

export interface SpillOptions {
  /** Where closed windows come back from; null: they never leave. */
  readonly disk: ClosedParts | null;
  /** Pages of closed windows that stay in memory; absent: CLOSED_WINDOWS.pagesKept. */
  readonly pagesKept?: number;
  /** Groups of a part, about; absent: CLOSED_WINDOWS.partGroups. */
  readonly partGroups?: number;
}

/** The list of the marks of a hop's closed windows; that of its panes has the view's name, as a view's tumbling windows have. */
export function marksOf(view: string): string {
  return `${view} marks`;
}

export class Spill {
  readonly #disk: ClosedParts | null;
  readonly #pagesKept: number;
  readonly #meter: PageMeter;
  readonly #partGroups: number;
  readonly #lists = new Map<string, Leavers>();
  /** Windows on disk, of lists that were not added yet. */
  #restored: readonly ClosedWindow[] = [];
  /** Parts of the last checkpoint, which may not be on disk yet: "view start part". */
  #underway = new Map<string, Uint8Array>();
  #dropped: DroppedParts[] = [];
  #clock = 0;

  constructor(options: SpillOptions, meter: PageMeter) {
    this.#disk = options.disk;
    this.#partGroups = options.partGroups ?? CLOSED_WINDOWS.partGroups;
    this.#pagesKept = options.pagesKept ?? CLOSED_WINDOWS.pagesKept;
    this.#meter = meter;
  }

  /** Whether closed windows leave memory. */
  get isOn(): boolean {
    return this.#disk !== null;
  }

  /** The bits of tags that cut a window of so many groups into parts. */
  bitsOf(groups: number): number {
    const parts = Math.max(1, groups / this.#partGroups);
    return Math.min(CLOSED_WINDOWS.bitsMax, Math.ceil(Math.log2(parts)));
  }

  /** Windows that a checkpoint found on disk. */
  restore(windows: readonly ClosedWindow[]): void {
    this.#restored = windows;
  }

  /** The windows of a list on disk; from now on `leavers` leave. */
  add(list: string, leavers: Leavers): ClosedWindow[] {
    this.#lists.set(list, leavers);
    return this.#restored.filter(({ view }) => view === list);
  }

  /** A view is gone with all that is on disk of it. */
  forget(name: string): void {
    for (const list of [name, marksOf(name)]) {
      this.#lists.delete(list);
      this.#restored = this.#restored.filter(({ view }) => view !== list);
      this.drop({ view: list, endUs: null });
    }
  }

  /** Nobody will ask for these any more. */
  drop(parts: DroppedParts): void {
    if (this.isOn) this.#dropped.push(parts);
  }

  /** Counts up with each look at closed windows. */
  tick(): number {
    return ++this.#clock;
  }

  /** The groups of a part that is not in pages. */
  part({ view, startUs }: ClosedWindow, part: number): Uint8Array | null {
    const leaving = this.#underway.get(`${view} ${startUs} ${part}`);
    if (leaving !== undefined) return leaving;
    return this.#disk?.closedPart(view, startUs, part) ?? null;
  }

  /** Whether views should not fold on before a checkpoint: windows that may leave take too much room. */
  get isFull(): boolean {
    return this.isOn && this.#sum(({ leavingPages }) => leavingPages) > CLOSED_WINDOWS.pagesMax;
  }

  /** Whether a checkpoint is due: some may leave, and more is in pages than should be. */
  get isDue(): boolean {
    return (
      this.isOn &&
      this.#sum(({ pages }) => pages) > this.#pagesKept &&
      this.#sum(({ leavingPages }) => leavingPages) > this.#pagesKept / 4
    );
  }

  #sum(of: (list: Leavers) => number): number {
    let sum = 0;
    for (const list of this.#lists.values()) sum += of(list);
    return sum;
  }

  /**
   * Lets windows leave, the one that was touched longest ago first, until as many are in pages as should be, and of each view no more pages than
   * `roomOf` it; and all that came back in parts, since a part is a tenth of the pages that the checkpoint would hold instead. What the call
   * before gave is on disk by now. By steps, a window each: nothing is folded between them.
   */
  *takeChange(roomOf: (view: string) => number): Generator<void, SpillChange> {
    const droppedParts = this.#dropped;
    this.#dropped = [];
    this.#underway = new Map();
    const closedParts: ClosedPart[] = [];
    if (!this.isOn) return { closedParts, droppedParts };
    let over = this.#sum(({ pages }) => pages) - this.#pagesKept;
    const overOf = new Map<string, number>();
    for (const { view, pages } of this.#lists.values())
      overOf.set(view, (overOf.get(view) ?? -roomOf(view)) + pages);
    let bytes = 0;
    const all = [...this.#lists.values()].flatMap((list) => list.leaving());
    for (const window of all.toSorted((a, b) => a.used - b.used)) {
      if (bytes > CLOSED_WINDOWS.leaveBytesMax) break;
      const viewOver = overOf.get(window.view) ?? 0;
      if (over <= 0 && viewOver <= 0 && !window.isPartial) continue;
      yield;
      const payer = this.#meter.charge(window.view);
      for (const part of window.leave()) {
        this.#underway.set(`${part.view} ${part.startUs} ${part.part}`, part.bytes);
        closedParts.push(part);
        bytes += part.bytes.byteLength;
      }
      this.#meter.charge(payer);
      over -= window.pages;
      overOf.set(window.view, viewOver - window.pages);
    }
    return { closedParts, droppedParts };
  }
}
