SELECT window_start, window_end, kind, count(*) AS events, sum(price) AS amount, max(ratio) AS high,
  count(*) FILTER (WHERE time + to_microseconds(_behind) >= window_end) AS revision
FROM tumble_corrected(hits, time, INTERVAL 5 SECONDS, INTERVAL 0 SECONDS, INTERVAL 30 SECONDS)
GROUP BY ALL
