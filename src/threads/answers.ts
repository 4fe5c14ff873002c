// Outcomes as they travel from engine over log to main: numbers in one array, errors beside it where there are any.
import type { Outcome } from "../admit/intake.ts";
import { must } from "../base/assert.ts";
import { ANSWER_WORDS, type Answers } from "./messages.ts";

/** Packs the outcomes of one record, the last ones of so many slots. */
export function packAnswers(outcomes: readonly Outcome[], slots: number): Answers {
  const counts = new Int32Array(outcomes.length * ANSWER_WORDS);
  const errors: { ordinal: number; errors: Outcome["errors"] }[] = [];
  for (const [ordinal, outcome] of outcomes.entries()) {
    const { request, accepted, duplicates, rejected, done } = outcome;
    const at = ordinal * ANSWER_WORDS;
    counts[at] = request;
    counts[at + 1] = accepted;
    counts[at + 2] = duplicates;
    counts[at + 3] = rejected;
    counts[at + 4] = done ? 1 : 0;
    if (outcome.errors.length > 0) errors.push({ ordinal, errors: outcome.errors });
  }
  return { counts, errors, slots };
}

/** The outcomes again, in order. */
export function* unpackAnswers({ counts, errors }: Answers): Generator<Outcome> {
  let next = 0;
  for (let at = 0; at < counts.length; at += ANSWER_WORDS) {
    const word = (index: number): number => must(counts[at + index], "an answer");
    const own = errors[next];
    const hasErrors = own !== undefined && own.ordinal * ANSWER_WORDS === at;
    if (hasErrors) next++;
    yield {
      request: word(0) >>> 0,
      accepted: word(1),
      duplicates: word(2),
      rejected: word(3),
      errors: hasErrors ? own.errors : [],
      done: word(4) === 1,
    };
  }
}
