// Verb: the events of a view's stream that the log no longer has -> records as the log had them, out of the raw table, for a view that stopped and goes
// on. Who folds them is the caller's. Nothing is read unless every event is there.
//
// The log's watermarks are gone with it, and those of records need not be known: an event is late for a window when its time + `_behind` has reached
// the end. So a window may close as soon as no event comes any more for which that is below its end, and what then closes is what had closed by
// then, or nobody misses: the watermark given with a record is the lowest time + `_behind` of all events behind it. It never is below the log's own, so a
// view needs no more memory than it would have.
import { eventTimeName, type EventSchema } from "../event/schema.ts";
import { PREVIEW_PAGE_ROWS } from "../limits.ts";
import type { EventsRecord } from "../log/record.ts";
import type { ViewPlan } from "../view/plan.ts";
import { quoteName, quoteText } from "../view/render.ts";
import type { Gap } from "../window/laggards.ts";
import { PastRows, type Ask, type PastRecord, type PastRow } from "./past-rows.ts";

/** The raw table cannot tell what the log no longer has. The message says why, and what to do. */
export class GapError extends Error {
  override readonly name = "GapError";
}

/** How much is read at a time. */
export interface GapBounds {
  /** Events of a page; a record has fewer. */
  readonly pageRows: number;
  /** Pieces of the log that the lowest times are kept of. */
  readonly piecesMax: number;
}

const BOUNDS: GapBounds = { pageRows: PREVIEW_PAGE_ROWS, piecesMax: 10_000 };

/** Events at neighbouring positions. `last`: its last position. */
interface Piece {
  readonly last: number;
  readonly eventCount: number;
  readonly lowestUs: bigint;
}

/** What is known of the stream before its events are read. */
interface Outline {
  /** Of the gap, in order. */
  readonly pieces: readonly Piece[];
  /** No event behind the gap has a lower time + `_behind`; null: nothing is known of them. */
  readonly restUs: bigint | null;
}

/** Records of the gap, page by page. Rejects with GapError, and as `ask` does. */
export async function* readGap(
  ask: Ask,
  view: { readonly plan: ViewPlan; readonly schema: EventSchema },
  gap: Gap,
  bounds: GapBounds = BOUNDS,
): AsyncGenerator<EventsRecord[]> {
  const outline = await outlineOf(ask, view, { ...gap, ...bounds });
  const rows = new PastRows(view.plan, view.schema);
  let after = gap.after;
  for (const part of partsOf(outline, bounds.pageRows)) {
    const conditions = [`_position > ${after}`, `_position <= ${part.last}`];
    let open: readonly PastRow[] = [];
    for await (const page of rows.pages(ask, { conditions, rowsMax: bounds.pageRows })) {
      const all = [...open, ...page.rows];
      const whole = page.isLast ? all.length : lastRecordAt(all);
      open = all.slice(whole);
      const until = page.isLast ? part.afterUs : part.lowestUs;
      const records = rows.records(all.slice(0, whole));
      const watermarks = watermarksOf(records, until);
      yield records.map((record, at) => {
        const { position } = record;
        return rows.eventsRecord(record, { position, watermarkUs: watermarks[at] ?? null });
      });
    }
    after = part.last;
  }
}

/** Counts the events and takes the lowest times; refuses when events are missing. */
async function outlineOf(
  ask: Ask,
  { plan: { name, stream }, schema }: { readonly plan: ViewPlan; readonly schema: EventSchema },
  { after, before, upTo, eventCount, piecesMax }: Gap & GapBounds,
): Promise<Outline> {
  const watermark = `SELECT CAST(epoch_us(any_value(watermark)) AS VARCHAR) FROM millrace.watermarks WHERE stream = ${quoteText(stream)}`;
  const [[watermarkUs] = []] = await ask(watermark, upTo);
  // asked first: what comes later than the events below is not behind it
  const span = Math.ceil((before - after) / piecesMax);
  const piece = `CASE WHEN _position < ${before} THEN (_position - ${after + 1}) // ${span} END`;
  const passed = `epoch_us(${quoteName(eventTimeName(schema))}) + _behind`;
  const answer = await ask(
    `SELECT CAST(${piece} AS VARCHAR), CAST(count(*) AS VARCHAR), CAST(count(*) FILTER (_position <= ${upTo}) AS VARCHAR), CAST(min(${passed}) AS VARCHAR)
FROM ${quoteName(stream)} WHERE _position > ${after} GROUP BY 1 ORDER BY min(_position)`,
    upTo,
  );
  const pieces: Piece[] = [];
  let restUs = typeof watermarkUs === "string" ? BigInt(watermarkUs) : null;
  let found = 0;
  for (const [ordinal, count, counted, least] of answer) {
    found += Number(counted);
    const lowestUs = BigInt(String(least));
    if (typeof ordinal === "string") {
      const last = Math.min(before - 1, after + (Number(ordinal) + 1) * span);
      pieces.push({ last, eventCount: Number(count), lowestUs });
    } else if (restUs !== null && lowestUs < restUs) restUs = lowestUs;
  }
  if (found !== eventCount)
    throw new GapError(
      `the log begins at position ${before}, and of the ${eventCount} events of ${stream} behind position ${after} the raw table and the log have ${found}: give view ${name} another name to begin anew`,
    );
  return { pieces, restUs };
}

/** Neighbouring pieces that are read together. */
interface Part {
  readonly last: number;
  readonly lowestUs: bigint | null;
  /** The lowest time + `_behind` of all events behind it. */
  readonly afterUs: bigint | null;
}

/** Pieces together as long as they fit a page. */
function partsOf({ pieces, restUs }: Outline, pageRows: number): Part[] {
  const groups: Piece[][] = [];
  let count = 0;
  for (const piece of pieces) {
    count += piece.eventCount;
    const group = groups.at(-1);
    if (group !== undefined && count < pageRows) group.push(piece);
    else {
      groups.push([piece]);
      count = piece.eventCount;
    }
  }
  const parts: Part[] = [];
  let afterUs = restUs;
  for (const group of groups.toReversed()) {
    const lowestUs = group.reduce((us, piece) => lowest(us, piece.lowestUs), afterUs);
    const last = group.reduce((position, piece) => Math.max(position, piece.last), 0);
    parts.unshift({ last, lowestUs, afterUs });
    afterUs = lowestUs;
  }
  return parts;
}

/** For each record the lowest time + `_behind` behind it; `afterUs`: that behind all of them. */
function watermarksOf(records: readonly PastRecord[], afterUs: bigint | null): (bigint | null)[] {
  let us = afterUs;
  return records
    .toReversed()
    .map((record) => {
      const own = us;
      us = lowest(us, record.lowestUs);
      return own;
    })
    .toReversed();
}

/** Null: nothing is known, which is lower than everything. */
function lowest(a: bigint | null, b: bigint): bigint | null {
  return a === null || a < b ? a : b;
}

/** Where the last record of rows begins. */
function lastRecordAt(rows: readonly PastRow[]): number {
  const position = rows.at(-1)?.position;
  return rows.findIndex((row) => row.position === position);
}
