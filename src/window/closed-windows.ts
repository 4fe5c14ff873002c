// The closed windows of one list that late events may still correct, tumbling ones, panes or marks: each is in pages whole, in pages with some of its
// parts, or on disk. Brings back what late events and their corrections need, and lets go. Knows nothing of what late events do to rows.
import {
  FOLD_PAGE_BYTES,
  WINDOW_END_AT,
  WINDOW_GROUPS_AT,
  WINDOW_PAGES_AT,
  WINDOW_STALE_AT,
  WINDOW_START_AT,
  WORK_WINDOWS_AT,
} from "../../kernels/abi.ts";
import { must } from "../base/assert.ts";
import { CLOSED_WINDOWS } from "../limits.ts";
import type { ClosedPart, ClosedWindow } from "./closed-part.ts";
import type { FoldMemory } from "./memory.ts";
import { PartCodec, type PartLayout } from "./part-codec.ts";
import type { Leavers, Leaving, Spill } from "./spill.ts";

/** A closed window some of whose parts are in pages, the others on disk: as the root of a checkpoint has it. */
export interface PartialWindow {
  /** µs as decimal text. */
  readonly start: string;
  readonly bits: number;
  readonly loaded: readonly number[];
}

/** A closed window. */
interface Entry extends ClosedWindow {
  /** -1: it never left. */
  bits: number;
  /** Address of its header; 0: nothing of it is in pages. */
  header: number;
  pages: number;
  /** The parts that are in pages; null: all. */
  loaded: Set<number> | null;
  used: number;
  /** Late events came into it that were not put out: of a tumbling window a list links their rows by addresses. */
  isHeld: boolean;
}

/** Whose closed windows they are. */
export interface ClosedList {
  readonly spill: Spill;
  /** Name of the list. */
  readonly name: string;
  /** The view that pays for it. */
  readonly view: string;
  readonly layout: PartLayout;
  readonly root: number;
  /** Least bits of the parts of those that leave, where many more groups may come; absent: none. */
  readonly bitsLeast?: number;
  /** Whether a window that is not known yet, and that late events have made, is closed; absent: none is. */
  readonly isClosed?: (startUs: bigint) => boolean;
}

/** Key columns of the events at hand, as `findGroups` takes them. */
interface Keys {
  readonly address: number;
  readonly count: number;
}

export class ClosedWindows implements Leavers {
  readonly #memory: FoldMemory;
  readonly #list: ClosedList;
  readonly #spill: Spill;
  readonly #codec: PartCodec;
  readonly #entries = new Map<bigint, Entry>();
  /** Those in pages, by their headers. */
  readonly #loaded = new Map<number, Entry>();
  /** Those whose pages may have grown. */
  readonly #touched = new Set<Entry>();
  readonly #held = new Set<Entry>();
  /** Those that came back to be read alone: what is on disk of them is what they are. */
  readonly #read = new Set<Entry>();
  #oldestEndUs = LAST_US;
  #pages = 0;
  #leavingPages = 0;

