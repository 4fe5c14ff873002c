SELECT window_start, kind, count(*) AS events, sum(n) AS total,
  count(*) FILTER (WHERE time + to_microseconds(_behind) >= window_end) AS revision
FROM tumble_corrected(hits, time, INTERVAL 20 SECONDS, INTERVAL 0 SECONDS, INTERVAL 40 SECONDS)
GROUP BY window_start, kind
