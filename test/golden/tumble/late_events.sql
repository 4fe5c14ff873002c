SELECT * FROM (
  SELECT 'everything' AS view, time AS event_time, time_bucket(INTERVAL 10 SECONDS, time) AS window_start,
    time_bucket(INTERVAL 10 SECONDS, time) + INTERVAL 10 SECONDS AS window_end, _behind AS behind, received_at FROM hits
  UNION ALL
  SELECT 'filtered', time, time_bucket(INTERVAL 7 SECONDS, time, TIMESTAMPTZ '1970-01-01 00:00:03+00'),
    time_bucket(INTERVAL 7 SECONDS, time, TIMESTAMPTZ '1970-01-01 00:00:03+00') + INTERVAL 7 SECONDS, _behind, received_at FROM hits
  WHERE kind IN ('view', 'buy') AND (n > -5 OR n IS NULL) AND page IS DISTINCT FROM '/b'
  UNION ALL
  SELECT 'total', time, date_trunc('hour', time), date_trunc('hour', time) + INTERVAL 1 HOUR, _behind, received_at FROM hits)
WHERE event_time + to_microseconds(behind) >= window_end
