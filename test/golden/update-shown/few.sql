SELECT window_start, page, count(*) AS events, sum(n) AS total,
  count(*) FILTER (WHERE time + to_microseconds(_behind) >= window_end) AS revision
FROM hop_corrected(hits, time, INTERVAL 4 SECONDS, INTERVAL 14 SECONDS, INTERVAL 1 SECOND, INTERVAL 30 SECONDS)
GROUP BY ALL HAVING events < 4
