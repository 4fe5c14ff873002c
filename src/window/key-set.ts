// Noun: the distinct keys that views with the same keys have in common, numbered by the kernels (assembly/fold/key-set.ts), and where they lie
// in scratch. Owns their room; nothing of it is state.
import {
  KEY_COLUMN_BYTES,
  KEY_COLUMN_ROWS_AT,
  KEY_FIXED8,
  KEY_SET_ENTRIES_AT,
  KEY_SET_KEYS_MAX,
  KEY_SET_TEXT_BYTES,
} from "../../kernels/abi.ts";
import { must } from "../base/assert.ts";
import type { KeyLayout } from "./layout.ts";
import { BATCH_AT, KEY_SETS_AT, type FoldMemory } from "./memory.ts";

/** Room for key sets, which is never given back: when it is used up views look for their groups by themselves. */
export class KeySetRoom {
  #next = KEY_SETS_AT;

  take(bytes: number): number | null {
    const address = this.#next;
    const next = address + Math.ceil(bytes / 64) * 64;
    if (next > BATCH_AT) return null;
    this.#next = next;
    return address;
  }
}

/** The keys of a view as it finds groups by their numbers. */
export interface NumberedKeys {
  readonly set: number;
  /** The view's column of rows. */
  readonly column: number;
}

/** One set. */
export class KeySet {
  readonly #room: KeySetRoom;
  readonly #address: number;
  readonly #keys: readonly KeyLayout[];
  readonly #entryBytes: number;
  readonly #columns = new Map<string, NumberedKeys>();

  private constructor(
    room: KeySetRoom,
    keys: readonly KeyLayout[],
    at: { readonly address: number; readonly entryBytes: number },
  ) {
    this.#room = room;
    this.#keys = keys;
    this.#address = at.address;
    this.#entryBytes = at.entryBytes;
  }

  /** A set for keys that lie so in the rows of groups; null without room. */
  static make(room: KeySetRoom, keys: readonly KeyLayout[]): KeySet | null {
    const { offset, kind } = must(keys.at(-1), "keys");
    const entryBytes = offset + (kind === KEY_FIXED8 ? 8 : 16);
    // Kernels read up to 15 bytes past a text.
    const bytes = KEY_SET_ENTRIES_AT + KEY_SET_KEYS_MAX * entryBytes + KEY_SET_TEXT_BYTES + 64;
    const address = room.take(bytes);
    return address === null ? null : new KeySet(room, keys, { address, entryBytes });
  }

  /** What a view needs; null without room for its column. */
  of(view: string): NumberedKeys | null {
    const known = this.#columns.get(view);
    if (known !== undefined) return known;
    const column = this.#room.take(KEY_COLUMN_ROWS_AT + KEY_SET_KEYS_MAX * 4);
    if (column === null) return null;
    const made = { set: this.#address, column };
    this.#columns.set(view, made);
    return made;
  }

  /** Numbers the keys of `rowCount` rows, whose forms and hashes the program that has just run has in `registers`. */
  number(
    memory: FoldMemory,
    registers: readonly { readonly form: number; readonly hash: number }[],
    rowCount: number,
  ): void {
    const keysAt = memory.take(registers.length * KEY_COLUMN_BYTES);
    registers.forEach(({ form, hash }, index) => {
      const { offset, kind } = must(this.#keys[index], "key");
      memory.u32.set([offset, kind, form, hash], (keysAt + index * KEY_COLUMN_BYTES) / 4);
    });
    const vectors = memory.take(rowCount * 12);
    memory.call.numberKeys(
      this.#address,
      keysAt,
      registers.length,
      this.#entryBytes,
      rowCount,
      vectors,
    );
  }
}
