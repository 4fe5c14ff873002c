// Views that go on after a suspension: they fold what they passed, one view with its rollups after the other, while the others go on with the log. Where
// the records come from is the caller's. A view that has folded all that it passed is a view like the others again.
import { assert, must } from "../base/assert.ts";
import { clockControlOf } from "../log/clock-control.ts";
import type { LogRecord } from "../log/record.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { Fold, Suspension } from "./fold.ts";
import type { ViewOutput } from "./output.ts";
import { SuspendedFold } from "./suspended-fold.ts";

/** The view that is folded now. Positions are the log's last ones. */
export interface Laggard {
  readonly plan: ViewPlan;
  /** What it has folded. */
  readonly position: number;
  /** What it has passed: the others stand there. */
  readonly passed: number;
  /** Events of its stream between both. */
  readonly eventCount: number;
  /** The first record between both that reconciles its windows; null: there is none. */
  readonly reconciledAt: number | null;
}

/** What a view has passed and the log no longer has. */
export interface Gap {
  /** It has folded the log up to here. */
  readonly after: number;
  /** The first position that the log has: it goes on from there. */
  readonly before: number;
  /** What it passed: the other views stand there. */
  readonly upTo: number;
  /** Events of its stream behind `after` and up to `upTo`. */
  readonly eventCount: number;
}

export class Laggards {
  readonly #views: Map<string, Fold>;
  readonly #foldRecord: (record: LogRecord) => ViewOutput[];
  /** Views and their rollups, each before those over it. */
  readonly #names = new Set<string>();

  /** `foldRecord` folds a record into all of `views` that stand before it. */
  constructor(views: Map<string, Fold>, foldRecord: (record: LogRecord) => ViewOutput[]) {
    this.#views = views;
    this.#foldRecord = foldRecord;
  }

  /** A suspended view goes on; its rollups come after it. */
  add(view: string): void {
    this.#names.add(view);
  }

  has(view: string): boolean {
    return this.#names.has(view);
  }

  remove(view: string): void {
    this.#names.delete(view);
  }

  /** Where each of them stands. */
  get positions(): Map<string, number> {
    this.#forgetEmpty();
    return new Map([...this.#names].map((name) => [name, this.#keptOf(name).position]));
  }

  /** The one to fold for; null: none is left. */
  get first(): Laggard | null {
    this.#forgetEmpty();
    const [name] = this.#names;
    if (name === undefined) return null;
    const passing = this.#passing(name);
    const { plan, position, counts } = this.#keptOf(name);
    const eventCount = passing.counts.accepted - counts.accepted;
    const { position: passed, reconciledAt } = passing;
    return { plan, position, passed, eventCount, reconciledAt };
  }

  /** Folds into the first one, with its rollups, a record that it has passed; gives what they put out. */
  fold(record: LogRecord): ViewOutput[] {
    const family = this.#family().map((name) => [name, this.#passing(name)] as const);
    const [, bottom] = must(family[0], "a view that goes on");
    for (const [name] of family) this.#views.set(name, this.#keptOf(name));
    const outputs = this.#foldForward(record, bottom);
    for (const [name, passing] of family) {
      const waiting = this.#waiting(name, passing);
      this.#views.set(name, waiting);
      // a record that is none of its business is passed as well
      if (waiting === passing) this.#pass(name, record.position);
    }
    return outputs;
  }

  /** The records up to `position` that are not folded yet have nothing for the first one. */
  pass(position: number): void {
    for (const name of this.#family()) this.#pass(name, position);
  }

  /** The first one has folded all that it passed. Returns why not, when its events were not all of those. */
  rejoin(): string | null {
    const { position, passed, eventCount } = must(this.first, "a view that goes on");
    assert(position === passed, "it stands where the others do");
    if (eventCount !== 0) return `${eventCount} events that it passed were not there`;
    for (const name of this.#family()) {
      this.#views.set(name, this.#keptOf(name));
      this.#names.delete(name);
    }
    return null;
  }

  /** The first one stops where it is, until the next start. */
  stop(reason: string): void {
    for (const name of this.#family()) {
      const kept = this.#keptOf(name);
      const suspended = { at: kept.position, reason, boundBytes: 0 };
      this.#views.set(name, this.#passing(name).stopped(suspended, kept));
      this.#names.delete(name);
    }
  }

  #pass(name: string, position: number): void {
    this.#keptOf(name).skip(Math.min(position, this.#passing(name).position));
  }

  /** Folds a record whose watermark may be below the one that the raw table told: time stands still until the log has come there. */
  #foldForward(record: LogRecord, { plan, watermarkUs }: Fold): ViewOutput[] {
    const isBack = (us: bigint | null): boolean =>
      watermarkUs !== null && (us === null || us < watermarkUs);
    if (record.kind === "events")
      return this.#foldRecord(isBack(record.watermarkUs) ? { ...record, watermarkUs } : record);
    const clock = clockControlOf(record);
    const isStill = clock?.stream === plan.stream && isBack(clock.watermarkUs);
    return isStill ? [] : this.#foldRecord(record);
  }

  /** A view after a record: it goes on passing what the others fold, and when the record stopped it, it has stopped again. */
  #waiting(name: string, passing: SuspendedFold): SuspendedFold {
    const now = must(this.#views.get(name), `view ${name}`);
    if (!(now instanceof SuspendedFold)) return passing;
    this.#names.delete(name);
    const suspended: Suspension = must(now.state.suspended, "a reason");
    return passing.stopped(suspended, now.kept);
  }

  /** Those that had to give their state back for others go on no more. */
  #forgetEmpty(): void {
    for (const name of this.#names) if (this.#passing(name).kept === null) this.#names.delete(name);
  }

  /** The first one and the rollups over it, each before those over it. */
  #family(): string[] {
    const family = new Set<string>();
    for (const name of this.#names) {
      const { rollupOf } = this.#passing(name).plan;
      if (family.size === 0 || (rollupOf !== null && family.has(rollupOf))) family.add(name);
    }
    return [...family];
  }

  #passing(name: string): SuspendedFold {
    const view = this.#views.get(name);
    assert(view instanceof SuspendedFold, `view ${name} is suspended`);
    return view;
  }

  #keptOf(name: string): Fold {
    return must(this.#passing(name).kept, `the state of ${name}`);
  }
}
