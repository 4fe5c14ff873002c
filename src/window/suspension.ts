// When views stop and when they go on: a view beyond its bound keeps its state, with its rollups, and goes on at a start that gives it more; one that
// gave its state back for others does not.
import type { EventsRecord } from "../log/record.ts";
import type { Fold, Suspension } from "./fold.ts";
import type { PageMeter } from "./page-meter.ts";
import type { Room, Stop } from "./room.ts";
import type { SavedView } from "./root.ts";
import { SuspendedFold } from "./suspended-fold.ts";

export interface ViewOptions {
  /** The log position after which a new view counts events. */
  readonly since: number;
  /** Bytes of state beyond which it stops, with its rollups; null or absent: as long as all views have room. */
  readonly memoryMaxBytes?: number | null;
}

export class Suspensions {
  readonly #views: Map<string, Fold>;
  readonly #room: Room;
  readonly #meter: PageMeter;

  constructor(views: Map<string, Fold>, room: Room, meter: PageMeter) {
    this.#views = views;
    this.#room = room;
    this.#meter = meter;
  }

  /** Views that stopped, with the reasons. */
  get all(): Map<string, Suspension> {
    const found = [...this.#views.values()].flatMap(({ plan, state: { suspended } }) =>
      suspended === undefined ? [] : [[plan.name, suspended] as const],
    );
    return new Map(found);
  }

  /** Stops those of the views that are beyond their bounds, with their rollups. */
  keepBounds(views: readonly Fold[]): void {
    for (const { plan } of views) {
      const isRunning = this.#views.get(plan.name)?.state.suspended === undefined;
      const stop = isRunning && plan.rollupOf === null ? this.#room.beyondBound(plan.name) : null;
      if (stop !== null) this.suspend(stop);
    }
  }

  /** Makes room for what a record's events may take in one view. */
  makeRoom(record: EventsRecord): void {
    let stop = this.#room.withoutRoom(record);
    for (; stop !== null; stop = this.#room.withoutRoom(record)) this.suspend(stop);
  }

  /** Stops a view and the rollups over it; what it has put out stays. Its state is kept when a bound stops it, else given back. */
  suspend({ view: name, reason, boundBytes }: Stop): void {
    const view = this.#views.get(name);
    const isKept = boundBytes !== null;
    if (view === undefined || (isKept && view.state.suspended !== undefined)) return;
    for (const { plan } of this.#views.values())
      if (plan.rollupOf === name)
        this.suspend({
          view: plan.name,
          reason: `${name}, which it reads, is suspended`,
          boundBytes,
        });
    const { plan, counts, position, state } = view;
    const at = state.suspended?.at ?? position;
    const shape = { behind: view.behindColumn };
    const passed = { position, counts: { ...counts } };
    if (isKept) {
      const stopped = { ...state, suspended: { at, reason, boundBytes, passed } };
      this.#views.set(name, new SuspendedFold({ plan, shape }, stopped, view));
      return;
    }
    const payer = this.#meter.charge(name);
    view.free();
    this.#meter.charge(payer);
    this.#meter.set(name, 0);
    const stopped = { ...state, ...passed, suspended: { at, reason, boundBytes } };
    this.#views.set(name, new SuspendedFold({ plan, shape }, stopped, null));
  }

  /** Whether a view that stopped goes on: it has its state, and may have more now. A rollup does when its view, which was added before, does. */
  goesOn(
    { plan, state: { suspended } }: SavedView,
    { memoryMaxBytes }: ViewOptions,
    laggards: { has(view: string): boolean },
  ): boolean {
    if (suspended?.passed === undefined || suspended.boundBytes === null) return false;
    if (plan.rollupOf !== null) return laggards.has(plan.rollupOf);
    return (memoryMaxBytes ?? Infinity) > suspended.boundBytes;
  }
}
