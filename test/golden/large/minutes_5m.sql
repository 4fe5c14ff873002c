SELECT time_bucket(INTERVAL 5 MINUTES, window_start, TIMESTAMPTZ '1970-01-01') AS window_start, page, kind, count(*) AS events,
  sum(price) AS amount, sum(ratio) AS ratios, max(seen) AS newest, approx_count_distinct(user) AS users
FROM tumble(hits, time, INTERVAL 1 MINUTE) GROUP BY 1, page, kind
