// The rules of time as decision tables (design section 3): which partitions are idle, which windows are closed, which events are late.
// One place for them: admission and views look answers up here or are held to them by tests, and ARCHITECTURE.md prints them.
import { must } from "../base/assert.ts";
import {
  decisionTable,
  markdownOf,
  rulesFor,
  type DecisionTable,
  type Facts,
  type FactValues,
} from "./decision.ts";

/** How a source partition stands to us. */
export type PartitionState = "connected" | "disconnected" | "paused";

export const IDLE = decisionTable({
  question: "Is a source partition idle?",
  facts: {
    state: {
      connected: "its producer can deliver",
      disconnected: "we know that it cannot",
      paused: "we hold it back",
    },
    silent: {
      no: "a record came less than `idle_after` of log time ago, or `idle_after` is not configured",
      yes: "for `idle_after` of log time no record came, and it was not added, connected or resumed",
    },
  },
  answers: {
    idle: "the stream's watermark does not wait for it",
    active: "the stream's watermark does not pass its own",
  },
  rules: [
    {
      when: { state: ["connected"], silent: ["yes"] },
      answer: "idle",
      because: "it could have delivered and had nothing",
    },
    {
      when: { state: ["connected"], silent: ["no"] },
      answer: "active",
      because: "more of the same time may come",
    },
    {
      when: { state: ["disconnected", "paused"] },
      answer: "active",
      because: "its silence says nothing: what it holds comes when it is back",
    },
  ],
});

export const MOVES = decisionTable({
  question: "Does an event move the watermark of its source partition?",
  facts: {
    watermark: {
      "by every event": "nothing is configured, or `event_time: received_at`",
      punctuated: "`watermark: {punctuated: <condition>}`",
    },
    condition: {
      true: "the event satisfies the condition",
      "not true": "it does not: false, or NULL, or an error",
    },
  },
  answers: {
    moves: "to min(event time, received_at) − `out_of_orderness`, unless it is there already",
    stays: "the event counts, and time stands still",
  },
  rules: [
    {
      when: { watermark: ["by every event"] },
      answer: "moves",
      because: "there is no condition",
    },
    {
      when: { watermark: ["punctuated"], condition: ["true"] },
      answer: "moves",
      because: "the producer says with it that what came before is complete",
    },
    {
      when: { watermark: ["punctuated"], condition: ["not true"] },
      answer: "stays",
      because: "nothing is said about time",
    },
  ],
});

export const FOLLOWS = decisionTable({
  question: "Where does a control record move the stream's watermark, unless it is there already?",
  facts: {
    partitions: {
      "some active": "a source partition is not idle, or there is none yet",
      "all idle": "there are some, and every one is idle",
    },
    "event time": {
      column: "`event_time` names a member of the event",
      received_at: "`event_time: received_at`",
    },
  },
  answers: {
    lowest:
      "to the lowest watermark of the active partitions; nowhere while there is none or one has delivered nothing",
    newest: "to the newest event time seen",
    clock: "to the record's received_at",
  },
  rules: [
    {
      when: { partitions: ["some active"] },
      answer: "lowest",
      because: "each may deliver more of its own time",
    },
    {
      when: { partitions: ["all idle"], "event time": ["column"] },
      answer: "newest",
      because: "nothing that was seen holds it back, and of later times nothing is known",
    },
    {
      when: { partitions: ["all idle"], "event time": ["received_at"] },
      answer: "clock",
      because: "an event that comes later is received later",
    },
  ],
});

export const CLOSED = decisionTable({
  question: "Is a window closed?",
  facts: {
    window: {
      aligned: "tumble or hop: its bound is its end",
      session: "its bound is its last event + gap",
    },
    watermark: {
      none: "−∞: a partition has not delivered",
      below: "less than the bound",
      at: "equal to the bound",
      above: "more than the bound",
    },
  },
  answers: { open: "events are added to it", closed: "its row is put out" },
  rules: [
    {
      when: { watermark: ["none", "below"] },
      answer: "open",
      because: "events of its time may come without being late",
    },
    {
      when: { window: ["aligned"], watermark: ["at", "above"] },
      answer: "closed",
      because: "the end is not part of the window",
    },
    {
      when: { window: ["session"], watermark: ["at"] },
      answer: "open",
      because: "an event exactly `gap` after the last one belongs to the session",
    },
    {
      when: { window: ["session"], watermark: ["above"] },
      answer: "closed",
      because: "no event that is not late can reach it",
    },
  ],
});