  /** `windows`: headers of the closed ones in pages; `partial`: which of them are not whole. */
  constructor(
    memory: FoldMemory,
    list: ClosedList,
    state: { readonly windows: readonly number[]; readonly partial: readonly PartialWindow[] },
  ) {
    this.#memory = memory;
    this.#list = list;
    this.#spill = list.spill;
    this.#codec = new PartCodec(memory, list.layout);
    for (const window of list.spill.add(list.name, this)) this.#entry(window).loaded = new Set();
    for (const window of state.windows) this.add(window);
    for (const { start, bits, loaded } of state.partial) {
      const entry = must(this.#entries.get(BigInt(start)), "a closed window in pages");
      entry.bits = bits;
      entry.loaded = new Set(loaded);
    }
    for (const window of state.windows)
      if (memory.pageU32(window + WINDOW_STALE_AT) === 1) this.hold(window);
  }

  /** The view that pays for them. */
  get view(): string {
    return this.#list.view;
  }

  /** Closed windows in pages: they are the oldest ones of the view's list. */
  get count(): number {
    return this.#loaded.size;
  }

  get pages(): number {
    return this.#pages;
  }

  get leavingPages(): number {
    return this.#leavingPages;
  }

  /** End of the oldest closed window, wherever it lies. */
  get oldestEndUs(): bigint {
    return this.#oldestEndUs;
  }

  /** Closed windows that are in pages in part. */
  get partial(): PartialWindow[] {
    return [...this.#loaded.values()].flatMap(({ startUs, bits, loaded }) =>
      loaded === null ? [] : [{ start: String(startUs), bits, loaded: [...loaded] }],
    );
  }

  /** A window in pages that is closed from now on. */
  add(window: number): Entry {
    const memory = this.#memory;
    const entry = this.#entry({
      view: this.#list.name,
      startUs: memory.pageI64(window + WINDOW_START_AT),
      endUs: memory.pageI64(window + WINDOW_END_AT),
      bits: -1,
    });
    entry.loaded = null;
    entry.used = this.#spill.tick();
    this.#place(entry, window);
    this.#settle();
    return entry;
  }

  #entry(window: ClosedWindow): Entry {
    const known = this.#entries.get(window.startUs);
    if (known !== undefined) return known;
    const entry = { ...window, header: 0, pages: 0, loaded: null, used: 0, isHeld: false };
    this.#entries.set(window.startUs, entry);
    if (window.endUs < this.#oldestEndUs) this.#oldestEndUs = window.endUs;
    return entry;
  }

  #place(entry: Entry, window: number): void {
    entry.header = window;
    this.#loaded.set(window, entry);
    this.#touched.add(entry);
  }

  /**
   * Before late events are folded into the windows of the work area, of which those on disk were made anew and are empty: brings back the parts that
   * the `selected` events' groups are in.
   */
  reach(keys: Keys, selected: number): void {
    if (!this.#spill.isOn) return;
    const { u32 } = this.#memory;
    let isPartial = false;
    let last = 0;
    for (let at = WORK_WINDOWS_AT / 4; at < WORK_WINDOWS_AT / 4 + selected; at++) {
      const window = must(u32[at], "window");
      if (window === last) continue;
      last = window;
      const entry = this.hold(window);
      if (entry !== null && entry.loaded !== null) isPartial = true;
    }
    if (isPartial) this.#loadParts(keys, selected);
    this.#settle();
  }

  /** Brings back all of a window; one on disk was made anew and is empty. */
  reachWhole(window: number): void {
    const entry = this.#spill.isOn ? this.hold(window) : null;
    if (entry === null || entry.loaded === null) return;
    for (let part = 0; part < 2 ** entry.bits; part++) this.#load(entry, part);
    this.#settle();
  }

  /** Those of which not all is in pages that start at or after a time and before another, in order. */
  incomplete(fromUs: bigint, toUs: bigint): ClosedWindow[] {
    return [...this.#entries.values()]
      .filter(({ loaded, startUs }) => loaded !== null && startUs >= fromUs && startUs < toUs)
      .toSorted((a, b) => (a.startUs < b.startUs ? -1 : 1));
  }

  /** Brings back the parts of a window that groups with some tags are in, null: all of it, until `letGo`. */
  read(startUs: bigint, tags: Iterable<number> | null): void {
    const entry = must(this.#entries.get(startUs), "a closed window");
    const parts =
      tags === null
        ? Array.from({ length: 2 ** entry.bits }, (_, part) => part)
        : new Set(Array.from(tags, (tag) => partOf(entry, tag)));
    for (const part of parts) {
      if (entry.header === 0) {
        const { endUs } = entry;
        this.#place(entry, this.#memory.call.reachWindow(this.#list.root, startUs, startUs, endUs));
        this.#memory.call.setClosed(entry.header);
        this.#read.add(entry);
      }
      this.#load(entry, part);
    }
    this.#touched.add(entry);
    this.#settle();
  }

  /** Those that came back to be read and end at or before a time lie on disk again. */
  letGo(endUs: bigint): void {
    for (const entry of this.#read) {
      if (entry.endUs > endUs) continue;
      this.#read.delete(entry);
      this.#memory.call.dropWindow(this.#list.root, entry.startUs);
      this.#takeOut(entry);
      entry.loaded = new Set();
    }
  }

  /** A window whose rows may be listed as corrected: it stays until `release`. Null: it is not closed. */
  hold(window: number): Readonly<Entry> | null {
    let entry = this.#loaded.get(window);
    if (entry === undefined) {
      const startUs = this.#memory.pageI64(window + WINDOW_START_AT);
      entry = this.#entries.get(startUs);
      if (entry !== undefined) this.#place(entry, window);
      else if (this.#list.isClosed?.(startUs) === true) entry = this.add(window);
      else return null;
      this.#memory.call.setClosed(window);
    }
    entry.used = this.#spill.tick();
    this.#touched.add(entry);
    if (entry.isHeld) return entry;
    entry.isHeld = true;
    this.#leavingPages -= entry.pages;
    this.#held.add(entry);
    return entry;
  }

  /** What late events did was put out. */
  release(): void {
    this.#settle();
    for (const entry of this.#held) {
      entry.isHeld = false;
      this.#leavingPages += entry.pages;
    }
    this.#held.clear();
  }

  /** Windows that end at or before a time are final: those in pages were freed. */
  finish(endUs: bigint): void {
    this.#settle();
    let isOnDisk = false;
    this.#oldestEndUs = LAST_US;
    for (const entry of this.#entries.values()) {
      if (entry.endUs <= endUs) {
        this.#entries.delete(entry.startUs);
        this.#takeOut(entry);
        isOnDisk ||= entry.bits >= 0;
      } else if (entry.endUs < this.#oldestEndUs) this.#oldestEndUs = entry.endUs;
    }
    if (isOnDisk) this.#spill.drop({ view: this.#list.name, endUs });
  }

  /** The view's state is given back. */
  free(): void {
    this.#spill.forget(this.#list.name);
  }

  #takeOut(entry: Entry): void {
    this.#loaded.delete(entry.header);
    this.#touched.delete(entry);
    this.#pages -= entry.pages;
    this.#leavingPages -= entry.isHeld ? 0 : entry.pages;
    entry.header = 0;
    entry.pages = 0;
  }

  /** Counts what touched windows have grown by. */
  #settle(): void {
    for (const entry of this.#touched) {
      const pages = this.#memory.pageU32(entry.header + WINDOW_PAGES_AT);
      this.#pages += pages - entry.pages;
      this.#leavingPages += entry.isHeld ? 0 : pages - entry.pages;
      entry.pages = pages;
    }
    this.#touched.clear();
  }

  #loadParts(keys: Keys, selected: number): void {
    const memory = this.#memory;
    const { mark, u32 } = memory;
    const tags = memory.take(selected * 4);
    memory.call.tagsOf(keys.address, keys.count, selected, tags);
    for (let j = 0; j < selected; j++) {
      const entry = this.#loaded.get(must(u32[WORK_WINDOWS_AT / 4 + j], "window"));
      if (entry === undefined || entry.loaded === null) continue;
      this.#load(entry, partOf(entry, must(u32[tags / 4 + j], "tag")));
    }
    memory.rewind(mark);
  }

  /** Brings back a part of a window, once. */
  #load(entry: Entry, part: number): void {
    const loaded = must(entry.loaded, "a window in parts");
    if (loaded.has(part)) return;
    loaded.add(part);
    const bytes = this.#spill.part(entry, part);
    if (bytes !== null) this.#codec.unpack(entry.header, bytes);
  }

  leaving(): Leaving[] {
    return [...this.#loaded.values()]
      .filter(
        ({ isHeld, pages }) => !isHeld && pages * FOLD_PAGE_BYTES <= CLOSED_WINDOWS.packBytesMax,
      )
      .map((entry) => ({
        view: this.#list.view,
        used: entry.used,
        pages: entry.pages,
        isPartial: entry.loaded !== null,
        leave: () => this.#leave(entry),
      }));
  }

  #leave(entry: Entry): ClosedPart[] {
    const { header, startUs, endUs } = entry;
    if (entry.bits < 0) {
      const groups = Number(this.#memory.pageI64(header + WINDOW_GROUPS_AT));
      entry.bits = Math.max(this.#list.bitsLeast ?? 0, this.#spill.bitsOf(groups));
    }
    const { bits } = entry;
    const parts = this.#codec.pack(header, bits).flatMap((bytes, part): ClosedPart[] => {
      const view = this.#list.name;
      return bytes.length === 0 ? [] : [{ view, startUs, endUs, bits, part, bytes }];
    });
    this.#memory.call.dropWindow(this.#list.root, startUs);
    this.#takeOut(entry);
    entry.loaded = new Set();
    return parts;
  }
}

/** The part of a window that a group with a tag is in. */
function partOf({ bits }: ClosedWindow, tag: number): number {
  return bits === 0 ? 0 : tag >>> (32 - bits);
}

const LAST_US = 2n ** 63n - 1n;
