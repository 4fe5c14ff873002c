// The window functions as DuckDB macros: the text of a view runs in batch over the raw relation and gives the rows that the stream
// gave. Times are TIMESTAMPTZ and the connection's time zone is UTC (base/duckdb.ts sees to it).
// A relation under them has the stream's columns and `_behind`; bare names pass through into query_table. A name with a schema runs
// into endless recursion there: relations are named without.

const ORIGIN = "TIMESTAMPTZ '1970-01-01 00:00:00+00'";

/**
 * `tumble(stream, event_time, size)`: each event in its window [window_start, window_end), without the late ones: an event is late
 * when the watermark had passed the window's end before it (event time + _behind >= end; DESIGN section 3).
 */
export const TUMBLE_MACRO = `CREATE OR REPLACE MACRO tumble(s, t, size) AS TABLE
  SELECT *, time_bucket(size, t, ${ORIGIN}) AS window_start, time_bucket(size, t, ${ORIGIN}) + size AS window_end
  FROM query_table(s)
  WHERE t + to_microseconds(_behind) < time_bucket(size, t, ${ORIGIN}) + size`;

/** Statements that install the macros in a connection. */
export const WINDOW_MACROS: readonly string[] = [TUMBLE_MACRO];
