// Events of users, and a plan with a group for each of them: what the tests of state fold.
import { buildImage } from "../../src/event/image.ts";
import { IMAGE_EXTRA_COLUMNS, type EventSchema } from "../../src/event/schema.ts";
import type { EventsRecord } from "../../src/log/record.ts";
import type { Expr, ViewPlan } from "../../src/view/plan.ts";
import { BIGINT, planOf, TIME, VARCHAR } from "./arbitrary.ts";

export const SCHEMA: EventSchema = {
  id: 1,
  columns: [
    { name: "event_time", type: TIME, nullable: false, fieldId: 1, decoding: { kind: "plain" } },
    { name: "user", type: VARCHAR, nullable: true, fieldId: 2, decoding: { kind: "plain" } },
    { name: "amount", type: BIGINT, nullable: true, fieldId: 3, decoding: { kind: "plain" } },
  ],
  eventTime: 0,
  eventId: null,
};
const COLUMNS = [...SCHEMA.columns, ...IMAGE_EXTRA_COLUMNS];
/** A view that begins with the log. */
export const ADDED = { since: 0 };

const user = { op: "column", column: { from: "image", ordinal: 1 }, type: VARCHAR } as const;
const amount = {
  op: "column",
  column: { from: "image", ordinal: 2 },
  type: BIGINT,
} as const;
/** The amount modulo 7: few groups, each with many users. */
export const amountClass: Expr = {
  op: "call",
  fn: "mod",
  args: [amount, { op: "constant", value: "7", type: BIGINT }],
  type: BIGINT,
};
/** Per user: how many, the greatest name, how many amounts. */
export const PLAN: ViewPlan = planOf({
  name: "v",
  filter: null,
  keys: [{ expr: user, type: VARCHAR }],
  aggregates: [
    { fn: "count_star", arg: null, filter: null, type: BIGINT },
    { fn: "max", arg: user, filter: null, type: VARCHAR },
    { fn: "approx_count_distinct", arg: amount, filter: null, type: BIGINT },
  ],
});

export type Event = readonly [timeUs: bigint, user: string | null, amount: bigint];

/** A record whose watermark is its newest event's time less the distance. */
export function recordOf(
  position: number,
  events: readonly Event[],
  outOfOrdernessUs = 0,
): EventsRecord {
  const newestUs = events.reduce((newest, [timeUs]) => (timeUs > newest ? timeUs : newest), 0n);
  return {
    kind: "events",
    position,
    stream: "events",
    partition: "",
    schemaId: 1,
    receivedAtUs: 10 ** 15,
    watermarkUs: newestUs - BigInt(outOfOrdernessUs),
    rowCount: events.length,
    duplicateCount: 0,
    rejects: [],
    image: buildImage(
      COLUMNS,
      events.map((event) => [...event, null, 0n]),
    ),
  };
}

/** One event per user, `count` of them from number `from` on. */
export function users(from: number, count: number, timeUs: bigint): Event[] {
  return Array.from({ length: count }, (_, index) => [
    timeUs,
    `user number ${from + index}`,
    BigInt(index),
  ]);
}
