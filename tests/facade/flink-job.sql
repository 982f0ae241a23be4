-- The job that `record.py` looks at on a real Flink: a source, an exchange by key, a window
-- aggregate with state, a sink. `like-job.yaml` is the same for Weir. Submitted with
-- SubmitSql.java, see README.md.
CREATE TABLE rides (
  zone INT,
  fare BIGINT,
  ts AS LOCALTIMESTAMP,
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH (
  'connector' = 'datagen',
  'rows-per-second' = '500',
  'fields.zone.min' = '1',
  'fields.zone.max' = '20'
);

CREATE TABLE busy_zones (zone INT, rides BIGINT, total BIGINT)
  WITH ('connector' = 'blackhole');

INSERT INTO busy_zones
SELECT zone, COUNT(*), SUM(fare)
FROM TABLE(TUMBLE(TABLE rides, DESCRIPTOR(ts), INTERVAL '2' SECOND))
GROUP BY zone, window_start, window_end;
