// What /health says: what is broken, why views do not go on or can not be trusted, and what to do. Pure: the fleet knows the facts.
import { unaccounted } from "../reader/accounting.ts";
import type { Status } from "../serve/deps.ts";
import type { EngineStatus } from "./messages.ts";

export interface HealthFacts {
  /** Events are accepted but for the log's room. */
  readonly isOpen: boolean;
  /** Why the log has no room; null: it has. */
  readonly logProblem: string | null;
  /** Of tables, and of data files that questions could not read. */
  readonly tableProblems: readonly string[];
  readonly damages: ReadonlySet<string>;
  readonly engine: EngineStatus | null;
  /** The last durable log position. */
  readonly position: number;
}

export function health(facts: HealthFacts): Status {
  const { isOpen, logProblem, tableProblems, damages, engine, position } = facts;
  const broken = [
    ...tableProblems,
    ...damages,
    ...suspendedProblems(engine),
    ...accountingProblems(engine),
  ];
  const passing = [...(logProblem === null ? [] : [logProblem]), ...waitingProblems(engine)];
  return {
    ready: isOpen && logProblem === null,
    healthy: broken.length === 0,
    problems: [...passing, ...broken],
    position,
  };
}

/** Why the views do not go on, for /health. */
function waitingProblems(status: EngineStatus | null): string[] {
  if (status?.isWaiting !== true) return [];
  const megabytes = Math.round(status.pendingOutputBytes / 1024 / 1024);
  return [
    `views wait at log position ${status.position} of ${status.admitted}: ${megabytes} MB of their rows are not in tables yet. Events are taken into the log; the views go on by themselves when the tables take rows`,
  ];
}

/** Views that do not account for all of their events: never, unless something is broken. */
function accountingProblems(status: EngineStatus | null): string[] {
  return (status?.accounts.views ?? [])
    .filter((account) => unaccounted(account) !== 0)
    .map(
      (account) =>
        `view ${account.view} does not account for ${unaccounted(account)} of the ${account.accepted} events that its stream accepted: its rows cannot be trusted. Keep the data folder and report it with the row of millrace.accounting`,
    );
}

function suspendedAdvice(view: string, boundBytes: number | null): string {
  const anew = "make its windows or keys fewer and give it another name to begin anew";
  if (boundBytes === null) return `To go on ${anew}`;
  const raise =
    boundBytes > 0 ? `raise views.${view}.memory_max (a rollup: that of its view) and ` : "";
  return `To go on from there ${raise}start again: it folds what came since, out of the raw table where the log no longer has it; or ${anew}`;
}

/** Views that stopped. */
function suspendedProblems(status: EngineStatus | null): string[] {
  if (status === null) return [];
  return status.suspended.map(({ view, at, reason, boundBytes, isCatchingUp }) =>
    isCatchingUp
      ? `view ${view} was suspended and catches up: it is at log position ${at} of ${status.position}. It goes on by itself; the others do meanwhile`
      : `view ${view} is suspended after log position ${at}: ${reason}. Its rows stay as they are, events since are not in them; the others go on. ${suspendedAdvice(view, boundBytes)}`,
  );
}
