// Verbs (pure): what `reconcile` asks of the appliance, as SQL, and what the answers mean. Every value comes as text or NULL.
import { eventTimeName, type EventSchema } from "../event/schema.ts";
import { must } from "../base/assert.ts";
import { rowColumns } from "../rehearsal/last-rows.ts";
import { askedText } from "../rehearsal/relation.ts";
import { batchText } from "../view/batch.ts";
import { inRangeText } from "../view/macros.ts";
import { windowSizeUs, type OutputColumn, type ViewPlan } from "../view/plan.ts";
import { quoteName, quoteText } from "../view/render.ts";
import type { Range } from "../window/grid.ts";
import type { ReconciledRange } from "../window/reconciled.ts";
import { everCorrected, type ShortWindow } from "./scope.ts";

type Row = readonly unknown[];

/** How a view stands, and up to where its raw events are looked at. */
export interface Standing {
  /** The view counts events after this position. */
  readonly since: number;
  /** Newest event time before that, as far as it was not ahead of its receipt; null: there was no event. */
  readonly beganUs: bigint | null;
  /** The raw position: the log's last one when `watermarkUs` was the stream's watermark. */
  readonly rawPosition: number;
  readonly watermarkUs: bigint | null;
  /** Events that the view counted and that are not in the raw relation. */
  readonly missingCount: number;
  readonly reconciled: readonly ReconciledRange[];
}

const BOUNDS = ["window_from", "window_to"] as const;

/** One row for the view itself, then one for each range of its windows that was reconciled. */
export function standingText({ name, stream }: ViewPlan, schema: EventSchema): string {
  const reader = `FROM millrace.readers WHERE reader`;
  const since = `(SELECT since ${reader} = ${quoteText(`view:${name}`)})`;
  const text = (sql: string): string => `CAST(${sql} AS VARCHAR)`;
  const accepted = `(SELECT accepted FROM millrace.accounting WHERE kind = 'view' AND name = ${quoteText(name)})`;
  const watermark = `(SELECT epoch_us(any_value(watermark)) FROM millrace.watermarks WHERE stream = ${quoteText(stream)})`;
  const time = quoteName(eventTimeName(schema));
  const began = `(SELECT epoch_us(max(least(${time}, received_at))) FROM ${quoteName(stream)} WHERE _position <= ${since})`;
  const raw = `(SELECT count(*) FROM ${quoteName(stream)} WHERE _position > ${since})`;
  const own = [
    since,
    `(SELECT position ${reader} = 'admission')`,
    watermark,
    `${accepted} - ${raw}`,
    began,
  ];
  const bounds = BOUNDS.map((bound) => text(`epoch_us(${bound})`));
  return `SELECT ${own.map(text).join(", ")}
UNION ALL SELECT ${bounds.join(", ")}, ${text("raw_position")}, NULL, NULL FROM (FROM millrace.reconciled WHERE view = ${quoteText(name)} ORDER BY window_from)`;
}

export function standingOf(view: string, rows: readonly Row[]): Standing {
  const [own, ...ranges] = rows;
  const [since, rawPosition, watermark, missing, began] = must(own, "the view's row");
  return {
    since: Number(since),
    beganUs: typeof began === "string" ? BigInt(began) : null,
    rawPosition: Number(rawPosition),
    watermarkUs: typeof watermark === "string" ? BigInt(watermark) : null,
    missingCount: Number(missing),
    reconciled: ranges.map(([from, to, position]) => ({
      view,
      fromUs: BigInt(String(from)),
      toUs: BigInt(String(to)),
      position: Number(position),
    })),
  };
}

function timeText(us: bigint): string {
  return `make_timestamptz(${us})`;
}

/** A list of ranges as the window macros take it. */
export function rangesText(ranges: readonly ReconciledRange[]): string {
  const items = ranges.map(
    ({ fromUs, toUs, position }) =>
      `{window_from: make_timestamptz(${fromUs}), window_to: make_timestamptz(${toUs}), raw_position: ${position}}`,
  );
  return items.length === 0
    ? "CAST([] AS STRUCT(window_from TIMESTAMPTZ, window_to TIMESTAMPTZ, raw_position BIGINT)[])"
    : `[${items.join(", ")}]`;
}

/** What the questions about the raw events are cut to. */
export interface RawScope {
  readonly schema: EventSchema;
  readonly standing: Standing;
}

/** Events that the view counts, up to the raw position. */
export function positionText({ since, rawPosition }: Standing): string {
  return `_position > ${since} AND _position <= ${rawPosition}`;
}

