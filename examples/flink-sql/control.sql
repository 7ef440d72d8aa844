-- A list of bonds, written to the control topic. Fields that are null are left out.
CREATE TABLE control (
  list STRING,
  instruments ARRAY<STRING>,
  priority INT,
  requested_by STRING,
  requested_at STRING,
  note STRING,
  PRIMARY KEY (list) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = 'bond.subscriptions',
  'properties.bootstrap.servers' = 'localhost:9092',
  'key.format' = 'raw',
  'value.format' = 'json',
  'value.json.encode.ignore-null-fields' = 'true',
  'value.fields-include' = 'EXCEPT_KEY'
);

INSERT INTO control VALUES
  ('flink-desk', ARRAY['KR103502GA34', 'KR103502GD31'], 7, 'flink', CAST(NULL AS STRING), 'from Flink SQL');
