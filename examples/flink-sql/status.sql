-- Each tick beside the status that its bond had when the connector received it.
SET 'table.local-time-zone' = 'UTC';

-- Keys are instrument/<ISIN>, list/<name> and slot/<k>; these are the columns of bonds.
CREATE TABLE bond_status (
  status_key STRING,
  state STRING,
  lists ARRAY<STRING>,
  slot INT,
  since TIMESTAMP_LTZ(3),
  updated_at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  WATERMARK FOR updated_at AS updated_at,
  PRIMARY KEY (status_key) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'bond.subscriptions.status',
  'properties.bootstrap.servers' = 'localhost:9092',
  'key.format' = 'raw',
  'value.format' = 'json',
  'value.json.timestamp-format.standard' = 'ISO-8601',
  'value.fields-include' = 'EXCEPT_KEY'
);

-- By received_at, and not by traded_at: that has whole seconds, so a bond's first trade would come
-- before the bond was ACTIVE. The CAST is right only because the session's time zone is UTC.
CREATE TABLE received_ticks (
  received AS CAST(received_at AS TIMESTAMP_LTZ(3)),
  WATERMARK FOR received AS received - INTERVAL '30' SECOND
) LIKE bond_ticks (EXCLUDING WATERMARKS);

CREATE VIEW ticks_with_status AS
SELECT tick.STND_ISCD AS isin, tick.tick_id, tick.received, status.state
FROM (SELECT *, 'instrument/' || STND_ISCD AS status_key FROM received_ticks) AS tick
LEFT JOIN bond_status FOR SYSTEM_TIME AS OF tick.received AS status
ON tick.status_key = status.status_key;
