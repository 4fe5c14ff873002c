SELECT window_start, kind, first(page ORDER BY _index) AS entry, last(page ORDER BY _index) AS exit, last(n ORDER BY _index) AS n
FROM tumble(hits, time, INTERVAL 15 SECONDS) GROUP BY ALL
