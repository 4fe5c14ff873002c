// The path, composed top to bottom on one thread: the file to read first. Every stage is a synchronous step; worker threads only loop
// around the same ones (src/threads). Tests run this; so can a simulator.
import type { Outcome } from "./admit/intake.ts";
import { assert } from "./base/assert.ts";
import { SCAN_PADDING_BYTES } from "../kernels/abi.ts";
import type { Engine } from "./engine.ts";
import { encodeRecord } from "./log/codec.ts";
import type { LogWriter } from "./log/log.ts";
import { DEFAULT_PARTITION, type ControlRecord } from "./log/record.ts";
import type { Exporter } from "./table/exporter.ts";

/** A producer's body, decompressed. */
export interface PipelineBody {
  readonly bytes: Uint8Array;
  readonly format: "json" | "ndjson";
  /** The source partition that it comes from; DEFAULT_PARTITION when it is left out. */
  readonly partition?: string;
}

/** What became of a body: sums over all records that took a part of it. Durable when it is returned. */
export interface PipelineAnswer extends Omit<Outcome, "request" | "done"> {
  /** The last log position that holds a part of it. */
  readonly position: number;
}

/** The id table of the stream is full: nothing more was taken. */
export class PipelineFullError extends Error {
  override readonly name = "PipelineFullError";
}

export class Pipeline {
  readonly #engine: Engine;
  readonly #log: LogWriter;
  readonly #exporter: Exporter | null;

  /** Without an exporter outputs stay pending in the engine's windows. */
  constructor(engine: Engine, log: LogWriter, exporter: Exporter | null) {
    this.#engine = engine;
    this.#log = log;
    this.#exporter = exporter;
  }

  /** One turn of the path for one body: decode, admit, log, fold, export. */
  turn(stream: string, body: PipelineBody, nowUs: number): PipelineAnswer {
    const { partition = DEFAULT_PARTITION } = body;
    const engine = this.#engine;
    const address = engine.bodiesBase;
    new Uint8Array(engine.decodeMemory).set(body.bytes, address);
    const offered = [{ request: 1, address, bytes: body.bytes.length, format: body.format }];
    let answer: PipelineAnswer = {
      accepted: 0,
      duplicates: 0,
      rejected: 0,
      errors: [],
      position: 0,
    };
    for (let used = 0, cursor = null; used === 0;) {
      const taken = engine.take({ stream, partition }, offered, { nowUs, cursor });
      if (taken.kind === "full")
        throw new PipelineFullError(`stream ${stream} has no room for ids`);
      if (taken.sealed !== null) {
        this.#log.append([encodeRecord(engine.recordOf(taken.sealed))]);
        const outputs = engine.foldSealed(taken.sealed);
        this.#exporter?.addOutputs(outputs);
      }
      for (const outcome of taken.outcomes) answer = addUp(answer, outcome, engine.lastPosition);
      ({ used } = taken);
      cursor = taken.cursor;
    }
    this.#export();
    return answer;
  }

  /** Writes and folds a control record that the engine made. */
  control(record: ControlRecord): void {
    this.#log.append([encodeRecord(record)]);
    const outputs = this.#engine.foldRecord(record);
    this.#exporter?.addOutputs(outputs);
    this.#export();
  }

  #export(): void {
    const exporter = this.#exporter;
    if (exporter === null) return;
    exporter.folded(this.#engine.folded, this.#engine.watermarks);
    while (exporter.readLog());
    for (const { view, output, position } of exporter.cut(false))
      this.#engine.windows.covered(view, output, position);
    const [failure] = exporter.commit();
    assert(failure === undefined, "the pipeline's tables can be written");
  }
}

/** Bytes to reserve for a body of at most `bytes` bytes. */
export function pipelineBodyBytes(bytes: number): number {
  return bytes + SCAN_PADDING_BYTES;
}

function addUp(answer: PipelineAnswer, outcome: Outcome, position: number): PipelineAnswer {
  return {
    accepted: answer.accepted + outcome.accepted,
    duplicates: answer.duplicates + outcome.duplicates,
    rejected: answer.rejected + outcome.rejected,
    errors: [...answer.errors, ...outcome.errors],
    position,
  };
}
