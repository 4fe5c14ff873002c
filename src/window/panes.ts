// The windows of a hop as panes in pages. An event is in one pane; over panes behind the watermark lie nodes, each the merge of two halves
// (a binary tree whose shape is given by time alone), and sums of nodes that successive windows share, so that a window is a few merges whatever
// its size, and its rows are a function of its panes: not of when nodes were made.
import {
  ROOT_STALE_AT,
  ROOT_WINDOWS_AT,
  WINDOW_APPLIED_AT,
  WINDOW_END_AT,
  WINDOW_GROUPS_AT,
  WINDOW_START_AT,
  WINDOW_VERSION_AT,
} from "../../kernels/abi.ts";
import { assert, must } from "../base/assert.ts";
import { OUTPUT_ROWS_MAX } from "../limits.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { OpenWindow, RecordFacts, ViewCounts, ViewStats } from "./fold.ts";
import type { Grid, Range } from "./grid.ts";
import { windowImages, type RowsImage } from "./images.ts";
import type { RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import { mergeWindow } from "./merge.ts";
import type { ViewOutput } from "./output.ts";
import { openStats } from "./stats.ts";

export class Panes {
  /** Address of the view's root page: the list of its panes. */
  readonly root: number;
  /** Late events do not correct closed windows of a hop. */
  readonly lateUpdate = null;
  readonly #memory: FoldMemory;
  readonly #plan: ViewPlan;
  readonly #layout: RowLayout;
  readonly #grid: Grid;
  #closedUs: bigint;
  #open = new Map<bigint, OpenWindow>();

  constructor(
    memory: FoldMemory,
    view: { readonly plan: ViewPlan; readonly layout: RowLayout; readonly grid: Grid },
    state: { readonly root: number; readonly closedUs: bigint | null },
  ) {
    assert(
      view.layout.revision === null,
      `view ${view.plan.name}: late: update of a hop is not in this release`,
    );
    this.#memory = memory;
    this.#plan = view.plan;
    this.#layout = view.layout;
    this.#grid = view.grid;
    this.root = state.root;
    this.#closedUs = state.closedUs ?? FIRST_US;
  }

  readonly openPages = null;

  get state(): { readonly root: number } {
    return { root: this.root };
  }

  /** Windows that end at or before it are closed, µs. */
  get closedUs(): bigint {
    return this.#closedUs;
  }

  /** Puts out the windows that end at or before the watermark and frees the panes that no open window has. */
  close({ position }: RecordFacts, watermarkUs: bigint, counts: ViewCounts): ViewOutput[] {
    if (watermarkUs <= this.#closedUs) return [];
    this.#dropStaleNodes();
    const images: RowsImage[] = [];
    let made: number[] = [];
    let rows = 0;
    const putOut = (): void => {
      images.push(...windowImages(this.#memory, this.#layout, made));
      for (const window of made) this.#memory.call.freeWindow(window);
      made = [];
      rows = 0;
    };
    for (const range of this.#filled(this.#closedUs, watermarkUs)) {
      const window = this.#closing(range);
      made.push(window);
      rows += Number(this.#memory.pageI64(window + WINDOW_GROUPS_AT));
      if (rows >= OUTPUT_ROWS_MAX) putOut();
    }
    if (made.length > 0) putOut();
    this.#dropPanes(watermarkUs, counts);
    this.#closedUs = watermarkUs;
    const view = this.#plan.name;
    return images.map((image) => ({ view, kind: "rows", position, ...image }));
  }

  /** Windows with an event that end after one time and at or before another, in order. */
  *#filled(afterUs: bigint, toUs: bigint): Generator<Range> {
    const { sizeUs, slideUs } = this.#grid;
    for (let endUs = this.#grid.endAfter(afterUs); ; endUs += slideUs) {
      const pane = this.#paneFrom(endUs - sizeUs);
      if (pane === null) return;
      // A window without panes: on with the first one that the next pane is in.
      if (pane >= endUs) endUs = this.#grid.endAfter(pane);
      if (endUs > toUs) return;
      yield { startUs: endUs - sizeUs, endUs };
    }
  }

  /** Start of the first pane that starts at or after a time; null when there is none. */
  #paneFrom(timeUs: bigint): bigint | null {
    const { call } = this.#memory;
    const index = call.windowsBefore(this.root, atLeast(timeUs));
    if (index >= this.#count(this.root)) return null;
    return this.#memory.pageI64(call.windowAt(this.root, index) + WINDOW_START_AT);
  }

  #count(root: number): number {
    return this.#memory.pageU32(root + ROOT_WINDOWS_AT);
  }

  /**
   * A window of its own with the merged panes of a range behind the watermark: what is left and what is right of the time in it that is a
   * multiple of the highest power of two panes. The sums to the left of it and to the right of it are kept: the next window needs them too.
   */
  #closing({ startUs, endUs }: Range): number {
    const middleUs = this.#middle(startUs, endUs);
    const parts = [this.#leftSum(startUs, middleUs), this.#rightSum(middleUs, endUs)];
    const window = this.#memory.call.createWindow(startUs, endUs);
    this.#merged(window, parts.filter(Boolean));
    const kept = new Set<bigint>();
    for (let at = endUs; at > middleUs; at -= this.#alignment(at)) kept.add(at);
    this.#keepRightSums(kept);
    return window;
  }

  /** The longest power of two panes that a time is a multiple of, µs; 0 for the grid's origin. */
  #alignment(timeUs: bigint): bigint {
    const index = (timeUs - this.#grid.offsetUs) / this.#grid.paneUs;
    return (index & -index) * this.#grid.paneUs;
  }

  #middle(startUs: bigint, endUs: bigint): bigint {
    for (let at = endUs; ; at -= this.#alignment(at))
      if (this.#alignment(at) === 0n || at - this.#alignment(at) <= startUs) return at;
  }

  /** What holds the panes from a time up to the middle: header, or 0 for none. */
  #leftSum(startUs: bigint, middleUs: bigint): number {
    if (startUs === middleUs) return 0;
    const list = this.#lists().leftSums;
    const aligned = this.#alignment(startUs);
    const nextUs = aligned === 0n || aligned > middleUs - startUs ? middleUs : startUs + aligned;
    return this.#sum(list, { key: startUs, startUs, endUs: middleUs }, () => [
      this.#node({ startUs, endUs: nextUs }),
      this.#leftSum(nextUs, middleUs),
    ]);
  }

  /** What holds the panes from the middle up to a time: header, or 0 for none. */
  #rightSum(middleUs: bigint, endUs: bigint): number {
    if (endUs === middleUs) return 0;
    const list = this.#lists().rightSums;
    const lastUs = endUs - this.#alignment(endUs);
    return this.#sum(list, { key: endUs, startUs: middleUs, endUs }, () => [
      this.#rightSum(middleUs, lastUs),
      this.#node({ startUs: lastUs, endUs }),
    ]);
  }

  /** The sum of a range at a key of a list, as it is known or as the merge of its parts. */
  #sum(list: number, range: Range & { readonly key: bigint }, partsOf: () => number[]): number {
    const { call } = this.#memory;
    const { key, startUs, endUs } = range;
    const known = call.findWindow(list, key);
    if (known !== 0) {
      const from = this.#memory.pageI64(known + WINDOW_START_AT);
      if (from === startUs && this.#memory.pageI64(known + WINDOW_END_AT) === endUs) return known;
      call.dropWindow(list, key);
    }
    const parts = partsOf().filter(Boolean);
    if (parts.length < 2) return parts[0] ?? 0;
    return this.#merged(call.reachWindow(list, key, startUs, endUs), parts);
  }

  #keepRightSums(keys: ReadonlySet<bigint>): void {
    const { call } = this.#memory;
    const list = this.#lists().rightSums;
    for (let index = this.#count(list) - 1; index >= 0; index--) {
      const endUs = this.#memory.pageI64(call.windowAt(list, index) + WINDOW_END_AT);
      if (!keys.has(endUs)) call.dropWindow(list, endUs);
    }
  }

  /** What holds the panes of a node behind the watermark: header, or 0 for none. */
  #node(range: Range): number {
    const parts: number[] = [];
    this.#collect(range, range.endUs, parts);
    return parts[0] ?? 0;
  }

  /** Root pages of the lists over the panes, each of which names the next. */
  #lists(): { readonly nodes: number; readonly leftSums: number; readonly rightSums: number } {
    const { call } = this.#memory;
    const nodes = call.nodesOf(this.root);
    const leftSums = call.nodesOf(nodes);
    return { nodes, leftSums, rightSums: call.nodesOf(leftSums) };
  }

  /** A window of its own with the merged panes of a range; nodes are made where the watermark has passed them. */
  #assemble({ startUs, endUs }: Range, watermarkUs: bigint): number {
    const parts: number[] = [];
    const { paneUs, offsetUs } = this.#grid;
    for (let at = startUs; at < endUs;) {
      const index = (at - offsetUs) / paneUs;
      let span = 1n;
      while (index % (span * 2n) === 0n && at + span * 2n * paneUs <= endUs) span *= 2n;
      this.#collect({ startUs: at, endUs: at + span * paneUs }, watermarkUs, parts);
      at += span * paneUs;
    }
    return this.#merged(this.#memory.call.createWindow(startUs, endUs), parts);
  }

  #merged(to: number, parts: readonly number[]): number {
    for (const from of parts) mergeWindow(this.#memory, this.#layout, { from, to });
    return to;
  }

  /** Adds what holds the events of a node's range: nothing, its pane, its node, or what holds its halves. */
  #collect(range: Range, watermarkUs: bigint, parts: number[]): void {
    const { call } = this.#memory;
    const { startUs, endUs } = range;
    if (endUs - startUs === this.#grid.paneUs) {
      const pane = call.findWindow(this.root, startUs);
      if (pane !== 0) parts.push(pane);
      return;
    }
    const first = this.#paneFrom(startUs);
    if (first === null || first >= endUs) return;
    const middleUs = (startUs + endUs) / 2n;
    const known = call.findWindow(call.nodesOf(this.root), middleUs);
    if (known !== 0) {
      parts.push(known);
      return;
    }
    const halves: number[] = [];
    this.#collect({ startUs, endUs: middleUs }, watermarkUs, halves);
    this.#collect({ startUs: middleUs, endUs }, watermarkUs, halves);
    if (endUs > watermarkUs || halves.length === 1) parts.push(...halves);
    else
      parts.push(
        this.#merged(call.reachWindow(call.nodesOf(this.root), middleUs, startUs, endUs), halves),
      );
  }

  /** Frees the nodes over panes that changed behind the watermark. */
  #dropStaleNodes(): void {
    const { call } = this.#memory;
    if (this.#memory.pageU32(this.root + ROOT_STALE_AT) === 0) return;
    const { paneUs, offsetUs, sizeUs } = this.#grid;
    const { nodes, leftSums, rightSums } = this.#lists();
    for (const list of [leftSums, rightSums]) call.dropBefore(list, LAST_US);
    for (let pane = call.takeStale(this.root); pane !== 0; pane = call.takeStale(this.root)) {
      const startUs = this.#memory.pageI64(pane + WINDOW_START_AT);
      for (let span = paneUs * 2n; span <= sizeUs; span *= 2n) {
        const rest = (startUs - offsetUs) % span;
        call.dropWindow(nodes, startUs - (rest < 0n ? rest + span : rest) + span / 2n);
      }
    }
  }

  /** Frees the panes whose last window is closed: their events move from pending to applied. */
  #dropPanes(watermarkUs: bigint, counts: ViewCounts): void {
    const { call } = this.#memory;
    const { sizeUs, slideUs } = this.#grid;
    const keptFromUs = atLeast(this.#grid.lastStart(watermarkUs - sizeUs) + slideUs);
    const dropped = call.windowsBefore(this.root, keptFromUs);
    if (dropped === 0) return;
    for (let index = 0; index < dropped; index++) {
      const pane = call.windowAt(this.root, index);
      const applied = Number(this.#memory.pageI64(pane + WINDOW_APPLIED_AT));
      counts.applied += applied;
      counts.pending -= applied;
    }
    for (const list of [this.root, ...Object.values(this.#lists())])
      call.dropBefore(list, keptFromUs);
  }

  /** The windows that are open and have an event, as images; those that did not change since the last call are the same objects. */
  openWindows(): OpenWindow[] {
    const memory = this.#memory;
    this.#dropStaleNodes();
    const before = this.#open;
    this.#open = new Map();
    const versions = this.#versions();
    for (const range of this.#filled(this.#closedUs, LAST_US)) {
      const { startUs, endUs } = range;
      const from = memory.call.windowsBefore(this.root, atLeast(startUs));
      const to = memory.call.windowsBefore(this.root, endUs);
      const version = must(versions[to], "version") - must(versions[from], "version");
      const known = before.get(startUs);
      if (known?.version === version) {
        this.#open.set(startUs, known);
        continue;
      }
      const window = this.#assemble(range, this.#closedUs);
      const images = windowImages(memory, this.#layout, [window]);
      memory.call.freeWindow(window);
      this.#open.set(startUs, { startUs, version, images });
    }
    return [...this.#open.values()];
  }

  /** Sums of the versions of the first 0, 1, 2 ... panes: those of a window grow with every change of one of its panes. */
  #versions(): number[] {
    const sums = [0];
    for (let index = 0; index < this.#count(this.root); index++) {
      const pane = this.#memory.call.windowAt(this.root, index);
      sums.push(must(sums[index], "sum") + this.#memory.pageU32(pane + WINDOW_VERSION_AT));
    }
    return sums;
  }

  /** Rows of closed windows that late events changed: none. */
  corrected(): RowsImage[] {
    return [];
  }

  /** Panes and nodes count as windows. */
  stats(): ViewStats {
    return openStats(this.#memory, [this.root, ...Object.values(this.#lists())]);
  }

  /** Gives back all memory. */
  free(): void {
    this.#memory.call.freeRoot(this.root);
    this.#open.clear();
  }
}

const FIRST_US = -(2n ** 63n);
const LAST_US = 2n ** 63n - 1n;

function atLeast(timeUs: bigint): bigint {
  return timeUs < FIRST_US ? FIRST_US : timeUs;
}
