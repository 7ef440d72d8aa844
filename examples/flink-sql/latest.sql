-- Each bond's state and latest price, always up to date. Needs the topic of `topics.latest`, and the
-- table bond_status of status.sql.
CREATE TABLE bond_latest (
  PRIMARY KEY (STND_ISCD) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'bond.ticks.latest',
  'properties.bootstrap.servers' = 'localhost:9092',
  'key.format' = 'raw',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = 'http://localhost:8081/apis/ccompat/v7',
  'value.fields-include' = 'ALL'
) LIKE bond_ticks (EXCLUDING OPTIONS EXCLUDING WATERMARKS);

CREATE VIEW bonds_now AS
SELECT tick.STND_ISCD AS isin, status.state, tick.STCK_PRPR AS price, tick.traded_at
FROM (SELECT *, 'instrument/' || STND_ISCD AS status_key FROM bond_latest) AS tick
LEFT JOIN bond_status AS status ON tick.status_key = status.status_key;