export const LATE = decisionTable({
  question: "What becomes of an event for the window [s, e) that its time lies in?",
  facts: {
    passed: {
      no: "event time + `_behind` < e",
      end: "e <= event time + `_behind` < e + allowed lateness",
      final: "event time + `_behind` >= e + allowed lateness",
    },
    policy: {
      side: "`late: side`, the default",
      update: "`late: {policy: update, allowed: ...}`",
      drop: "`late: drop`",
    },
  },
  answers: {
    applied: "it is added to the window",
    corrected: "it is added to the closed window, whose row is published again with revision + 1",
    "late row": "it is counted as late, and has a row in `millrace.late_events`",
    counted: "it is counted as late, no more",
  },
  rules: [
    {
      when: { passed: ["no"] },
      answer: "applied",
      because: "the watermark before the event had not reached the end",
    },
    {
      when: { passed: ["end"], policy: ["update"] },
      answer: "corrected",
      because: "the window is closed, not final",
    },
    {
      when: { passed: ["final"], policy: ["update"] },
      answer: "late row",
      because: "beyond the allowed lateness only `reconcile` changes a row",
    },
    {
      when: { passed: ["end", "final"], policy: ["side"] },
      answer: "late row",
      because: "the window is closed",
    },
    {
      when: { passed: ["end", "final"], policy: ["drop"] },
      answer: "counted",
      because: "the window is closed, and nobody asked for the event",
    },
  ],
});

export const SESSION_LATE = decisionTable({
  question: "Is an event of time t late for the sessions of its key?",
  facts: {
    "near a closed one": {
      no: "t is more than `gap` from every kept closed session",
      yes: "t is at most `gap` from one",
    },
    passed: {
      no: "watermark before the event <= t + gap",
      yes: "watermark before the event > t + gap",
    },
    "in an open one": {
      no: "t lies in none",
      yes: "t lies in [start, last + gap] of an open session",
    },
  },
  answers: { late: "it is in no session", joined: "it begins, extends or joins open sessions" },
  rules: [
    {
      when: { "near a closed one": ["yes"] },
      answer: "late",
      because: "it belongs to a session that was put out",
    },
    {
      when: { "near a closed one": ["no"], passed: ["yes"], "in an open one": ["no"] },
      answer: "late",
      because: "its own session would have been closed before it",
    },
    {
      when: { "near a closed one": ["no"], passed: ["yes"], "in an open one": ["yes"] },
      answer: "joined",
      because: "the session that it lies in waits for a later time",
    },
    {
      when: { "near a closed one": ["no"], passed: ["no"] },
      answer: "joined",
      because: "its session is open after it",
    },
  ],
});

/** All tables, in the order of the documentation. */
export const TIME_TABLES: readonly DecisionTable<Facts, string>[] = [
  IDLE,
  MOVES,
  FOLLOWS,
  CLOSED,
  LATE,
  SESSION_LATE,
];

/** The answer of a table. */
export function decide<F extends Facts, Answer extends string>(
  table: DecisionTable<F, Answer>,
  values: FactValues<F>,
): Answer {
  return must(rulesFor(table, values)[0], `a rule for ${JSON.stringify(values)}`).answer;
}

function isIdleWhen(state: PartitionState): { readonly silent: boolean; readonly heard: boolean } {
  return {
    silent: decide(IDLE, { state, silent: "yes" }) === "idle",
    heard: decide(IDLE, { state, silent: "no" }) === "idle",
  };
}

/** The table IDLE looked up once: it is asked for every partition of a stream with every record. */
const IDLE_BY_STATE = {
  connected: isIdleWhen("connected"),
  disconnected: isIdleWhen("disconnected"),
  paused: isIdleWhen("paused"),
} as const;

/** Whether a partition is idle. `isSilent`: nothing was heard of it for `idle_after`. */
export function isIdle(state: PartitionState, isSilent: boolean): boolean {
  const when = IDLE_BY_STATE[state];
  return isSilent ? when.silent : when.heard;
}

/** The table FOLLOWS looked up once: where a control record moves the watermark while all partitions are idle. */
const WITHOUT_ACTIVE = {
  column: decide(FOLLOWS, { partitions: "all idle", "event time": "column" }),
  received_at: decide(FOLLOWS, { partitions: "all idle", "event time": "received_at" }),
} as const;

/** Whether the watermark follows the clock while all partitions are idle. */
export function followsClock(eventTime: "column" | "received_at"): boolean {
  return WITHOUT_ACTIVE[eventTime] === "clock";
}

/** All tables as ARCHITECTURE.md prints them. */
export function timeRulesMarkdown(): string {
  return TIME_TABLES.map((table) => markdownOf(table)).join("\n\n");
}
