// The panes of a hop in pages, and windows put together from them. An event is in one pane; over panes behind the watermark lie nodes, each the
// merge of two halves (a binary tree whose shape is given by time alone), and sums of nodes that successive windows share, so that a window is a
// few merges whatever its size, and its rows are a function of its panes: not of when nodes were made.
import {
  ROOT_STALE_AT,
  ROOT_WINDOWS_AT,
  WINDOW_END_AT,
  WINDOW_START_AT,
} from "../../kernels/abi.ts";
import type { Grid, Range } from "./grid.ts";
import type { RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";
import { mergeWindow } from "./merge.ts";

export const FIRST_US = -(2n ** 63n);
export const LAST_US = 2n ** 63n - 1n;

/** A time, or the first one where it is before that. */
export function atLeast(timeUs: bigint): bigint {
  return timeUs < FIRST_US ? FIRST_US : timeUs;
}

export class PaneTree {
  /** Address of the view's root page: the list of its panes. */
  readonly root: number;
  readonly #memory: FoldMemory;
  readonly #layout: RowLayout;
  readonly #grid: Grid;

  constructor(
    memory: FoldMemory,
    view: { readonly layout: RowLayout; readonly grid: Grid },
    root: number,
  ) {
    this.#memory = memory;
    this.#layout = view.layout;
    this.#grid = view.grid;
    this.root = root;
  }

  /** Panes that are kept. */
  get count(): number {
    return this.#count(this.root);
  }

  /** Headers of the panes in pages that start at or after a time and before another. */
  panes(fromUs: bigint, toUs: bigint): number[] {
    const { call } = this.#memory;
    const from = call.windowsBefore(this.root, fromUs);
    const to = call.windowsBefore(this.root, toUs);
    return Array.from({ length: to - from }, (_, index) => call.windowAt(this.root, from + index));
  }

  /** Headers of the panes that start at or after a time, and of all that lies over panes. */
  openFrom(fromUs: bigint): number[] {
    const { call } = this.#memory;
    const over = Object.values(this.#lists()).flatMap((list) =>
      Array.from({ length: this.#count(list) }, (_, index) => call.windowAt(list, index)),
    );
    return [...this.panes(fromUs, LAST_US), ...over];
  }

  /** Root pages of all lists: panes, nodes, sums. */
  get lists(): readonly number[] {
    return [this.root, ...Object.values(this.#lists())];
  }

  /** Windows with an event that end after one time and at or before another, in order. */
  *filled(afterUs: bigint, toUs: bigint): Generator<Range> {
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
  closing({ startUs, endUs }: Range): number {
    const middleUs = this.#middle(startUs, endUs);
    const parts = [this.#leftSum(startUs, middleUs), this.#rightSum(middleUs, endUs)];
    const window = this.#memory.call.createWindow(startUs, endUs);
    this.#merged(window, parts.filter(Boolean));
    const kept = new Set<bigint>();
    for (let at = endUs; at > middleUs; at -= this.#alignment(at)) kept.add(at);
    this.#keepRightSums(kept);
    this.#memory.call.dropBefore(this.#lists().leftSums, startUs);
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
  assemble({ startUs, endUs }: Range, watermarkUs: bigint): number {
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
  dropStaleNodes(): void {
    const { call } = this.#memory;
    if (this.#memory.pageU32(this.root + ROOT_STALE_AT) === 0) return;
    const { paneUs, offsetUs, sizeUs } = this.#grid;
    const { nodes, leftSums, rightSums } = this.#lists();
    for (const list of [leftSums, rightSums]) call.dropBefore(list, LAST_US);
    for (let index = 0; ; index++) {
      index = call.takeStale(this.root, index);
      if (index >= this.count) return;
      const startUs = this.#memory.pageI64(call.windowAt(this.root, index) + WINDOW_START_AT);
      for (let span = paneUs * 2n; span <= sizeUs; span *= 2n) {
        const rest = (startUs - offsetUs) % span;
        call.dropWindow(nodes, startUs - (rest < 0n ? rest + span : rest) + span / 2n);
      }
    }
  }

  /** Frees the nodes and sums over panes that start before a time. */
  dropNodes(beforeUs: bigint): void {
    for (const list of Object.values(this.#lists())) this.#memory.call.dropBefore(list, beforeUs);
  }

  /** Frees the panes that start before a time, with what lies over them. */
  drop(beforeUs: bigint): void {
    for (const list of this.lists) this.#memory.call.dropBefore(list, beforeUs);
  }
}
