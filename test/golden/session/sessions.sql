-- `in_sessions`: the events that the plain model of the session rule did not find late (make.ts)
SELECT window_start, window_end, user, count(*) AS events, sum(price) AS amount, min(time) AS began, max(time) AS ended
FROM session(in_sessions, time, INTERVAL 4 SECONDS, user)
GROUP BY ALL
