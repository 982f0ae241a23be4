-- A running count and sum of KEYS keys, each as likely as the other.
CREATE TABLE src (k BIGINT, v BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '${EVENTS}', 'rows-per-second' = '0', 'fields.k.kind' = 'random', 'fields.k.min' = '0', 'fields.k.max' = '${LAST}', 'fields.v.kind' = 'random', 'fields.v.min' = '0', 'fields.v.max' = '1000');
CREATE TABLE snk (k BIGINT, n BIGINT, s BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('connector' = 'blackhole');
INSERT INTO snk SELECT k, COUNT(*), SUM(v) FROM src GROUP BY k;
