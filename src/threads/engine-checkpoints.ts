// The engine's part in outputs and checkpoints: hands outputs to the export thread as they come, takes a checkpoint at a batch boundary by
// slices, and sends it once everything that it contains is durable in the log. One at a time. While slices are taken nothing is folded, since
// no page may change: events go on to be admitted and logged, and are folded from the log afterwards.
import { FOLD_PAGE_BYTES } from "../../kernels/abi.ts";
import type { AppliedConfiguration } from "../admit/applied.ts";
import type { Clock } from "../base/clock.ts";
import type { CheckpointChange } from "../checkpoint/store.ts";
import type { Engine } from "../engine.ts";
import type { EngineBacklog } from "../engine-backlog.ts";
import { checkpointSteps, ROOM_PAGES, roomOf } from "../engine-state.ts";
import type { ControlRecord } from "../log/record.ts";
import type { ViewOutput } from "../window/output.ts";
import type { LongestSteps } from "./engine-status.ts";
import type { EngineToExport } from "./messages.ts";
import { takeSlice } from "./slices.ts";

/** What the checkpoints are connected with. */
export interface CheckpointWires {
  readonly applied: AppliedConfiguration;
  readonly backlog: EngineBacklog;
  readonly clock: Clock;
  readonly longest: LongestSteps;
  readonly send: (message: EngineToExport) => void;
  /** Runs a step after what has come meanwhile. */
  readonly later: (step: () => void) => void;
  /** Runs a step after so many ms. */
  readonly after: (ms: number, step: () => void) => void;
  /** Folding goes on. */
  readonly resumed: () => void;
}

const TICK_AFTER_MS = 50;

/** A checkpoint that waits for the log: admission is ahead of what is durable. */
interface Taken {
  readonly position: number;
  readonly change: CheckpointChange;
}

export class EngineCheckpoints {
  readonly #engine: Engine;
  readonly #wires: CheckpointWires;
  /** Pages on their way to the export thread: shared and used again, since as much memory as the state is costly to get anew. */
  readonly #rooms: SharedArrayBuffer[] = [];
  #taken: Taken | null = null;
  /**
   * Views that go on after a suspension, and where they stand in the checkpoint on disk. No ledger goes beyond: a start may fold what comes next out of
   * other records, which put the same rows out at other positions. `#held`: their outputs from there on.
   */
  #floors: ReadonlyMap<string, number>;
  #held: readonly ViewOutput[] = [];
  /** The floors of the checkpoint under way. */
  #nextFloors: ReadonlyMap<string, number>;
  /** Ids on their way to the export thread. */
  #segments: CheckpointChange["segments"] = [];
  #durable = 0;
  #isTicking = false;
  #isSaving = false;
  /** One was asked for while a picture was made. */
  #isDue = false;
  /** The last one is under way or saved: no other follows. */
  #isFinal = false;

  constructor(engine: Engine, wires: CheckpointWires) {
    this.#engine = engine;
    this.#wires = wires;
    this.#floors = engine.windows.laggards.positions;
    this.#nextFloors = this.#floors;
  }

