// Pure: what the windows of a view take, from their headers.
import {
  FOLD_PAGE_BYTES,
  ROOT_WINDOWS_AT,
  WINDOW_GROUPS_AT,
  WINDOW_PAGES_AT,
} from "../../kernels/abi.ts";
import type { ViewStats } from "./fold.ts";
import type { FoldMemory } from "./memory.ts";

/** Sums over the windows of lists, given by their root pages. */
export function openStats(memory: FoldMemory, roots: readonly number[]): ViewStats {
  let windows = 0;
  let groups = 0;
  let pages = roots.length;
  for (const root of roots) {
    const count = memory.pageU32(root + ROOT_WINDOWS_AT);
    windows += count;
    for (let index = 0; index < count; index++) {
      const window = memory.call.windowAt(root, index);
      groups += Number(memory.pageI64(window + WINDOW_GROUPS_AT));
      pages += memory.pageU32(window + WINDOW_PAGES_AT);
    }
  }
  return { windows, groups, bytes: pages * FOLD_PAGE_BYTES };
}
