// Verb: a plan and the shape of a batch -> the program in the fold memory and the registers that the kernels of windows, groups and
// aggregates read.
import { KEY_COLUMN_BYTES, STATE_HLL } from "../../kernels/abi.ts";
import type { EventSchema } from "../event/schema.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { RowLayout } from "./layout.ts";
import type { NumberedKeys } from "./key-set.ts";
import { Lowering } from "./lower.ts";
import type { FoldMemory } from "./memory.ts";
import type { Program, ProgramArea } from "./program.ts";
import type { SharedProgram } from "./shared-program.ts";

/** What a view must know of its stream's images: ordinals. */
export interface StreamShape {
  /** null: it is received_at. */
  readonly eventTime: number | null;
  readonly behind: number;
  /** Text columns, each of which may be plain or a dictionary in a batch. */
  readonly texts: readonly number[];
}

/** The shape of a stream's images: the declared columns, then `attrs`, then `_behind`. */
export function streamShape(schema: EventSchema): StreamShape {
  const count = schema.columns.length;
  const declared = schema.columns.flatMap((column, ordinal) =>
    column.type.kind === "VARCHAR" ? [ordinal] : [],
  );
  return { eventTime: schema.eventTime, behind: count + 1, texts: [...declared, count] };
}

/** A view compiled for batches of one shape. Registers; -1 = none. */
export interface CompiledView {
  readonly program: Program;
  /** Ordinals of the columns that the program reads. */
  readonly columns: readonly number[];
  readonly time: number;
  readonly filter: number;
  readonly receivedAt: number | null;
  /** `numbered`: other views have the same keys; null: none has, or they are those of sessions. */
  readonly keys: {
    readonly address: number;
    readonly count: number;
    readonly numbered: NumberedKeys | null;
  };
  readonly states: readonly {
    readonly kind: number;
    readonly offset: number;
    readonly arg: number;
    readonly filter: number;
  }[];
  /** Registers of the output columns that are expressions over the event: those of a projection. */
  readonly outputs: readonly number[];
}

/** What a program depends on beside the plan: ordinals that are dictionaries in the batch, and what views share (null: nothing). */
export interface BatchShape {
  readonly dictionaries: ReadonlySet<number>;
  readonly shared: SharedProgram | null;
}

/** Compiles a view; null when the program area is full. */
export function compileView(
  { memory, area }: { readonly memory: FoldMemory; readonly area: ProgramArea },
  plan: ViewPlan,
  { layout, shape }: { readonly layout: RowLayout; readonly shape: StreamShape },
  batch: BatchShape,
): CompiledView | null {
  const lowering = new Lowering({
    eventTime: shape.eventTime,
    window: plan.window?.kind === "tumble" ? plan.window : null,
    ...batch,
  });
  const time = lowering.time();
  // All events are in sessions: WHERE is a part of their states' conditions.
  const isFiltered = plan.filter !== null && plan.window?.kind !== "session";
  const filter = isFiltered ? lowering.rows(plan.filter, "value") : -1;
  const keys = layout.keys.map(({ expr, offset, kind }) => ({
    words: [offset, kind, lowering.rows(expr, "form"), lowering.rows(expr, "hash")],
  }));
  const states = layout.states.map(({ kind, offset, ...state }) => ({
    kind,
    offset,
    arg:
      state.arg === null ? -1 : lowering.rows(state.arg, kind === STATE_HLL ? "coupon" : "integer"),
    filter: state.filter === null ? -1 : lowering.rows(state.filter, "value"),
  }));
  const outputs = plan.output.flatMap(({ source }) =>
    source.kind === "expression" ? [lowering.rows(source.expr, "integer")] : [],
  );
  const isGrouped = plan.window?.kind === "tumble" || plan.window?.kind === "hop";
  const numbered = isGrouped ? batch.shared?.numberedKeys(plan.name, layout.keys) : null;
  const program = lowering.builder.finish(memory, area);
  const address = area.take(keys.length * KEY_COLUMN_BYTES);
  if (program === null || address === null) return null;
  keys.forEach(({ words }, index) =>
    words.forEach((word, at) =>
      memory.data.setUint32(address + index * KEY_COLUMN_BYTES + at * 4, word, true),
    ),
  );
  return {
    program,
    columns: [...lowering.columns],
    time,
    filter,
    receivedAt: lowering.receivedAt,
    keys: { address, count: keys.length, numbered: numbered ?? null },
    states,
    outputs,
  };
}
