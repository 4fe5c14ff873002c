SELECT window_start, user, count(*) AS events,
  count(*) FILTER (WHERE time + to_microseconds(_behind) >= window_end) AS revision
FROM hop_corrected(hits, time, INTERVAL 5 SECONDS, INTERVAL 15 SECONDS, INTERVAL 0 SECONDS, INTERVAL 40 SECONDS) GROUP BY window_start, user
QUALIFY row_number() OVER (PARTITION BY window_start ORDER BY events DESC, user) <= 2
