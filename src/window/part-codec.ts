// Codec: the groups of a window in pages <-> the parts in which they leave them (assembly/fold/parts.ts).
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
  WINDOW_PAGES_AT,
} from "../../kernels/abi.ts";
import { must } from "../base/assert.ts";
import type { RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import { keyPlaces } from "./merge.ts";

/** What it must know of rows. */
export type PartLayout = Pick<RowLayout, "keys" | "states" | "rowBytes">;

/** States with text or a sketch outside of the row. */
const OUTSIDE: ReadonlySet<number> = new Set([
  STATE_MIN_S,
  STATE_MAX_S,
  STATE_FIRST_S,
  STATE_LAST_S,
  STATE_HLL,
]);

/** Addresses in scratch. */
interface LayoutAt {
  readonly keys: number;
  readonly places: number;
}

export class PartCodec {
  readonly #memory: FoldMemory;
  readonly #layout: PartLayout;
  readonly #places: readonly { readonly kind: number; readonly offset: number }[];

  constructor(memory: FoldMemory, layout: PartLayout) {
    this.#memory = memory;
    this.#layout = layout;
    this.#places = [
      ...layout.keys
        .filter(({ kind }) => kind === KEY_TEXT)
        .map(({ offset }) => ({ kind: PLACE_KEY, offset })),
      ...layout.states.filter(({ kind }) => OUTSIDE.has(kind)),
    ];
  }

  /** The 2^bits parts of a window, by their numbers; those without groups have no bytes. */
  pack(window: number, bits: number): Uint8Array[] {
    const memory = this.#memory;
    const { mark, u8, u32 } = memory;
    const { keys, places } = this.#layoutAt();
    const pages = memory.pageU32(window + WINDOW_PAGES_AT);
    const to = memory.take(2 ** bits * 4 + 16 + pages * FOLD_PAGE_BYTES);
    memory.call.packGroups(
      window,
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
    const parts = Array.from({ length: 2 ** bits }, (_, part) =>
      all.subarray(
        must(offsets[part], "offset") - first,
        must(offsets[part + 1], "offset") - first,
      ),
    );
    memory.rewind(mark);
    return parts;
  }

  /** Adds the groups of a part to a window that has none of them. */
  unpack(window: number, bytes: Uint8Array): void {
    const memory = this.#memory;
    const { mark } = memory;
    const { keys, places } = this.#layoutAt();
    const from = memory.take(bytes.byteLength);
    memory.u8.set(bytes, from);
    memory.call.unpackGroups(
      window,
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
}