  outputs(outputs: readonly ViewOutput[]): void {
    const isFree = ({ view, position }: ViewOutput): boolean =>
      position <= (this.#floors.get(view) ?? Infinity);
    const free = outputs.filter(isFree);
    if (free.length < outputs.length)
      this.#held = [...this.#held, ...outputs.filter((output) => !isFree(output))];
    if (free.length > 0) this.#wires.send({ kind: "outputs", outputs: free });
  }

  /** Everything up to `position` is durable. */
  durable(position: number): void {
    this.#durable = position;
    const taken = this.#taken;
    if (taken === null || taken.position > position) return;
    this.#taken = null;
    const { pages, ...change } = taken.change;
    this.#segments = change.segments;
    const numbers = Uint32Array.from(pages, ({ page }) => page);
    const rooms = this.#rooms.slice(0, Math.ceil(pages.length / ROOM_PAGES));
    this.#wires.send({ kind: "checkpoint", change, pages: { numbers, rooms } });
  }

  /** Tells the export how far outputs are given: now and then, since a message wakes its thread. */
  tick(): void {
    const { folded, watermarks, windows } = this.#engine;
    const suspended = [...windows.suspended];
    const stopped = new Map([
      ...suspended.map(([view, { at }]) => [view, at] as const),
      ...this.#floors,
    ]);
    // what a view that goes on has folded since the checkpoint is in memory alone
    const wants = suspended
      .filter(([view, { passed }]) => passed !== undefined && !this.#floors.has(view))
      .map(([, { at }]) => at)
      .concat(...this.#floors.values())
      .map((at) => at + 1);
    const wanted = wants.length === 0 ? null : Math.min(...wants);
    this.#wires.send({ kind: "folded", position: folded, watermarks, stopped, wanted });
  }

  /** The same a little later: records that follow closely are told at once, and an idle log tells nothing. */
  tickSoon(): void {
    if (this.#isTicking) return;
    this.#isTicking = true;
    this.#wires.after(TICK_AFTER_MS, () => {
      this.#isTicking = false;
      this.tick();
    });
  }

  /** Takes a checkpoint of now, unless one is on its way; once a picture is made that is under way. */
  take(): void {
    this.#isDue = this.#wires.backlog.isPaused;
    if (!this.#isSaving && !this.#isFinal && !this.#isDue) this.#begin();
  }

  /** Folding goes on: takes the checkpoint that waited for it. */
  resumed(): void {
    if (this.#isDue) this.take();
  }

  #begin(): void {
    this.#isSaving = true;
    // before the export trims the log behind the checkpoint it knows what views that stopped want of it
    this.tick();
    this.#nextFloors = this.#engine.windows.laggards.positions;
    const position = this.#engine.lastPosition;
    const { applied } = this.#wires;
    const steps = checkpointSteps(this.#engine, applied, (n) => this.#roomFor(n));
    this.#slice(steps, position);
  }

  /** Copies as much as there is time for; more follows after bodies that have come. A small checkpoint is one slice, and nothing waits. */
  #slice(steps: Iterator<void, CheckpointChange>, position: number): void {
    const { backlog, clock, longest, later } = this.#wires;
    const { result: change, tookUs } = takeSlice(steps, clock);
    longest.checkpointUs = Math.max(longest.checkpointUs, tookUs);
    if (change === null) {
      backlog.pause();
      later(() => this.#slice(steps, position));
      return;
    }
    this.#taken = { position, change };
    this.durable(this.#durable);
    if (!backlog.isPaused) return;
    backlog.resume();
    this.#wires.resumed();
  }

  /** The checkpoint that was sent is on disk. */
  saved(): void {
    this.#isSaving = false;
    this.#floors = this.#nextFloors;
    const held = this.#held;
    this.#held = [];
    this.outputs(held);
    this.#engine.admission.saved(this.#segments);
    this.#engine.answers.saved();
    this.#segments = [];
  }

  /** At the end, ticks that put out the corrections that wait, whatever the time is: their view may be removed before the next start. */
  lastTicks(): ControlRecord[] {
    const engine = this.#engine;
    const duesUs = engine.streamNames.map((stream) => engine.correctionsDueAtUs(stream));
    const lastUs = Math.max(...duesUs.filter(Number.isFinite));
    return Number.isFinite(lastUs) ? engine.ticks(lastUs) : [];
  }

  /** At the end, when no last tick is left: true once a last checkpoint is on disk. */
  finish(): boolean {
    if (this.#isSaving || this.#wires.backlog.isPaused) return false;
    if (this.#isFinal) return true;
    this.#isFinal = true;
    this.#begin();
    return false;
  }

  #roomFor(n: number): Uint8Array {
    const at = Math.floor(n / ROOM_PAGES);
    this.#rooms[at] ??= new SharedArrayBuffer(ROOM_PAGES * FOLD_PAGE_BYTES);
    return roomOf(this.#rooms[at], n);
  }
}
