// The plain twin of the fold of sessions: the model of the session rule with rows of values in it, event at a time.
import { Evaluator, type Cell } from "./expression.ts";
import {
  aggregateValue,
  type ReferenceAggregate,
  type ReferenceOutput,
  type ReferenceView,
} from "./fold.ts";
import { ReferenceSessions, type ReferenceSession } from "./session.ts";

/** One event of a session. */
interface Applied {
  readonly keys: readonly Cell[];
  readonly parts: readonly { readonly takes: boolean; readonly value: Cell }[];
  /** WHERE is true for it. */
  readonly passes: boolean;
  readonly failed: boolean;
  readonly position: number;
  readonly index: number;
}

/** A late event, with the range of sessions that it would have touched. */
export type ReferenceLate = readonly [
  timeUs: bigint,
  startUs: bigint,
  endUs: bigint,
  position: number,
  index: number,
];

/** One view of sessions, event at a time. */
export class ReferenceSessionFold {
  readonly counts = { accepted: 0, filtered: 0, late: 0, failed: 0, applied: 0, pending: 0 };
  readonly late: ReferenceLate[] = [];
  readonly #plan: Omit<ReferenceView, "window">;
  readonly #gapUs: bigint;
  readonly #sessions: ReferenceSessions<Applied>;
  #accepted: Applied[] = [];

  constructor(plan: Omit<ReferenceView, "window">, gapUs: bigint, allowedUs: bigint | null) {
    this.#plan = plan;
    this.#gapUs = gapUs;
    this.#sessions = new ReferenceSessions(gapUs, allowedUs);
  }

  /** One event, and then the watermark after it. */
  fold(
    cells: readonly Cell[],
    at: { receivedAtUs: number; position: number; index: number; watermarkUs: bigint },
    eventTime = 0,
  ): void {
    this.counts.accepted++;
    this.#apply(cells, cells[eventTime] as bigint, at);
    this.#sessions.advance(at.watermarkUs);
    this.#count();
  }

  #apply(
    cells: readonly Cell[],
    timeUs: bigint,
    at: { receivedAtUs: number; position: number; index: number },
  ): void {
    const { filter, keys, aggregates } = this.#plan;
    const { position, index, receivedAtUs } = at;
    const row = new Evaluator({
      cells,
      receivedAtUs: BigInt(receivedAtUs),
      startUs: timeUs,
      endUs: timeUs,
    });
    const passes = filter === null || row.value(filter) === true;
    const values = keys.map(({ expr }) => row.value(expr)).map((key) => (key === 0 ? 0 : key));
    const parts = aggregates.map(({ arg, filter: takes }) => ({
      takes: (takes === null || row.value(takes) === true) && passes,
      value: arg === null ? 1 : row.value(arg),
    }));
    const event = { keys: values, parts, passes, failed: row.failed, position, index };
    const name = values.map((key) => `${typeof key} ${String(key)}`).join("\u0000");
    const verdict = this.#sessions.add(name, timeUs, event);
    if (verdict.kind === "late") {
      this.counts.late++;
      this.late.push([timeUs, verdict.startUs, verdict.endUs, position, index]);
    } else {
      this.#accepted.push(event);
      if (row.failed) this.counts.failed++;
    }
  }

  /** Events that did not fail are pending while their session is open. */
  #count(): void {
    const open = new Set(this.#sessions.open.flatMap(({ events }) => events));
    const whole = this.#accepted.filter(({ failed }) => !failed);
    this.counts.pending = whole.filter((event) => open.has(event)).length;
    this.counts.applied = whole.length - this.counts.pending;
  }

  /** Rows of sessions that are out, in their last state. */
  get closed(): ReferenceOutput[] {
    return this.#sessions
      .rows()
      .filter(isCounted)
      .map((session) => this.#row(session));
  }

  /** Rows of all open sessions. */
  open(): ReferenceOutput[] {
    return this.#sessions.open.filter(isCounted).map((session) => this.#row(session));
  }

  #row(session: ReferenceSession<Applied>): ReferenceOutput {
    const events = session.events.toSorted((a, b) => a.position - b.position || a.index - b.index);
    const aggregate = (held: ReferenceAggregate, at: number): Cell =>
      aggregateValue(
        held,
        events.flatMap(({ parts }) => (parts[at]?.takes === true ? [parts[at].value] : [])),
      );
    const row = this.#plan.output.map(({ source }): Cell => {
      switch (source.kind) {
        case "window_start":
          return session.startUs;
        case "window_end":
          return session.lastUs + this.#gapUs;
        case "key":
          return events[0]?.keys[source.index] ?? null;
        case "aggregate": {
          const held = this.#plan.aggregates[source.index];
          return held === undefined ? null : aggregate(held, source.index);
        }
        default:
          throw new Error("a projection has no sessions");
      }
    });
    return { startUs: session.startUs, row: [...row, BigInt(session.lateCount)] };
  }
}

/** All events of a key make its sessions; WHERE decides which of them are counted. */
function isCounted({ events }: ReferenceSession<Applied>): boolean {
  return events.some(({ passes }) => passes);
}
