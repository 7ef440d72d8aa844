-- One-minute windows of each bond. `bond_trades` is the view that `kis-bond schema ddl` printed.
SET 'table.local-time-zone' = 'UTC';
-- How long Flink remembers each tick_id: a trade date, and a night.
SET 'table.exec.state.ttl' = '36 h';

-- A tick may come again: the first copy stays.
CREATE VIEW unique_trades AS
SELECT *
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY tick_id ORDER BY traded_at) AS copy FROM bond_trades)
WHERE copy = 1;

-- Open and close are the trades with the lowest and the highest day_volume. They are not FIRST_VALUE
-- and LAST_VALUE: those take the order in which rows arrive, and finding copies shuffles the rows.
CREATE VIEW ranked_trades AS
SELECT *, LPAD(CAST(day_volume AS STRING), 19, '0') || CAST(price AS STRING) AS ranked
FROM unique_trades;

CREATE VIEW windows AS
SELECT
  isin,
  window_start,
  CAST(SUBSTRING(MIN(ranked) FROM 20) AS DECIMAL(18, 4)) AS open_price,
  MAX(price) AS high_price,
  MIN(price) AS low_price,
  CAST(SUBSTRING(MAX(ranked) FROM 20) AS DECIMAL(18, 4)) AS close_price,
  SUM(volume) AS volume,
  COUNT(*) AS trades,
  SUM(price * volume) AS notional
FROM TABLE(TUMBLE(TABLE ranked_trades, DESCRIPTOR(traded_at), INTERVAL '1' MINUTE))
GROUP BY isin, window_start, window_end;
