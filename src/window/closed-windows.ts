// The closed windows of one view that late events may still correct: each is in pages whole, in pages with some of its parts, or on disk. Brings
// back what late events need, and lets go. Knows nothing of what late events do to rows.
import {
  FOLD_PAGE_BYTES,
  KEY_TEXT,
  PLACE_BYTES,
  PLACE_KEY,
  STATE_FIRST_S,
  STATE_HLL,
  STATE_LAST_S,
  STATE_MAX_S,
  STATE_MIN_S,
  WINDOW_END_AT,
  WINDOW_GROUPS_AT,
  WINDOW_PAGES_AT,
  WINDOW_START_AT,
  WORK_WINDOWS_AT,
} from "../../kernels/abi.ts";
import { must } from "../base/assert.ts";
import { CLOSED_WINDOWS } from "../limits.ts";
import type { ClosedPart, ClosedWindow } from "./closed-part.ts";
import type { RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import { keyPlaces } from "./merge.ts";
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
  /** Late events came into it that were not put out: a list links their rows by addresses. */
  isHeld: boolean;
}

/** States with text or a sketch outside of the row. */
const OUTSIDE: ReadonlySet<number> = new Set([
  STATE_MIN_S,
  STATE_MAX_S,
  STATE_FIRST_S,
  STATE_LAST_S,
  STATE_HLL,
]);

/** Key columns of the events at hand, as `findGroups` takes them. */
interface Keys {
  readonly address: number;
  readonly count: number;
}

export class ClosedWindows implements Leavers {
  readonly #memory: FoldMemory;
  readonly #spill: Spill;
  readonly #view: string;
  readonly #layout: RowLayout;
  readonly #root: number;
  readonly #places: readonly { readonly kind: number; readonly offset: number }[];
  readonly #entries = new Map<bigint, Entry>();
  /** Those in pages, by their headers. */
  readonly #loaded = new Map<number, Entry>();
  /** Those whose pages may have grown. */
  readonly #touched = new Set<Entry>();
  readonly #held = new Set<Entry>();
  #oldestEndUs = LAST_US;
  #pages = 0;
  #leavingPages = 0;

