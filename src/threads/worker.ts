// What every worker thread does alike: its first failure is told to main and latched, so that nothing goes on after it.
import type { Failed } from "./messages.ts";

/** A failure that an operator can mend: the message says what to do. */
export class AdviceError extends Error {
  override readonly name = "AdviceError";
}

/** Runs `step`; the first exception of the thread becomes a `failed` message, and every later step is ignored. */
export class FailureLatch {
  #failed = false;
  readonly #tell: (failed: Failed) => void;

  constructor(tell: (failed: Failed) => void) {
    this.#tell = tell;
  }

  run(step: () => void): void {
    if (this.#failed) return;
    try {
      step();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Runs a step after what has come meanwhile. */
  later(step: () => void): void {
    setImmediate(() => this.run(step));
  }

  /** The thread's first failure, found outside `run`. */
  fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#tell(failedOf(error));
  }
}

/** Operating errors of the rooms that a worker opens: their messages say what to do, a stack would only hide it. */
const WITH_ADVICE: ReadonlySet<string> = new Set([
  "AdviceError",
  "AdmissionFormatError",
  "CheckpointError",
  "CorruptRecordError",
  "LedgerRefusedError",
  "LogFolderError",
  "TableRefusedError",
]);

function failedOf(error: unknown): Failed {
  if (!(error instanceof Error)) return { kind: "failed", message: String(error), advice: false };
  const advice = WITH_ADVICE.has(error.name);
  const message = advice ? error.message : (error.stack ?? error.message);
  return { kind: "failed", message, advice };
}
