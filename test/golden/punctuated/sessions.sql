-- `in_sessions`: the events that the plain model of the session rule did not find late (make.ts)
SELECT window_start, window_end, user, count(*) AS events
FROM session(in_sessions, time, INTERVAL 4 SECONDS, user)
GROUP BY ALL
