// The engine's part in outputs and checkpoints: hands outputs to the export thread as they come, takes a checkpoint at a batch boundary,
// and sends it once everything that it contains is durable in the log. One at a time.
import type { AppliedConfiguration } from "../admit/applied.ts";
import type { CheckpointChange } from "../checkpoint/store.ts";
import type { Engine } from "../engine.ts";
import { checkpointChange } from "../engine-state.ts";
import type { ViewOutput } from "../window/output.ts";
import type { EngineToExport } from "./messages.ts";

type Send = (message: EngineToExport) => void;

/** A checkpoint that waits for the log: admission is ahead of what is durable. */
interface Taken {
  readonly position: number;
  readonly change: CheckpointChange;
}

/** A room that is too small grows by this factor. */
const PAGES_ROOM_SPARE = 1.25;

export class EngineCheckpoints {
  readonly #engine: Engine;
  readonly #applied: AppliedConfiguration;
  readonly #send: Send;
  /** Pages on their way to the export thread: shared and used again, since as much memory as the state is costly to get anew. */
  #room = new SharedArrayBuffer(0);
  #taken: Taken | null = null;
  /** Ids on their way to the export thread. */
  #segments: CheckpointChange["segments"] = [];
  #durable = 0;
  #isSaving = false;
  /** The last one is under way or saved: no other follows. */
  #isFinal = false;

  constructor(engine: Engine, applied: AppliedConfiguration, send: Send) {
    this.#engine = engine;
    this.#applied = applied;
    this.#send = send;
  }

  outputs(outputs: readonly ViewOutput[]): void {
    if (outputs.length > 0) this.#send({ kind: "outputs", outputs });
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
    this.#send({ kind: "checkpoint", change, pages: { numbers, room: this.#room } });
  }

  /** Tells the export how far outputs are given: now and then, since a message wakes its thread. */
  tick(): void {
    const { folded, watermarks, windows } = this.#engine;
    const suspended = [...windows.suspended];
    const stopped = new Map(suspended.map(([view, { at }]) => [view, at]));
    const wants = suspended.flatMap(([, { at, passed }]) => (passed === undefined ? [] : [at + 1]));
    const wanted = wants.length === 0 ? null : Math.min(...wants);
    this.#send({ kind: "folded", position: folded, watermarks, stopped, wanted });
  }

  /** Takes a checkpoint of now, unless one is on its way. */
  take(): void {
    if (!this.#isSaving && !this.#isFinal) this.#begin();
  }

  #begin(): void {
    this.#isSaving = true;
    // before the export trims the log behind the checkpoint it knows what views that stopped want of it
    this.tick();
    this.#taken = {
      position: this.#engine.lastPosition,
      change: checkpointChange(this.#engine, this.#applied, (bytes) => this.#roomFor(bytes)),
    };
    this.durable(this.#durable);
  }

  /** The checkpoint that was sent is on disk. */
  saved(): void {
    this.#isSaving = false;
    this.#engine.admission.saved(this.#segments);
    this.#segments = [];
  }

  /** At the end: true once a last checkpoint is on disk. */
  finish(): boolean {
    if (this.#isSaving) return false;
    if (this.#isFinal) return true;
    this.#isFinal = true;
    this.#begin();
    return false;
  }

  #roomFor(bytes: number): Uint8Array {
    if (bytes > this.#room.byteLength)
      this.#room = new SharedArrayBuffer(Math.ceil(bytes * PAGES_ROOM_SPARE));
    return new Uint8Array(this.#room, 0, bytes);
  }
}