/** Windows that start in the range and lack late events: start, how many. Reads what came behind the watermark: no other event can be late. */
export function lackingText(
  plan: ViewPlan,
  range: { readonly fromUs: bigint; readonly toUs: bigint },
  scope: RawScope,
): string {
  const reconciled = rangesText(scope.standing.reconciled);
  const all = countsText(everCorrected(plan), scope, reconciled);
  return `${rawText(plan, range, scope)} AND _behind > 0)
SELECT CAST(epoch_us(a.window_start) AS VARCHAR), CAST(a.n - coalesce(c.n, 0) AS VARCHAR)
FROM (${all}) a LEFT JOIN (${countsText(plan, scope, reconciled)}) c USING (window_start)
WHERE a.n > coalesce(c.n, 0) AND a.window_start >= ${timeText(range.fromUs)} AND a.window_start < ${timeText(range.toUs)} ORDER BY a.window_start`;
}

/** Windows that start in the range: start, events with the late ones. */
export function eventsText(
  plan: ViewPlan,
  range: { readonly fromUs: bigint; readonly toUs: bigint },
  scope: RawScope,
): string {
  const all = countsText(everCorrected(plan), scope, rangesText([]));
  return `${rawText(plan, range, scope)})
SELECT CAST(epoch_us(window_start) AS VARCHAR), CAST(n AS VARCHAR) FROM (${all})`;
}

const RAW = "reconcile raw";

/** The raw events that windows which start in the range may hold, as far as one more condition. */
function rawText(
  plan: ViewPlan,
  range: { readonly fromUs: bigint; readonly toUs: bigint },
  { schema, standing }: RawScope,
): string {
  const time = quoteName(eventTimeName(schema));
  const size = `to_microseconds(${windowSizeUs(plan)})`;
  return `WITH ${quoteName(RAW)} AS (SELECT * FROM ${quoteName(plan.stream)} WHERE ${positionText(standing)}
  AND ${time} >= ${timeText(range.fromUs)} AND ${time} < ${timeText(range.toUs)} + ${size}`;
}

function countsText(plan: ViewPlan, { schema }: RawScope, reconciled: string): string {
  return batchText(windowCounts(plan), { relation: RAW, schema, reconciled });
}

/** The windows of both answers, in the order of time. */
export function shortWindowsOf(lacking: readonly Row[], events: readonly Row[]): ShortWindow[] {
  const counts = new Map(events.map(([start, count]) => [String(start), Number(count)]));
  return lacking.map(([start, late]) => ({
    startUs: BigInt(String(start)),
    eventCount: must(counts.get(String(start)), "events of a window that lacks some"),
    lateCount: Number(late),
  }));
}

/** The plan that counts the view's events by window. */
function windowCounts(plan: ViewPlan): ViewPlan {
  const column = { nullable: false, fieldId: 1 };
  const n = { name: "n", type: { kind: "BIGINT" } } as const;
  const start = { name: "window_start", type: { kind: "TIMESTAMPTZ" } } as const;
  const output: OutputColumn[] = [
    { ...column, ...start, source: { kind: "window_start" } },
    { ...column, ...n, source: { kind: "aggregate", index: 0 } },
  ];
  const count = { fn: "count_star", arg: null, filter: null, type: n.type } as const;
  return { ...plan, keys: [], aggregates: [count], output, having: null, topN: null };
}

/** Conditions on raw events: those of ranges of time that count for the view's windows, once `standing.reconciled` is. */
export function countingText(
  plan: ViewPlan,
  ranges: readonly Range[],
  { schema, standing }: RawScope,
): string[] {
  const time = quoteName(eventTimeName(schema));
  const within = ranges.map(
    ({ startUs, endUs }) => `(${time} >= ${timeText(startUs)} AND ${time} < ${timeText(endUs)})`,
  );
  const conditions = [positionText(standing), `(${within.join(" OR ")})`];
  // An event of several windows may count for some only; those of the others are not taken.
  if (plan.window?.kind !== "tumble") return conditions;
  const { sizeUs, offsetUs } = plan.window;
  const start = `time_bucket(to_microseconds(${sizeUs}), ${time}, TIMESTAMPTZ '1970-01-01 00:00:00+00' + to_microseconds(${offsetUs}))`;
  const inTime = `${time} + to_microseconds(_behind) < ${start} + to_microseconds(${sizeUs + plan.late.allowedUs})`;
  const countsAfterAll = inRangeText(rangesText(standing.reconciled), start);
  return [...conditions, `(${inTime} OR ${countsAfterAll})`];
}

/** Rows of a view whose windows start at these times. `isWhole`: all of them, not only those with late events. */
export function presentText(plan: ViewPlan, starts: readonly bigint[], isWhole: boolean): string {
  const items = rowColumns(plan).map(askedText).join(", ");
  const within = starts.map((startUs) => `make_timestamptz(${startUs})`).join(", ");
  const late = isWhole ? "" : " AND revision > 0";
  return `SELECT ${items} FROM ${quoteName(plan.name)} WHERE window_start IN (${within})${late}`;
}