  /** `windows`: headers of the closed ones in pages; `partial`: which of them are not whole. */
  constructor(
    memory: FoldMemory,
    view: {
      readonly spill: Spill;
      readonly name: string;
      readonly layout: RowLayout;
      readonly root: number;
    },
    state: { readonly windows: readonly number[]; readonly partial: readonly PartialWindow[] },
  ) {
    this.#memory = memory;
    this.#spill = view.spill;
    this.#view = view.name;
    this.#layout = view.layout;
    this.#root = view.root;
    this.#places = [
      ...view.layout.keys
        .filter(({ kind }) => kind === KEY_TEXT)
        .map(({ offset }) => ({ kind: PLACE_KEY, offset })),
      ...view.layout.states.filter(({ kind }) => OUTSIDE.has(kind)),
    ];
    for (const window of view.spill.add(view.name, this)) {
      const entry = this.#entry(window);
      entry.loaded = new Set();
    }
    for (const window of state.windows) this.add(window);
    for (const { start, bits, loaded } of state.partial) {
      const entry = must(this.#entries.get(BigInt(start)), "a closed window in pages");
      entry.bits = bits;
      entry.loaded = new Set(loaded);
    }
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
  add(window: number): void {
    const memory = this.#memory;
    const entry = this.#entry({
      view: this.#view,
      startUs: memory.pageI64(window + WINDOW_START_AT),
      endUs: memory.pageI64(window + WINDOW_END_AT),
      bits: -1,
    });
    entry.loaded = null;
    entry.used = this.#spill.tick();
    this.#place(entry, window);
    this.#settle();
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
    const { mark } = this.#memory;
    const layout = this.#layoutAt();
    for (let part = 0; part < 2 ** entry.bits; part++)
      if (!entry.loaded.has(part)) this.#load(entry, part, layout);
    this.#memory.rewind(mark);
    this.#settle();
  }

  /** A window whose rows may be listed as corrected: it stays until `release`. Null: it is not closed. */
  hold(window: number): Readonly<Entry> | null {
    let entry = this.#loaded.get(window);
    if (entry === undefined) {
      entry = this.#entries.get(this.#memory.pageI64(window + WINDOW_START_AT));
      if (entry === undefined) return null;
      this.#place(entry, window);
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
    if (isOnDisk) this.#spill.drop({ view: this.#view, endUs });
  }

  /** The view's state is given back. */
  free(): void {
    this.#spill.forget(this.#view);
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
    const layout = this.#layoutAt();
    for (let j = 0; j < selected; j++) {
      const entry = this.#loaded.get(must(u32[WORK_WINDOWS_AT / 4 + j], "window"));
      if (entry === undefined || entry.loaded === null) continue;
      const tag = must(u32[tags / 4 + j], "tag");
      const part = entry.bits === 0 ? 0 : tag >>> (32 - entry.bits);
      if (!entry.loaded.has(part)) this.#load(entry, part, layout);
    }
    memory.rewind(mark);
  }

  #load(entry: Entry, part: number, { keys, places }: LayoutAt): void {
    const memory = this.#memory;
    const bytes = this.#spill.part(entry, part);
    must(entry.loaded, "a window in parts").add(part);
    if (bytes === null) return;
    const { mark } = memory;
    const from = memory.take(bytes.byteLength);
    memory.u8.set(bytes, from);
    memory.call.unpackGroups(
      entry.header,
      keys,
      this.#layout.keys.length,
      places,
      this.#places.length,
      this.#layout.rowBytes,
      from,
      bytes.byteLength,
    );
    memory.rewind(mark);
  }

  /** What the kernels must know of rows, in scratch. */
  #layoutAt(): LayoutAt {
    const memory = this.#memory;
    const { data } = memory;
    const keys = keyPlaces(memory, this.#layout);
    const places = memory.take(this.#places.length * PLACE_BYTES);
    this.#places.forEach(({ kind, offset }, index) => {
      data.setUint32(places + index * PLACE_BYTES, kind, true);
      data.setUint32(places + index * PLACE_BYTES + 4, offset, true);
    });
    return { keys, places };
  }

  leaving(): Leaving[] {
    return [...this.#loaded.values()]
      .filter(
        ({ isHeld, pages }) => !isHeld && pages * FOLD_PAGE_BYTES <= CLOSED_WINDOWS.packBytesMax,
      )
      .map((entry) => ({
        view: this.#view,
        used: entry.used,
        pages: entry.pages,
        isPartial: entry.loaded !== null,
        leave: () => this.#leave(entry),
      }));
  }

  #leave(entry: Entry): ClosedPart[] {
    const memory = this.#memory;
    const { mark, u8, u32 } = memory;
    if (entry.bits < 0)
      entry.bits = this.#spill.bitsOf(Number(memory.pageI64(entry.header + WINDOW_GROUPS_AT)));
    const { startUs, endUs, bits } = entry;
    const { keys, places } = this.#layoutAt();
    const to = memory.take(2 ** bits * 4 + 16 + entry.pages * FOLD_PAGE_BYTES);
    memory.call.packGroups(
      entry.header,
      keys,
      this.#layout.keys.length,
      places,
      this.#places.length,
      this.#layout.rowBytes,
      bits,
      to,
    );
    // shared: the thread that saves them gets them without a copy
    const offsets = u32.subarray(to / 4, to / 4 + 2 ** bits + 1);
    const first = must(offsets[0], "offset");
    const all = new Uint8Array(new SharedArrayBuffer(must(offsets.at(-1), "offset") - first));
    all.set(u8.subarray(to + first, to + first + all.length));
    const parts: ClosedPart[] = [];
    for (let part = 0; part < 2 ** bits; part++) {
      const from = must(offsets[part], "offset");
      const end = must(offsets[part + 1], "offset");
      if (end === from) continue;
      const bytes = all.subarray(from - first, end - first);
      parts.push({ view: this.#view, startUs, endUs, bits, part, bytes });
    }
    memory.rewind(mark);
    memory.call.dropWindow(this.#root, startUs);
    this.#takeOut(entry);
    entry.loaded = new Set();
    return parts;
  }
}

/** Addresses in scratch. */
interface LayoutAt {
  readonly keys: number;
  readonly places: number;
}

const LAST_US = 2n ** 63n - 1n;
