// Verb: a plan -> the fold that runs it, by the kind of its windows.
import type { Fold, FoldPlace, FoldView, ViewState } from "./fold.ts";
import { ViewFold } from "./view-fold.ts";

/** The fold of a view that continues from `state`. Throws for plans that no fold runs. */
export function makeFold(place: FoldPlace, view: FoldView, state: ViewState): Fold {
  const { plan } = view;
  switch (plan.window?.kind) {
    case "tumble":
      return new ViewFold(place, view, state);
    default:
      throw new Error(`view ${plan.name}: its windows are not in this release`);
  }
}
