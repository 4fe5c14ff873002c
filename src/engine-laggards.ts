// Views that go on after a suspension, and the records that they passed: from the log, and what that no longer has from the raw table, page by page as
// somebody brings them. They fold while the others have nothing to fold. A synchronous step; when it is called is the caller's.
import type { EngineBacklog } from "./engine-backlog.ts";
import { must } from "./base/assert.ts";
import { BACKLOG_READ_BYTES, PENDING_OUTPUT_BYTES_MAX } from "./limits.ts";
import { LogTrimmedError, type LogReader } from "./log/log.ts";
import type { EventsRecord, LogRecord } from "./log/record.ts";
import type { ViewOutput } from "./window/output.ts";
import type { Gap, Laggard } from "./window/laggards.ts";
import type { Windows } from "./window/windows.ts";

/** Outputs beyond which views that go on wait for their tables: half of what makes all views wait. */
const OUTPUT_BYTES_MAX = PENDING_OUTPUT_BYTES_MAX / 2;

/** What a view that goes on asks of the raw table. */
export interface PastWish {
  /** Its number: the answer's pages have it. */
  readonly id: number;
  readonly view: string;
  readonly gap: Gap;
}

/** A piece of the answer to the wish `id`. */
export type PastPage = { readonly id: number } & PastAnswer;

type PastAnswer =
  | { readonly kind: "page"; readonly records: readonly EventsRecord[]; readonly isLast: boolean }
  /** There is no answer, and why. */
  | { readonly kind: "none"; readonly reason: string };

export interface LaggardWires {
  readonly backlog: Pick<EngineBacklog, "isBehind" | "isPaused">;
  /** Its pages come by `take`, each when the one before was asked to be followed. It takes the place of the one before; null: none does. */
  readonly wish: (wish: PastWish | null) => void;
  /** The next page may come. */
  readonly more: () => void;
}

export class EngineLaggards {
  readonly #windows: Windows;
  readonly #log: LogReader;
  readonly #wires: LaggardWires;
  readonly #outputBytesMax: number;
  #wishes = 0;
  /** What is being read of the raw table. */
  #wish: PastWish | null = null;
  /** Its records that are here, the next one last; whether they are the last ones. */
  #past: EventsRecord[] = [];
  #isLast = false;
  /** Records of the log that were read and not folded yet, the next one last. */
  #ahead: LogRecord[] = [];

  constructor(
    windows: Windows,
    log: LogReader,
    wires: LaggardWires,
    outputBytesMax = OUTPUT_BYTES_MAX,
  ) {
    this.#windows = windows;
    this.#log = log;
    this.#wires = wires;
    this.#outputBytesMax = outputBytesMax;
  }

  /** Whether a piece can be folded now: what is asked of the raw table is here, the other views are done, and there is room for outputs. */
  get mayFold(): boolean {
    const windows = this.#windows;
    const { backlog } = this.#wires;
    if (backlog.isBehind || backlog.isPaused || windows.laggards.first === null) return false;
    const isRoomy = windows.pendingBytes < this.#outputBytesMax && !windows.closedWindows.isFull;
    return isRoomy && (this.#wish === null || this.#past.length > 0 || this.#isLast);
  }

  /** Folds a piece, which ends with the record after which `isOver`. Throws as LogReader does. */
  step(isOver: () => boolean): ViewOutput[] {
    const outputs: ViewOutput[] = [];
    while (this.mayFold) {
      const record = this.#next();
      if (record === null) continue;
      outputs.push(...this.#windows.laggards.fold(record));
      if (isOver()) break;
    }
    return outputs;
  }

  /** Takes what the raw table has for the wish. */
  take(page: PastPage): void {
    if (page.id !== this.#wish?.id) return;
    const { laggards } = this.#windows;
    if (laggards.first?.plan.name !== this.#wish.view) return this.#forget();
    if (page.kind === "none") {
      laggards.stop(page.reason);
      return this.#forget();
    }
    this.#past = [...page.records.toReversed(), ...this.#past];
    this.#isLast = page.isLast;
    this.#askForMore();
  }

  /** One page is here at a time, however long it takes until it is folded. */
  #askForMore(): void {
    if (this.#past.length === 0 && !this.#isLast) this.#wires.more();
  }

  /** The record to fold; null: look again, since something else was done instead. */
  #next(): LogRecord | null {
    const laggard = must(this.#windows.laggards.first, "a view that goes on");
    if (this.#wish !== null && this.#wish.view !== laggard.plan.name) this.#forget();
    if (this.#wish !== null) return this.#nextOfGap(this.#wish);
    if (laggard.position >= laggard.passed) return this.#rejoin();
    return this.#logged(laggard);
  }

  #nextOfGap(wish: PastWish): LogRecord | null {
    const record = this.#past.pop();
    if (record === undefined) return this.#endOfGap(wish);
    this.#askForMore();
    return record;
  }

  /** Nothing more is read for the wish: its view has stopped, or has all. */
  #forget(): void {
    this.#wish = null;
    this.#past = [];
    this.#wires.wish(null);
  }

  #endOfGap({ gap }: PastWish): null {
    this.#windows.laggards.pass(gap.before - 1);
    this.#forget();
    return null;
  }

  #rejoin(): null {
    const { laggards } = this.#windows;
    const why = laggards.rejoin();
    if (why !== null) laggards.stop(why);
    return null;
  }

  /** The record after the last one that it has folded; what the log no longer has is asked of the raw table. */
  #logged({ position, ...laggard }: Laggard): LogRecord | null {
    const next = this.#ahead.pop();
    if (next?.position === position + 1) return next;
    try {
      this.#ahead = this.#log.read(position + 1, BACKLOG_READ_BYTES).toReversed();
      return must(this.#ahead.pop(), "the log has what is durable");
    } catch (error) {
      if (!(error instanceof LogTrimmedError)) throw error;
      const { plan, passed, eventCount, reconciledAt } = laggard;
      const before = Math.min(error.firstHeld, passed + 1);
      // the raw table has events, and rows that a reconcile computed are in its record alone
      if (reconciledAt !== null && reconciledAt < before) {
        this.#windows.laggards.stop(
          `the log begins at position ${before} and no longer has record ${reconciledAt}, which reconciled its windows`,
        );
        return null;
      }
      const gap = { after: position, before, upTo: passed, eventCount };
      this.#wish = { id: ++this.#wishes, view: plan.name, gap };
      this.#isLast = false;
      this.#wires.wish(this.#wish);
      return null;
    }
  }
}
