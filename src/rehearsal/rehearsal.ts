// The whole path on one thread with the log in memory: events in, the rows of every view out, nothing on disk. What `millrace test` and
// `preview` run: the same kernels, the same admission and the same record format as the appliance (pipeline.ts).
import { Engine } from "../engine.ts";
import type { EngineStream, KernelModules } from "../engine-options.ts";
import { imageRows, type Cell } from "../event/image.ts";
import { assert, must } from "../base/assert.ts";
import { REHEARSAL_BODY_BYTES_MAX } from "../limits.ts";
import { MemoryLog } from "../log/memory-log.ts";
import { Pipeline, pipelineBodyBytes, type PipelineAnswer } from "../pipeline.ts";
import { finalityOf, type ViewPlan } from "../view/plan.ts";
import type { ViewCounts } from "../window/fold.ts";
import { LATE_COLUMNS } from "../window/late.ts";
import { EventLineError, type EventLine } from "./event-lines.ts";
import { keyColumns, lastRows, rowColumns } from "./last-rows.ts";
import type { Relation } from "./relation.ts";

/** Events that go in together at most: as a client would batch them. How they are cut changes no row. */
const LINES_PER_BODY = 1000;

/** How many events went which way. */
export type RehearsalCounts = Pick<PipelineAnswer, "accepted" | "duplicates" | "rejected">;

export class Rehearsal {
  readonly #engine: Engine;
  readonly #pipeline: Pipeline;
  readonly #log = new MemoryLog({ fileSizeBytes: 2 ** 30, sizeMaxBytes: 2 ** 40 });
  readonly #plans: readonly ViewPlan[];

  constructor(
    modules: KernelModules,
    what: { readonly streams: readonly EngineStream[]; readonly plans: readonly ViewPlan[] },
  ) {
    this.#engine = new Engine({
      modules,
      // Any key will do: no id outlives the rehearsal, and none comes from a stranger.
      idKey: { k0: 1n, k1: 2n },
      streams: what.streams,
      bodiesBytes: pipelineBodyBytes(REHEARSAL_BODY_BYTES_MAX),
    });
    this.#plans = what.plans;
    this.#engine.addViews(
      what.plans.map((plan) => ({ plan, since: 0 })),
      [],
    );
    this.#pipeline = new Pipeline(this.#engine, this.#log.openWriter(), null);
  }

  /** Sends events in order, each received at its own time or else at `receivedAtUs`. Throws EventLineError for one that is too long. */
  send(stream: string, lines: readonly EventLine[], receivedAtUs: number): RehearsalCounts {
    const sum = { accepted: 0, duplicates: 0, rejected: 0 };
    for (const { texts, atUs, partition } of bodiesOf(lines, receivedAtUs)) {
      this.until(atUs - 1000);
      const bytes = Buffer.from(texts.join("\n"));
      const answer = this.#pipeline.turn(stream, { bytes, format: "ndjson", partition }, atUs);
      sum.accepted += answer.accepted;
      sum.duplicates += answer.duplicates;
      sum.rejected += answer.rejected;
    }
    return sum;
  }

  /**
   * The clock goes on to `nowUs` and nothing comes: partitions fall idle, as the appliance would have seen by then. One look is as good as
   * many: the last one moves the watermark at least as far as any before it.
   */
  until(nowUs: number): void {
    for (const tick of this.#engine.ticks(nowUs)) this.#pipeline.control(tick);
  }

  get views(): string[] {
    return this.#plans.map(({ name }) => name);
  }

  /** The newest event time that counts, µs; null before the first event. */
  newestEventTimeUs(stream: string): bigint | null {
    return this.#engine.admission.clock(stream).newestUs;
  }

  /** Where the events went in a view. */
  counts(view: string): Readonly<ViewCounts> {
    return must(
      this.#engine.windows.stats().find((stats) => stats.view === view),
      `view ${view}`,
    ).counts;
  }

  /** The last state of every row of a view, then `is_final`. Throws NoRoomError. */
  rows(view: string): Relation {
    const { windows } = this.#engine;
    const plan = must(
      this.#plans.find(({ name }) => name === view),
      `view ${view}`,
    );
    const isFinal = finalityIn(plan, windows.watermarkUs(view));
    return {
      name: view,
      columns: [
        ...rowColumns(plan),
        { name: "is_final", type: { kind: "BOOLEAN" }, nullable: true },
      ],
      keys: keyColumns(plan),
      rows: lastRows(plan, windows.pending(view), windows).map((row) => [...row, isFinal(row)]),
    };
  }

  /** Late events of all views, as in millrace.late_events. */
  lateEvents(): Relation {
    const rows = this.#plans.flatMap(({ name }) =>
      this.#engine.windows
        .pending(name)
        .filter(({ kind }) => kind === "late")
        .flatMap(({ image }) =>
          imageRows(image, LATE_COLUMNS).map((row): Cell[] => [name, ...row]),
        ),
    );
    const columns = [
      { name: "view", type: { kind: "VARCHAR" } as const, nullable: false },
      ...LATE_COLUMNS,
    ];
    return { name: "late_events", columns, keys: [], rows };
  }

  /** Reason, member and number within its request of every dead letter. */
  deadLetters(): Relation {
    const reader = this.#log.openReader();
    const rows: Cell[][] = [];
    for (let position = 1; position <= this.#log.last;) {
      const records = reader.read(position, REHEARSAL_BODY_BYTES_MAX);
      for (const record of records)
        if (record.kind === "events")
          rows.push(...record.rejects.map(({ reason, field }) => [reason, field]));
      position = must(records.at(-1), "record").position + 1;
    }
    const column = (name: string): Relation["columns"][number] => ({
      name,
      type: { kind: "VARCHAR" },
      nullable: true,
    });
    return { name: "dead_letters", columns: [column("reason"), column("field")], keys: [], rows };
  }
}

/** Whether nothing changes a row any more, as SQL says it: null when the row does not tell. */
function finalityIn(
  plan: ViewPlan,
  watermarkUs: bigint | null,
): (row: readonly Cell[]) => boolean | null {
  const finality = finalityOf(plan);
  if (finality === null || finality === "always") return () => (finality === null ? null : true);
  const ordinal = plan.output.findIndex(({ name }) => name === finality.column);
  return (row) => {
    const boundUs = row[ordinal];
    assert(typeof boundUs === "bigint", "bounds of windows are times");
    return watermarkUs !== null && boundUs + BigInt(finality.addUs) <= watermarkUs;
  };
}

/** Consecutive lines that were received at one moment from one partition. */
function bodiesOf(
  lines: readonly EventLine[],
  receivedAtUs: number,
): { readonly texts: readonly string[]; readonly atUs: number; readonly partition: string }[] {
  const bodies: { texts: string[]; atUs: number; partition: string; bytes: number }[] = [];
  for (const { text, receivedAtUs: own, partition } of lines) {
    const atUs = own ?? receivedAtUs;
    const bytes = Buffer.byteLength(text) + 1;
    if (bytes > REHEARSAL_BODY_BYTES_MAX)
      throw new EventLineError(
        `an event has ${bytes} bytes, more than ${REHEARSAL_BODY_BYTES_MAX}`,
      );
    const last = bodies.at(-1);
    if (
      last !== undefined &&
      last.atUs === atUs &&
      last.partition === partition &&
      last.texts.length < LINES_PER_BODY &&
      last.bytes + bytes <= REHEARSAL_BODY_BYTES_MAX
    ) {
      last.texts.push(text);
      last.bytes += bytes;
    } else bodies.push({ texts: [text], atUs, partition, bytes });
  }
  return bodies;
}
