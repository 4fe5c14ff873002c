// Verb: a plan -> the fold that runs it and its root in the fold memory, by the kind of its windows.
import type { ViewPlan } from "../view/plan.ts";
import type { Fold, FoldPlace, FoldView, Lower, ViewState } from "./fold.ts";
import type { FoldMemory } from "./memory.ts";
import { ProjectionFold } from "./projection-fold.ts";
import { RollupFold } from "./rollup-fold.ts";
import { createSessionRoot, SessionFold } from "./session-fold.ts";
import { SuspendedFold } from "./suspended-fold.ts";
import { ViewFold } from "./view-fold.ts";

/** The fold of a view that continues from `state`; `below`: what a rollup merges. Throws for plans that no fold runs. */
export function makeFold(
  place: FoldPlace,
  view: FoldView & { readonly below: Lower | null },
  state: ViewState,
): Fold {
  const { suspended } = state;
  if (suspended === undefined) return makeRunning(place, view, state);
  const kept = suspended.passed === undefined ? null : makeRunning(place, view, state);
  return new SuspendedFold(view, state, kept);
}

function makeRunning(
  place: FoldPlace,
  view: FoldView & { readonly below: Lower | null },
  state: ViewState,
): Fold {
  const { plan, below } = view;
  if (below !== null) return new RollupFold(place, { ...view, below }, state);
  switch (plan.window?.kind) {
    case "tumble":
    case "hop":
      return new ViewFold(place, view, state);
    case "session":
      return new SessionFold(place, view, state);
    case undefined:
      return new ProjectionFold(place, view, state);
    default:
      throw new Error(`view ${plan.name}: its windows are not in this release`);
  }
}

/** The root page of a view that holds nothing yet; its address. */
export function createRoot(memory: FoldMemory, plan: ViewPlan): number {
  return plan.window?.kind === "session"
    ? createSessionRoot(memory, plan)
    : memory.call.createRoot();
}

/** Gives back all memory below a root. */
export function freeRoot(memory: FoldMemory, plan: ViewPlan, root: number): void {
  if (plan.window?.kind === "session") memory.call.freeSessions(root);
  else memory.call.freeRoot(root);
}
