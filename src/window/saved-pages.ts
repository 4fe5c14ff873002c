// Verb: pages of the fold memory out of it and back into it, by their numbers.
import { DIRTY_CHANGED, FOLD_PAGE_BYTES, FOLD_PAGES_AT } from "../../kernels/abi.ts";
import type { FoldMemory } from "./memory.ts";

/** A page of the fold memory by number, FOLD_PAGE_BYTES bytes. */
export interface SavedPage {
  readonly page: number;
  readonly bytes: Uint8Array;
}

/** Pages that are copied in one step: 128 KB, less than 0.1 ms. */
const PAGES_PER_STEP = 8;

/** Where the n-th page of a checkpoint is copied to, n from 0: FOLD_PAGE_BYTES bytes. */
export type PageRoom = (n: number) => Uint8Array;

/**
 * Pages that changed since the call before, copied to `room`, and those that were given back. By steps: no page may change between them.
 */
export function* takeChanges(
  memory: FoldMemory,
  room: PageRoom,
): Generator<void, { readonly pages: SavedPage[]; readonly freed: number[] }> {
  const count = memory.call.pagesHighest();
  const dirty = memory.dirty(count);
  const changed: number[] = [];
  const freed: number[] = [];
  for (let page = 0; page < count; page++) {
    const mark = dirty[page];
    if (mark === DIRTY_CHANGED) changed.push(page);
    else if (mark !== 0) freed.push(page);
  }
  dirty.fill(0);
  const from = memory.pages();
  const pages: SavedPage[] = [];
  for (const [index, page] of changed.entries()) {
    if (index % PAGES_PER_STEP === 0) yield;
    const first = FOLD_PAGES_AT + page * FOLD_PAGE_BYTES;
    const bytes = room(index);
    bytes.set(from.subarray(first, first + FOLD_PAGE_BYTES));
    pages.push({ page, bytes });
  }
  return { pages, freed };
}

/** Puts pages back into an empty memory. */
export function restorePages(memory: FoldMemory, pages: Iterable<SavedPage>): void {
  for (const { page, bytes } of pages) {
    memory.call.reachPage(page);
    memory.pages().set(bytes, FOLD_PAGES_AT + page * FOLD_PAGE_BYTES);
  }
  memory.call.pagesRestored();
}
