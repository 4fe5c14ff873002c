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

export class EngineCheckpoints {
  readonly #engine: Engine;
  readonly #applied: AppliedConfiguration;
  readonly #send: Send;
  #taken: Taken | null = null;
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

  /** Everything up to `position` is durable and folded. */
  folded(position: number): void {
    const taken = this.#taken;
    if (taken === null || taken.position > position) return;
    this.#taken = null;
    this.#send({ kind: "checkpoint", change: taken.change });
  }

  /** Tells the export how far outputs are given: now and then, since a message wakes its thread. */
  tick(): void {
    this.#send({ kind: "folded", position: this.#engine.folded });
  }

  /** Takes a checkpoint of now, unless one is on its way. */
  take(): void {
    if (!this.#isSaving && !this.#isFinal) this.#begin();
  }

  #begin(): void {
    this.#isSaving = true;
    this.#taken = {
      position: this.#engine.lastPosition,
      change: checkpointChange(this.#engine, this.#applied),
    };
    this.folded(this.#engine.folded);
  }

  /** The checkpoint that was sent is on disk. */
  saved(): void {
    this.#isSaving = false;
  }

  /** At the end: true once a last checkpoint is on disk. */
  finish(): boolean {
    if (this.#isSaving) return false;
    if (this.#isFinal) return true;
    this.#isFinal = true;
    this.#begin();
    return false;
  }
}
