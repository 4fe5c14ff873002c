// Pure decisions about positions: where each reader starts, what is refused, and what the log may forget. No I/O: the caller gathers
// the facts and carries out the decision.
import { must } from "../base/assert.ts";

/** Body of a reader without state in a checkpoint: it ran then. One that is switched off is taken out of the next checkpoint. */
export const TABLE_READER_BODY: Uint8Array = Uint8Array.of(1);

/** Positions of the readers that ran at a checkpoint. Earlier releases left those that were switched off in it, without a body: it does not tell of them. */
export function runningReaders(
  readers: readonly {
    readonly name: string;
    readonly position: number;
    readonly body: Uint8Array;
  }[],
): Map<string, number> {
  const running = readers.filter(({ body }) => body.length > 0);
  return new Map(running.map(({ name, position }) => [name, position]));
}

/** What is known of one reader of the log at a start. Positions are inclusive: "contains the log up to". */
export interface ReaderFacts {
  readonly name: string;
  /**
   * Its position in the checkpoint, or null when it is not in it. Every running reader has a row in every checkpoint, those without
   * state too: null beside a checkpoint means that it is new, or was switched off.
   */
  readonly checkpoint: number | null;
  /** Position that its table's ledger covers, or null when it has no table or nothing is in it. */
  readonly ledger: number | null;
  /** True for readers whose fold is kept in the checkpoint (admission, views); false for those that start where their ledger ends. */
  readonly keepsState: boolean;
}

/** Everything that a start knows of positions. */
export interface RecoveryFacts {
  /** As LogReader.bounds gives: `first > last` when the log is empty. */
  readonly log: { readonly first: number; readonly last: number };
  /** True when state.db holds a checkpoint of any reader. */
  readonly hasCheckpoint: boolean;
  /** The configured readers. */
  readonly readers: readonly ReaderFacts[];
}

/** Where a reader continues. */
export interface ReaderStart {
  readonly name: string;
  /** Its state contains the log up to here; it reads from `after + 1` on. */
  readonly after: number;
  /** Outputs at or below are in its table already: a replay makes them again, and they are dropped. */
  readonly coveredUntil: number;
  /** True when it joins a log that others have read: it may miss records before `after`, which the start says aloud. */
  readonly isNew: boolean;
}

export type RefusalReason = "state_ahead_of_log" | "ledger_ahead_of_log" | "log_gap" | "state_lost";

/** What to do at a start. */
export type RecoveryDecision =
  | {
      readonly kind: "start";
      readonly readers: readonly ReaderStart[];
      /** Records that the slowest reader will read again: the lag, in records. */
      readonly replayCount: number;
    }
  | { readonly kind: "refuse"; readonly reason: RefusalReason; readonly message: string };

const RESTORE =
  "The files in the data folder are not of one moment: restore the whole folder from one backup";

/**
 * Decides where every reader starts. A reader with state continues at its checkpoint, one without at its ledger. When no checkpoint was
 * ever saved and the log is whole, all begin at its first record: that start was killed before its first checkpoint. The log is not trimmed beyond a reader that
 * is in the checkpoint: where it is, files are gone, and with them what the reader did not have. A reader that is not in the checkpoint of the others is new: with state (a view) it starts at the log's end, without (raw export switched on)
 * at what the log still holds beyond its ledger.
 */
export function recoveryPlan(facts: RecoveryFacts): RecoveryDecision {
  const { log, hasCheckpoint, readers } = facts;
  const isWhole = log.first <= 1;
  if (!hasCheckpoint && !isWhole && readers.some((reader) => reader.keepsState))
    return refuse(
      "state_lost",
      `the log begins at record ${log.first}, but there is no checkpoint of what came before`,
    );
  const starts: ReaderStart[] = [];
  for (const reader of readers) {
    const refusal = refuseReader(reader, log);
    if (refusal !== null) return refusal;
    const isNew = hasCheckpoint && reader.checkpoint === null && log.last > 0;
    const after = isNew ? joinAfter(reader, log) : resumeAfter(reader);
    if (after + 1 < log.first)
      return refuse(
        "log_gap",
        `reader ${reader.name} stands at record ${after}, but the log begins at ${log.first}: the records between are gone`,
      );
    starts.push({ name: reader.name, after, coveredUntil: reader.ledger ?? 0, isNew });
  }
  const slowest = Math.min(log.last, ...starts.map((start) => start.after));
  return { kind: "start", readers: starts, replayCount: log.last - slowest };
}

function joinAfter(reader: ReaderFacts, log: RecoveryFacts["log"]): number {
  return reader.keepsState ? log.last : Math.max(reader.ledger ?? 0, log.first - 1);
}

function resumeAfter(reader: ReaderFacts): number {
  return (reader.keepsState ? reader.checkpoint : reader.ledger) ?? 0;
}

