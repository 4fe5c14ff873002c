// The views' place in the log: records are folded in place as they become durable, unless outputs that wait for their tables take all the
// room there is, closed windows that wait for a checkpoint to leave memory, or a checkpoint is being copied. Then records stay in the log only, and are read again from
// there when there is room. A synchronous step; when it is called is the caller's.
import { must } from "./base/assert.ts";
import type { Engine } from "./engine.ts";
import type { SealedRecord } from "./engine-records.ts";
import { BACKLOG_READ_BYTES, PENDING_OUTPUT_BYTES_MAX } from "./limits.ts";
import type { LogReader } from "./log/log.ts";
import type { ControlRecord, LogRecord } from "./log/record.ts";
import type { ViewOutput } from "./window/output.ts";

/** A durable record: of events, whose image is still there, or a control record. */
export type DurableRecord = SealedRecord | ControlRecord;

export class EngineBacklog {
  readonly #engine: Engine;
  readonly #log: LogReader;
  readonly #outputBytesMax: number;
  #durable: number;
  /** Records that were read and not folded yet, the next one last. */
  #ahead: LogRecord[] = [];
  #isPaused = false;

  /** All of the engine's positions are durable now. */
  constructor(engine: Engine, log: LogReader, outputBytesMax = PENDING_OUTPUT_BYTES_MAX) {
    this.#engine = engine;
    this.#log = log;
    this.#outputBytesMax = outputBytesMax;
    this.#durable = engine.lastPosition;
  }

  /** The last durable position. */
  get durable(): number {
    return this.#durable;
  }

  /** Whether the log has records that the views have not folded. */
  get isBehind(): boolean {
    return this.#engine.folded < this.#durable;
  }

  /** Whether folding waits until tables take outputs: one record more may have gone beyond the bound. */
  get isWaiting(): boolean {
    return this.isBehind && this.#hasOutputs;
  }

  /** From now on nothing is folded: records are left to the log. */
  pause(): void {
    this.#isPaused = true;
  }

  /** Folding goes on, with what was left to the log. */
  resume(): void {
    this.#isPaused = false;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  get #hasOutputs(): boolean {
    return this.#engine.windows.pendingBytes >= this.#outputBytesMax;
  }

  get #mayFold(): boolean {
    return !this.#isPaused && !this.#hasOutputs && !this.#engine.windows.closedWindows.isFull;
  }

  /** Takes records that became durable, in order: folds them, or leaves them to the log. Their images are free then. */
  take(records: readonly DurableRecord[]): ViewOutput[] {
    const engine = this.#engine;
    return records.flatMap((record) => {
      const isFolded = !this.isBehind && this.#mayFold;
      this.#durable = record.position;
      if ("control" in record) return isFolded ? engine.foldRecord(record) : [];
      if (isFolded) return engine.foldSealed(record);
      engine.release(record);
      return [];
    });
  }

  /**
   * Folds a piece of what was left to the log, which ends with the record after which `isOver`; `more` when the next may be folded at once.
   * Throws as LogReader does.
   */
  catchUp(isOver: () => boolean): {
    readonly outputs: readonly ViewOutput[];
    readonly more: boolean;
  } {
    const outputs: ViewOutput[] = [];
    while (this.isBehind && this.#mayFold) {
      outputs.push(...this.#engine.foldRecord(this.#next()));
      if (isOver()) break;
    }
    if (!this.isBehind) this.#ahead = [];
    return { outputs, more: this.isBehind && this.#mayFold };
  }

  /** The record after the last folded one. The log may be ahead of what was told to be durable: that is folded in place. */
  #next(): LogRecord {
    const position = this.#engine.folded + 1;
    let next = this.#ahead.pop();
    if (next === undefined || next.position !== position) {
      this.#ahead = this.#log.read(position, BACKLOG_READ_BYTES).toReversed();
      next = must(this.#ahead.pop(), "the log has what is durable");
    }
    return next;
  }
}
