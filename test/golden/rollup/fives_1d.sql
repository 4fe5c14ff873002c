SELECT timezone('Europe/Berlin', date_trunc('day', timezone('Europe/Berlin', window_start))) AS window_start,
  timezone('Europe/Berlin', date_trunc('day', timezone('Europe/Berlin', window_start)) + INTERVAL 1 DAY) AS window_end, kind,
  count(*) AS events, sum(price) AS amount, avg(n) AS mean, min(ratio) AS low, approx_count_distinct(user) AS users
FROM tumble(hits, time, INTERVAL 5 SECONDS) GROUP BY 1, 2, kind
