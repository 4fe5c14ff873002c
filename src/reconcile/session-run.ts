// Verb: late events into final sessions. A late event counts once a published range holds its time: the sessions of its key that it lies near
// are computed anew as one, from the raw events, by the kernels. Late events near sessions that are not final stay out of the ranges.
import { must } from "../base/assert.ts";
import { isoTime, YEAR_10000_US, YEAR_1_US } from "../base/iso-time.ts";
import type { Cell } from "../event/image.ts";
import { RECONCILE_CHUNK_EVENTS, RECONCILE_ROWS_BYTES_MAX } from "../limits.ts";
import type { ReconciledRows } from "../log/reconcile-control.ts";
import { NoRoomError } from "../rehearsal/last-rows.ts";
import { Past } from "../rehearsal/past.ts";
import { keyOrdinals, type ViewPlan } from "../view/plan.ts";
import { changesOf, presentCells } from "./changes.ts";
import {
  gapOf,
  halvesOf,
  heldBecause,
  islandsOf,
  keyName,
  lateChunks,
  revisionOf,
  withoutMoments,
  type Island,
  type LateChunk,
  type LateEvent,
} from "./islands.ts";
import type { RawScope, Standing } from "./questions.ts";
import { LATE_PAGE_EVENTS, SESSION_MARGIN_GAPS } from "./session-limits.ts";
import {
  countingConditions,
  lateCountText,
  lateEventsOf,
  lateKeysText,
  latePageText,
  sessionEventsOf,
  sessionEventsText,
  sessionRowsText,
  type KeyedScope,
} from "./session-questions.ts";
import {
  ReconcileError,
  Tally,
  type ReconcileOrder,
  type ReconcilePorts,
  type ReconcileReport,
  type TimeRange,
} from "./tally.ts";

/** Brings the late events of the range into their sessions. */
export async function reconcileSessions(
  order: ReconcileOrder,
  ports: ReconcilePorts,
  standing: Standing,
): Promise<ReconcileReport> {
  const plan = must(order.plans[0], "a view");
  const scope = { schema: order.schema, standing };
  const { rawPosition } = standing;
  const [[all] = []] = await ports.ask(lateCountText(plan, order, scope), rawPosition);
  const run = new SessionRun(order, ports, standing);
  for (let { fromUs } = order; ;) {
    const rest = { fromUs, toUs: order.toUs };
    const text = latePageText(plan, rest, { ...scope, limit: LATE_PAGE_EVENTS });
    const late = lateEventsOf(await ports.ask(text, rawPosition));
    const isLast = late.length < LATE_PAGE_EVENTS;
    // Those of the last moment may go on in the next page.
    const toUs = isLast ? order.toUs : must(late.at(-1), "a late event").timeUs;
    const whole = isLast ? late : late.filter(({ timeUs }) => timeUs < toUs);
    if (!isLast && whole.length === 0)
      throw new ReconcileError(`more than ${LATE_PAGE_EVENTS} events are late at ${isoTime(toUs)}`);
    for (const chunk of lateChunks(whole, { fromUs, toUs })) {
      await run.chunk(chunk);
      run.tally.tell(Number(all));
    }
    if (isLast) return run.tally.report;
    fromUs = toUs;
  }
}

/** The sessions that late events make, and which raw events they are made of. */
interface Found {
  readonly islands: readonly Island[];
  readonly scope: KeyedScope;
}

class SessionRun {
  readonly tally: Tally;
  readonly #ports: ReconcilePorts;
  readonly #plan: ViewPlan;
  readonly #scope: RawScope;

  constructor(order: ReconcileOrder, ports: ReconcilePorts, standing: Standing) {
    this.tally = new Tally(order, ports, standing);
    this.#ports = ports;
    this.#plan = must(order.plans[0], "a view");
    this.#scope = { schema: order.schema, standing };
  }

  /** Publishes what a chunk changes: by halves when that is too much, in parts around late events of sessions that are held back. */
  async chunk(chunk: LateChunk): Promise<void> {
    const found = await this.#find(chunk);
    if (typeof found === "string") return this.#halves(chunk, found);
    const held = found.islands.filter((island) => this.#heldBecause(island) !== null);
    if (held.length > 0) return this.#around(chunk, held);
    const rows = await this.#changes(found);
    if (typeof rows === "string") return this.#halves(chunk, rows);
    const bytes = rows.reduce((sum, { image }) => sum + image.byteLength, 0);
    if (bytes > RECONCILE_ROWS_BYTES_MAX)
      return this.#halves(chunk, "they have more changed rows than one record takes");
    const counts = { windows: found.islands.length, lateEvents: chunk.late.length };
    return this.tally.publish(chunk.range, rows, counts);
  }

  async #halves(chunk: LateChunk, why: string): Promise<void> {
    const halves = halvesOf(chunk);
    if (halves === null) return this.#skip(chunk.late.length, chunk.late, why);
    for (const half of halves) await this.chunk(half);
  }

