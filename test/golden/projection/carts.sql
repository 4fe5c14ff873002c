SELECT time, user, price * 2 AS double_price, date_trunc('minute', time) AS minute, TRY(n + 1) AS next FROM hits WHERE kind = 'cart' AND n IS NOT NULL
