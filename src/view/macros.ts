// The window functions as DuckDB macros: the text of a view runs in batch over the raw relation and gives the rows that the stream
// gave. Times are TIMESTAMPTZ and the connection's time zone is UTC (base/duckdb.ts sees to it).
// A relation under them has the stream's columns and `_behind`; bare names pass through into query_table. A name with a schema runs
// into endless recursion there: relations are named without.
import { SESSION_KEYS_MAX } from "../limits.ts";

/** A reconciled range where SQL goes through a list of them. A column of the same name would hide it: those of streams are plain words. */
export const RANGE = '"millrace range"';

const ORIGIN = "TIMESTAMPTZ '1970-01-01 00:00:00+00'";

/** What a macro's window is cut by: names of its parameters, or SQL. */
interface Cut {
  readonly offset: string | null;
  /** How long after its end a window takes late events; null: not at all. */
  readonly allowed: string | null;
  /** Ranges of windows that were reconciled; null: none was. */
  readonly reconciled: string | null;
}

/**
 * An event counts for a window unless it is late: unless the watermark had passed the window's end before it, event time + _behind >= end
 * (DESIGN section 3). A late one counts again iff its window was reconciled at its position or a later one.
 */
function counts(start: string, { allowed, reconciled }: Cut): string {
  const bound = `${start} + size${allowed === null ? "" : ` + ${allowed}`}`;
  const inTime = `t + to_microseconds(_behind) < ${bound}`;
  return reconciled === null ? inTime : `(${inTime} OR ${inRangeText(reconciled, start)})`;
}

/** Whether one of a list of reconciled ranges holds a time (a window's start, of sessions an event's own) at the event's position or a later one. */
export function inRangeText(ranges: string, time: string): string {
  const holds = `_position <= ${RANGE}.raw_position AND ${time} >= ${RANGE}.window_from AND ${time} < ${RANGE}.window_to`;
  return `len(list_filter(${ranges}, lambda ${RANGE}: ${holds})) > 0`;
}

function bucket(width: string, { offset }: Cut): string {
  return `time_bucket(${width}, t, ${ORIGIN}${offset === null ? "" : ` + ${offset}`})`;
}

function tumbleBody(cut: Cut): string {
  const start = bucket("size", cut);
  return `SELECT *, ${start} AS window_start, ${start} + size AS window_end
  FROM query_table(s) WHERE ${counts(start, cut)}`;
}

function hopBody(cut: Cut): string {
  return `SELECT * EXCLUDE (hop_start_), hop_start_ AS window_start, hop_start_ + size AS window_end
  FROM (SELECT *, unnest(range(${bucket("slide", cut)}, t - size, -slide)) AS hop_start_ FROM query_table(s))
  WHERE ${counts("hop_start_", cut)}`;
}

/**
 * Of several events at one time either may be the one that opens a session, another one in each of the two sorts: the frame is RANGE, so that
 * all of them are in it, not only those behind the opening one.
 */
function sessionMacro(keyCount: number): string {
  const keys = Array.from({ length: keyCount }, (_, index) => `k${index + 1}`).join(", ");
  return `(s, t, gap, ${keys}) AS TABLE (SELECT * EXCLUDE (new_, session_),
    min(t) OVER (PARTITION BY ${keys}, session_) AS window_start, max(t) OVER (PARTITION BY ${keys}, session_) + gap AS window_end
  FROM (SELECT *, sum(new_) OVER (PARTITION BY ${keys} ORDER BY t RANGE UNBOUNDED PRECEDING) AS session_
  FROM (SELECT *, CASE WHEN t - lag(t) OVER (PARTITION BY ${keys} ORDER BY t) <= gap THEN 0 ELSE 1 END AS new_ FROM query_table(s))))`;
}

const PLAIN: Cut = { offset: null, allowed: null, reconciled: null };
const SHIFTED: Cut = { offset: "shift", allowed: null, reconciled: null };
/** What plans become: every parameter given. */
const ALLOWED: Cut = { offset: "shift", allowed: "allowed", reconciled: null };
const RECONCILED: Cut = { ...ALLOWED, reconciled: "reconciled" };

/**
 * Statements that install the macros in a connection.
 *
 * `tumble(stream, event_time, size[, offset])`: each event in its window [window_start, window_end), without the late ones.
 * `hop(stream, event_time, slide, size[, offset])`: each event in each of its windows, without those that it is late for.
 * `session(stream, event_time, gap, key, ...)`: each event in its session; window_end is the last event's time + gap. Which events
 * were late depends on the sessions before them: the relation must be without them already.
 * `tumble_corrected` and `hop_corrected` take all arguments, and how long after its end a window was corrected (late policy update); then
 * perhaps the windows that were reconciled, a list of {window_from, window_to, raw_position}: rows of millrace.reconciled.
 */
export const WINDOW_MACROS: readonly string[] = [
  `CREATE OR REPLACE MACRO tumble(s, t, size) AS TABLE (${tumbleBody(PLAIN)}),
  (s, t, size, shift) AS TABLE (${tumbleBody(SHIFTED)})`,
  `CREATE OR REPLACE MACRO hop(s, t, slide, size) AS TABLE (${hopBody(PLAIN)}),
  (s, t, slide, size, shift) AS TABLE (${hopBody(SHIFTED)})`,
  `CREATE OR REPLACE MACRO session${Array.from({ length: SESSION_KEYS_MAX }, (_, index) =>
    sessionMacro(index + 1),
  ).join(",\n  ")}`,
  `CREATE OR REPLACE MACRO tumble_corrected(s, t, size, shift, allowed) AS TABLE (${tumbleBody(ALLOWED)}),
  (s, t, size, shift, allowed, reconciled) AS TABLE (${tumbleBody(RECONCILED)})`,
  `CREATE OR REPLACE MACRO hop_corrected(s, t, slide, size, shift, allowed) AS TABLE (${hopBody(ALLOWED)}),
  (s, t, slide, size, shift, allowed, reconciled) AS TABLE (${hopBody(RECONCILED)})`,
];
