-- One-minute windows of each bond. `bond_trades` is the view that `kis-bond schema ddl` printed: it
-- reads bond_ticks with FINAL, so that each tick counts once.
-- Open and close are the trades with the lowest and the highest day's volume. They are not any() and
-- anyLast(): those take the order in which rows are stored.
SELECT
  isin,
  formatDateTime(toStartOfMinute(traded_at), '%Y-%m-%d %H:%i:%S') AS window_start,
  argMin(price, (trade_date, day_volume)) AS first_price,
  max(price) AS highest_price,
  min(price) AS lowest_price,
  argMax(price, (trade_date, day_volume)) AS last_price,
  sum(volume) AS volumes,
  count() AS trades,
  sum(price * volume) AS notional
FROM bond_trades
GROUP BY isin, toStartOfMinute(traded_at)
ORDER BY isin, window_start
