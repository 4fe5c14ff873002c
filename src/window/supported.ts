// Noun: what a plan may say that no fold runs yet. The check of a configuration refuses it; whoever makes a feature run end to end takes
// its line away in the same commit.
import type { ViewPlan } from "../view/plan.ts";

interface MissingFeature {
  /** In words that a user knows. */
  readonly what: string;
  readonly isUsed: (plan: ViewPlan) => boolean;
}

const MISSING_FEATURES: readonly MissingFeature[] = [
  {
    what: "late: update over hop",
    isUsed: ({ window, late }) => window?.kind === "hop" && late.policy === "update",
  },
  // A correction may take a row away from the view, or let another one in.
  {
    what: "late: update with HAVING or QUALIFY",
    isUsed: ({ having, topN, late }) =>
      late.policy === "update" && (having !== null || topN !== null),
  },
];

/** What no fold of this release runs of a plan; empty: all of it runs. */
export function missingFeatures(plan: ViewPlan): string[] {
  return MISSING_FEATURES.filter(({ isUsed }) => isUsed(plan)).map(({ what }) => what);
}
