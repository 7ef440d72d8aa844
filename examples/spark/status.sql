-- How many ticks of each bond came in which state of the bond: the latest status record that was
-- written when the tick was received. For spark-sql, after the tables that kis-bond schema ddl printed.
CREATE OR REPLACE TEMPORARY VIEW bond_status_raw
USING kafka
OPTIONS (
  `kafka.bootstrap.servers` 'localhost:9092',
  subscribe 'bond.subscriptions.status',
  startingOffsets 'earliest'
);

-- Keys are instrument/<ISIN>, list/<name> and slot/<k>. Each state of a bond lasts until the next record.
CREATE OR REPLACE TEMPORARY VIEW bond_status AS
SELECT
  substring(status_key, 12) AS isin,
  get_json_object(CAST(value AS STRING), '$.state') AS state,
  updated_at,
  lead(updated_at) OVER (PARTITION BY status_key ORDER BY updated_at) AS next_at
FROM (SELECT *, CAST(key AS STRING) AS status_key, timestamp AS updated_at FROM bond_status_raw)
WHERE status_key LIKE 'instrument/%';

-- By received_at, and not by traded_at: that has whole seconds, so a bond's first trade may be older than
-- its ACTIVE.
SELECT trade.isin, coalesce(status.state, 'UNKNOWN') AS state, count(DISTINCT trade.tick_id) AS ticks
FROM bond_trades AS trade
LEFT JOIN bond_status AS status
ON trade.isin = status.isin
  AND trade.received_at >= status.updated_at
  AND (status.next_at IS NULL OR trade.received_at < status.next_at)
GROUP BY trade.isin, state
ORDER BY trade.isin, state;
