// Pins of queries: asks the engine for a position and images, then the export thread for exactly the files that complete them, and
// puts both together. Holds every pin until its query is answered. Wiring: what a pin means is in query/pin.ts.
import { must } from "../base/assert.ts";
import { eventTimeName } from "../event/schema.ts";
import type { Pin, PinnedFailures, PinnedRange } from "../query/pin.ts";
import { LATE_EVENTS, VIEW_ERRORS } from "../query/relations.ts";
import type { Refusal } from "../serve/deps.ts";
import { logFolderOf } from "../log/data-folder.ts";
import { failureTexts } from "../view/failures.ts";
import { finalityOf, windowSizeUs, windowSlideUs, type ViewPlan } from "../view/plan.ts";
import type { FleetStatus } from "./fleet.ts";
import type {
  EngineToMain,
  ExportToMain,
  MainToEngine,
  MainToExport,
  ThreadStart,
} from "./messages.ts";
import { systemRelations } from "./system-relations.ts";

type EnginePinned = Extract<EngineToMain, { kind: "pinned" }>;
type ExportPinned = Extract<ExportToMain, { kind: "pinned" }>;

/** A pin and what gives it back. */
export interface HeldPin {
  readonly pin: Pin;
  readonly release: () => void;
}

interface Pending {
  readonly streams: readonly string[];
  readonly deadLetters: boolean;
  /** Whether it asks for events that views counted as failed. */
  readonly failures: boolean;
  readonly reply: (held: HeldPin | Refusal) => void;
  engine: EnginePinned | null;
}

/** What a pin says of a view that may fail, but for where the view stands. */
type Failures = Omit<PinnedFailures, "after" | "upTo">;

interface Wires {
  readonly engine: (message: MainToEngine) => void;
  readonly export: (message: MainToExport) => void;
  readonly status: () => FleetStatus;
}

export class PinBoard {
  readonly #start: ThreadStart;
  readonly #wires: Wires;
  readonly #failures: readonly Failures[];
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;

  constructor(start: ThreadStart, wires: Wires) {
    this.#start = start;
    this.#wires = wires;
    this.#failures = failuresOf(start);
  }

  /** Relations by the names that SQL gives them; names that are neither stream, view nor system relation are passed over. */
  pin(
    relations: readonly string[],
    at: { readonly after: number; readonly mustReach: boolean },
  ): Promise<HeldPin | Refusal> {
    const id = this.#nextId++;
    const names = new Set(relations);
    const views = this.#start.views.map(({ name }) => name);
    const failures = names.has(VIEW_ERRORS);
    const late = failures || names.has(LATE_EVENTS);
    const failing = new Set(failures ? this.#failures.map(({ stream }) => stream) : []);
    return new Promise((reply) => {
      this.#pending.set(id, {
        streams: this.#start.streams
          .map(({ name }) => name)
          .filter((name) => names.has(name) || failing.has(name)),
        failures,
        deadLetters: names.has("millrace.dead_letters"),
        reply,
        engine: null,
      });
      const wanted = late ? views : views.filter((name) => names.has(name));
      this.#wires.engine({ kind: "pin", id, views: wanted, late, ...at });
    });
  }

  enginePinned(message: EnginePinned): void {
    const pending = this.#pending.get(message.id);
    if (pending === undefined) return;
    pending.engine = message;
    this.#wires.export({
      kind: "pin",
      id: message.id,
      streams: pending.streams,
      deadLetters: pending.deadLetters,
      views: message.views.map(({ view, rowsEpoch, lateEpoch }) => ({
        view,
        rowsEpoch,
        lateEpoch,
      })),
    });
  }

  lagging(message: Extract<EngineToMain, { kind: "lagging" }>): void {
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    pending?.reply({
      kind: "refusal",
      status: 503,
      code: "lagging",
      detail: `the views stand at log position ${message.position} and did not reach the position asked for within five seconds; ask again`,
      retryAfterS: 2,
    });
  }

  noPicture(message: Extract<EngineToMain, { kind: "no picture" }>): void {
    const pending = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    pending?.reply({
      kind: "refusal",
      status: 503,
      code: "no_room_for_images",
      detail: `open windows could not be written for this question (${message.message}): check the room in the data folder's tmp/, then ask again`,
      retryAfterS: 5,
    });
  }

  exportPinned(message: ExportPinned): void {
    const pending = this.#pending.get(message.id);
    if (pending === undefined || pending.engine === null) return;
    this.#pending.delete(message.id);
    const failures = pending.failures ? this.#failures : [];
    const release = (): void => {
      this.#wires.engine({ kind: "release", id: message.id });
      this.#wires.export({ kind: "release", id: message.id });
    };
    pending.reply({ pin: this.#pinOf(pending.engine, message, failures), release });
  }

  #pinOf(engine: EnginePinned, exported: ExportPinned, failures: readonly Failures[]): Pin {
    const { views, suspended } = engine.status;
    return {
      position: engine.position,
      logFolder: logFolderOf(this.#start.dataFolder),
      streams: exported.streams,
      views: exported.views.map(({ view, rows }) => {
        const held = engine.views.find((candidate) => candidate.view === view);
        return {
          view,
          rows,
          images: held?.images ?? [],
          changes: held?.changes ?? [],
          keys: this.#plan(view).output.flatMap(({ name, source }) =>
            source.kind === "aggregate" ? [] : [name],
          ),
          watermarkUs: held?.watermarkUs ?? null,
          finality: finalityOf(this.#plan(view)),
        };
      }),
      lateEvents: {
        files: exported.lateEvents,
        images: engine.views.flatMap(({ view, lateImages }) =>
          lateImages.map((path) => ({ view, path })),
        ),
        reconciled: engine.reconciled.map(({ view, fromUs, toUs, position }) => ({
          view,
          fromUs: fromUs.toString(),
          toUs: toUs.toString(),
          position,
          grid: gridOf(this.#plan(view)),
        })),
      },
      viewErrors: failures.map((of) => ({
        ...of,
        after: must(
          views.find(({ view }) => view === of.view),
          `view ${of.view}`,
        ).since,
        upTo: suspended.find(({ view }) => view === of.view)?.at ?? null,
      })),
      deadLetters: exported.deadLetters,
      inline: systemRelations(engine, {
        durablePosition: this.#wires.status().durablePosition,
        readers: exported.readers,
      }),
    };
  }

  #plan(view: string): ViewPlan {
    return must(
      this.#start.views.find(({ name }) => name === view),
      `view ${view}`,
    );
  }
}

/** The views some of whose operations can fail. */
function failuresOf({ streams, views }: ThreadStart): Failures[] {
  return views.flatMap((plan) => {
    const { schema } = must(
      streams.find(({ name }) => name === plan.stream),
      `stream ${plan.stream}`,
    );
    const texts = plan.rollupOf === null ? failureTexts(plan, schema) : null;
    if (texts === null) return [];
    const hasSessions = plan.window?.kind === "session";
    const of = { view: plan.name, stream: plan.stream, eventTime: eventTimeName(schema) };
    return [{ ...of, ...texts, hasSessions }];
  });
}

/** What the ranges of a view that were reconciled are of: see PinnedRange. */
function gridOf(plan: ViewPlan): PinnedRange["grid"] {
  if (plan.window?.kind === "session") return null;
  return { sizeUs: windowSizeUs(plan), slideUs: windowSlideUs(plan) };
}