  #skip(windows: number, late: readonly LateEvent[], why: string): void {
    this.tally.skip({ windows, lateEvents: late.length, why });
  }

  /** Leaves out the moments of late events in sessions that are held back: other sessions' events of these moments wait with them. */
  async #around(chunk: LateChunk, held: readonly Island[]): Promise<void> {
    const places = new Set(chunk.late.map(({ place }) => place));
    const whyAt = new Map(
      held.flatMap((island) =>
        island.events
          .filter(({ place }) => places.has(place))
          .map(({ timeUs }) => [timeUs, must(this.#heldBecause(island), "a reason")]),
      ),
    );
    for (const why of new Set(whyAt.values()))
      this.#skip(
        held.filter((island) => this.#heldBecause(island) === why).length,
        chunk.late.filter(({ timeUs }) => whyAt.get(timeUs) === why),
        why,
      );
    for (const part of withoutMoments(chunk, new Set(whyAt.keys()))) await this.chunk(part);
  }

  #heldBecause(island: Island): string | null {
    const { beganUs, watermarkUs } = this.#scope.standing;
    return heldBecause(island, {
      view: this.#plan.name,
      gapUs: gapOf(this.#plan),
      watermarkUs: must(watermarkUs, "a watermark"),
      beganUs,
    });
  }

  /** The sessions that hold the chunk's late events, once these count. A string: why they cannot be found. */
  async #find({ late, range }: LateChunk): Promise<Found | string> {
    const plan = this.#plan;
    const gapUs = gapOf(plan);
    const places = new Set(late.map(({ place }) => place));
    const keys = (await this.#ask(lateKeysText(plan, late, this.#scope))).map(([key]) =>
      String(key),
    );
    const reconciled = this.tally.withRange(range);
    const [first, last] = [must(late[0], "a late event"), must(late.at(-1), "a late event")];
    let around = widened(
      { fromUs: first.timeUs, toUs: last.timeUs + 1n },
      gapUs * SESSION_MARGIN_GAPS,
    );
    for (;;) {
      const scope = { ...this.#scope, keys, range: around, reconciled };
      const text = sessionEventsText(plan, scope, RECONCILE_CHUNK_EVENTS + 1);
      const rows = await this.#ask(text);
      if (rows.length > RECONCILE_CHUNK_EVENTS)
        return `there are more than ${RECONCILE_CHUNK_EVENTS} events around them`;
      const islands = islandsOf(sessionEventsOf(plan, rows), gapUs).filter(({ events }) =>
        events.some(({ place }) => places.has(place)),
      );
      const isWhole = (island: Island): boolean =>
        isWithin({ fromUs: island.startUs - gapUs, toUs: island.lastUs + gapUs + 1n }, around);
      // A session that is held back is so with more events too.
      if (islands.every((island) => isWhole(island) || this.#heldBecause(island) !== null))
        return { islands, scope };
      around = widened(around, around.toUs - around.fromUs);
    }
  }

  /** The rows of sessions that are other than they are. A string: why they cannot be computed. */
  async #changes({ islands, scope }: Found): Promise<ReconciledRows[] | string> {
    const plan = this.#plan;
    const { foldModule, pagesMax } = this.#ports;
    const past = new Past(foldModule, [plan], scope.schema, pagesMax);
    const range = islands.map(({ startUs, lastUs }) => ({ fromUs: startUs, toUs: lastUs + 1n }));
    const within = { ...scope, range: range.reduce(union) };
    const where = countingConditions(plan, within);
    try {
      await past.read((sql) => this.#ask(sql), { range: null, where, isInTime: true });
    } catch (error) {
      if (error instanceof NoRoomError) return error.message;
      throw error;
    }
    const ofKey = Map.groupBy(islands, ({ keys }) => keyName(keys));
    const islandOf = (row: readonly Cell[]): Island | undefined => {
      const { key, startUs } = placeOf(plan, row);
      return ofKey.get(key)?.find((one) => one.startUs <= startUs && startUs <= one.lastUs);
    };
    const wanted = past
      .rows(plan, (row) => islandOf(row)?.startUs === placeOf(plan, row).startUs)
      .rows.map((row) => [
        ...row.slice(0, -1),
        revisionOf(must(islandOf(row), "the session of a row"), plan),
      ]);
    const present = (await this.#ask(sessionRowsText(plan, within)))
      .map((row) => presentCells(plan, row))
      .filter((row) => islandOf(row) !== undefined);
    return changesOf(plan, wanted, present);
  }

  #ask(sql: string): Promise<readonly (readonly unknown[])[]> {
    return this.#ports.ask(sql, this.tally.after);
  }
}

/** The key and the start of a row's session. */
function placeOf(
  plan: ViewPlan,
  row: readonly Cell[],
): { readonly key: string; readonly startUs: bigint } {
  const cell = (ordinal: number): Cell => must(row[ordinal], "a cell");
  const start = plan.output.findIndex(({ source }) => source.kind === "window_start");
  const keys = keyOrdinals(plan).map((ordinal) => row[ordinal] ?? null);
  return { key: keyName(keys), startUs: BigInt(cell(start) ?? 0) };
}

function widened({ fromUs, toUs }: TimeRange, byUs: bigint): TimeRange {
  const [from, to] = [fromUs - byUs, toUs + byUs];
  return {
    fromUs: from < YEAR_1_US ? YEAR_1_US : from,
    toUs: to > YEAR_10000_US ? YEAR_10000_US : to,
  };
}

/** Whether a range lies in another, as far as times go. */
function isWithin(range: TimeRange, { fromUs, toUs }: TimeRange): boolean {
  return (
    (range.fromUs >= fromUs || fromUs === YEAR_1_US) &&
    (range.toUs <= toUs || toUs === YEAR_10000_US)
  );
}

function union(a: TimeRange, b: TimeRange): TimeRange {
  return {
    fromUs: a.fromUs < b.fromUs ? a.fromUs : b.fromUs,
    toUs: a.toUs > b.toUs ? a.toUs : b.toUs,
  };
}
