// The windows of one view in pages: which are open, what they hold, closing them in the order of their ends. Knows nothing of how
// events or merged rows came into them.
import {
  FOLD_PAGE_BYTES,
  ROOT_WINDOWS_AT,
  WINDOW_APPLIED_AT,
  WINDOW_GROUPS_AT,
  WINDOW_PAGES_AT,
  WINDOW_START_AT,
  WINDOW_VERSION_AT,
} from "../../kernels/abi.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { OpenWindow, ViewCounts, ViewStats } from "./fold.ts";
import { windowImages } from "./images.ts";
import type { RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import type { ViewOutput } from "./output.ts";

export class WindowSet {
  /** Address of the view's root page. */
  readonly root: number;
  readonly #memory: FoldMemory;
  readonly #plan: ViewPlan;
  readonly #layout: RowLayout;
  readonly #open = new Map<bigint, OpenWindow>();

  constructor(
    memory: FoldMemory,
    view: { readonly plan: ViewPlan; readonly layout: RowLayout },
    root: number,
  ) {
    this.#memory = memory;
    this.#plan = view.plan;
    this.#layout = view.layout;
    this.root = root;
  }

  /** Puts out and frees the windows that end at or before the watermark; their events move from pending to applied. */
  close(position: number, watermarkUs: bigint, counts: ViewCounts): ViewOutput[] {
    const { call } = this.#memory;
    const count = call.closableWindows(this.root, watermarkUs);
    if (count === 0) return [];
    const windows = Array.from({ length: count }, (_, index) => call.windowAt(this.root, index));
    const images = windowImages(this.#memory, this.#layout, windows);
    for (const window of windows) {
      const applied = Number(this.#memory.pageI64(window + WINDOW_APPLIED_AT));
      counts.applied += applied;
      counts.pending -= applied;
      this.#open.delete(this.#memory.pageI64(window + WINDOW_START_AT));
    }
    call.closeWindows(this.root, count);
    const view = this.#plan.name;
    return images.map((rows) => ({ view, kind: "rows", position, ...rows }));
  }

  /** Headers of the windows, the oldest first. */
  #windows(): number[] {
    const { call } = this.#memory;
    const windows: number[] = [];
    const count = this.#memory.pageU32(this.root + ROOT_WINDOWS_AT);
    for (let index = 0; index < count; index++) windows.push(call.windowAt(this.root, index));
    return windows;
  }

  /** The open windows as images; those that did not change since the last call are the same objects. */
  openWindows(): OpenWindow[] {
    const memory = this.#memory;
    return this.#windows().map((window) => {
      const startUs = memory.pageI64(window + WINDOW_START_AT);
      const version = memory.pageU32(window + WINDOW_VERSION_AT);
      const known = this.#open.get(startUs);
      if (known?.version === version) return known;
      const open = { startUs, version, images: windowImages(memory, this.#layout, [window]) };
      this.#open.set(startUs, open);
      return open;
    });
  }

  stats(): ViewStats {
    const windows = this.#windows();
    let groups = 0;
    let pages = 1;
    for (const window of windows) {
      groups += Number(this.#memory.pageI64(window + WINDOW_GROUPS_AT));
      pages += this.#memory.pageU32(window + WINDOW_PAGES_AT);
    }
    return { windows: windows.length, groups, bytes: pages * FOLD_PAGE_BYTES };
  }

  /** Gives back all memory. */
  free(): void {
    this.#memory.call.freeRoot(this.root);
    this.#open.clear();
  }
}
