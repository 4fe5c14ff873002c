SELECT time_bucket(INTERVAL 1 MINUTE, window_start, TIMESTAMPTZ '1970-01-01') AS window_start,
  time_bucket(INTERVAL 1 MINUTE, window_start, TIMESTAMPTZ '1970-01-01') + INTERVAL 1 MINUTE AS window_end, kind,
  count(*) AS events, sum(price) AS amount, avg(n) AS mean, min(ratio) AS low, approx_count_distinct(user) AS users
FROM tumble(hits, time, INTERVAL 5 SECONDS) GROUP BY 1, 2, kind
