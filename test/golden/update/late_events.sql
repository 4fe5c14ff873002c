SELECT 'corrected' AS view, time AS event_time, time_bucket(INTERVAL 5 SECONDS, time) AS window_start, _behind AS behind
FROM hits WHERE time + to_microseconds(_behind) >= time_bucket(INTERVAL 5 SECONDS, time) + INTERVAL 35 SECONDS
