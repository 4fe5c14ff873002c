// Verb: the words after `millrace verify` -> which views and which windows. Knows nothing of how they are compared.
import { similar } from "../base/similar.ts";
import { timeUs } from "../base/iso-time.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { VerifyRange } from "./comparison.ts";

export interface VerifyWords {
  readonly plans: readonly ViewPlan[];
  readonly range: VerifyRange | null;
}

/** Reads `[VIEW] [FROM TO]`. A string is what is wrong, for the operator. */
export function readVerifyWords(
  words: readonly string[],
  plans: readonly ViewPlan[],
): VerifyWords | string {
  const [first = ""] = words;
  const hasView = words.length % 2 === 1;
  if (words.length > 3) return "millrace verify takes [VIEW] [FROM TO]";
  const range = readRange(words.slice(hasView ? 1 : 0));
  if (typeof range === "string") return range;
  if (!hasView) return { plans, range };
  const plan = plans.find(({ name }) => name === first.toLowerCase());
  if (plan !== undefined) return { plans: [plan], range };
  const names = plans.map(({ name }) => name);
  const meant = similar(first, names);
  return `there is no view ${JSON.stringify(first)}; ${
    meant === null ? `views are ${names.join(", ") || "none"}` : `did you mean ${meant}?`
  }`;
}

/** Two times, the second later; none: null. */
export function readRange(words: readonly (string | undefined)[]): VerifyRange | null | string {
  const [from, to] = words;
  if (from === undefined && to === undefined) return null;
  if (from === undefined || to === undefined) return "a range has two times: FROM and TO";
  const times = [from, to].map(timeUs);
  const [fromUs, toUs] = times;
  if (fromUs === undefined || fromUs === null || toUs === undefined || toUs === null)
    return `${JSON.stringify(fromUs === null ? from : to)} is not a time; write 2019-10-01 or 2019-10-01T00:30:00Z`;
  return fromUs < toUs ? { fromUs, toUs } : `the range ends at ${to}, not after ${from}`;
}
