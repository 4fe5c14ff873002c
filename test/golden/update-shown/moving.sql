SELECT window_start, window_end, kind, count(*) AS events, sum(price) AS amount, max(ratio) AS high, last(page ORDER BY _position, _index) AS page,
  count(*) FILTER (WHERE time + to_microseconds(_behind) >= window_end) AS revision
FROM hop_corrected(hits, time, INTERVAL 5 SECONDS, INTERVAL 20 SECONDS, INTERVAL 0 SECONDS, INTERVAL 22 SECONDS)
GROUP BY ALL