function refuseReader(
  reader: ReaderFacts,
  log: { readonly last: number },
): RecoveryDecision | null {
  if ((reader.checkpoint ?? 0) > log.last)
    return refuse(
      "state_ahead_of_log",
      `the checkpoint of reader ${reader.name} is at record ${reader.checkpoint}, but the log ends at ${log.last}`,
    );
  if ((reader.ledger ?? 0) > log.last)
    return refuse(
      "ledger_ahead_of_log",
      `the tables of reader ${reader.name} hold the log up to record ${reader.ledger}, but the log ends at ${log.last}`,
    );
  return null;
}

function refuse(reason: RefusalReason, what: string): RecoveryDecision {
  return { kind: "refuse", reason, message: `${what}. ${RESTORE}` };
}

/** Why tables do not fit a checkpoint that was saved when they held the log up to `checkpoint`; null when they do. */
export function olderTablesRefusal(
  name: string,
  at: { readonly checkpoint: number; readonly ledger: number },
): string | null {
  if (at.ledger >= at.checkpoint) return null;
  return `the tables of reader ${name} hold the log up to record ${at.ledger}, but when the checkpoint was saved they held it up to ${at.checkpoint}. ${RESTORE}`;
}

/** What a stream or view that is no longer configured left behind, for which nothing will write its table any more. */
export interface RetiredFacts {
  readonly kind: "stream" | "view";
  readonly name: string;
  /** Last log position with rows of it: events in the log, closed rows in the checkpoint; 0 = none. */
  readonly last: number;
  /** Log position up to which its table has them; 0 = nothing. */
  readonly ledger: number;
  /** False for a stream when the raw export is off: to write its table it must be on. */
  readonly isExported: boolean;
}

/** Why a start without these streams and views would lose acknowledged rows, a reason each; the log forgets what nobody reads. */
export function retiredRefusals(retired: readonly RetiredFacts[]): string[] {
  return retired
    .filter(({ last, ledger }) => last > ledger)
    .map(({ kind, name, last, ledger, isExported }) => {
      const what = kind === "stream" ? "events" : "closed rows";
      const also = isExported ? "" : " and with the raw export on";
      return `${kind} ${name} is no longer in the configuration, but its ${what} up to log position ${last} are not in its table, which ends at ${ledger}: they would be lost. Start once more with the ${kind}${also}, stop in order (SIGTERM), then remove it`;
    });
}

/** A view that is no longer configured, beside what the log holds. */
export interface UnfoldedFacts {
  readonly name: string;
  /** Log position up to which the checkpoint has what the view made of its events. */
  readonly folded: number;
  /** Log position of the last events; 0 = none. */
  readonly lastEvents: number;
}

/**
 * Why a start without these views would lose rows, a reason each: a window that events behind the checkpoint closed is in no checkpoint
 * and perhaps in no table, and only a replay with the view makes it again. Open windows of a removed view are dropped, so only
 * events behind the checkpoint matter, of whichever stream.
 */
export function unfoldedRefusals(views: readonly UnfoldedFacts[]): string[] {
  return views
    .filter(({ lastEvents, folded }) => lastEvents > folded)
    .map(
      ({ name, lastEvents, folded }) =>
        `view ${name} is no longer in the configuration, but the last run did not end in order: what events at log positions ${folded + 1} to ${lastEvents} closed of its windows is perhaps not in its table and would be lost. Start once more with the view, stop in order (SIGTERM), then remove it`,
    );
}

/** A stream that is no longer configured, beside what the log holds. */
export interface UnadmittedFacts {
  readonly name: string;
  /** Log position up to which the checkpoint has admission's state. */
  readonly admitted: number;
  /** Log position of the stream's last events; 0 = none. */
  readonly lastEvents: number;
}

/** Why ids of these streams would not count when they come back, a reason each: nothing reads the log for them, and they are in no checkpoint. */
export function unadmittedRefusals(streams: readonly UnadmittedFacts[]): string[] {
  return streams
    .filter(({ lastEvents, admitted }) => lastEvents > admitted)
    .map(
      ({ name, lastEvents, admitted }) =>
        `stream ${name} is no longer in the configuration, but the last run did not end in order: ids of its events at log positions ${admitted + 1} to ${lastEvents} are in no checkpoint, and would not be duplicates if it came back. Start once more with the stream, stop in order (SIGTERM), then remove it`,
    );
}

/** Why a start without these views would lose corrections, a reason each: their rows wait in the checkpoint, and a stop in order puts them out. */
export function correctionRefusals(waiting: readonly string[]): string[] {
  return waiting.map(
    (name) =>
      `view ${name} is no longer in the configuration, but rows that late events corrected are not in its table yet: they would be lost. Start once more with the view, stop in order (SIGTERM), then remove it`,
  );
}

/**
 * The position to give to LogWriter.trim: records below it are durable in what every reader keeps. `durable` are positions up to which
 * each reader's state (checkpoint) or tables (ledger) are on disk; a suspended reader is left out. At least one reader is named, since
 * a log that nobody reads would be forgotten unread.
 */
export function trimPosition(durable: readonly number[]): number {
  must(durable[0], "a reader that holds the log");
  return Math.min(...durable) + 1;
}
