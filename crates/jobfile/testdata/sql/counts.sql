-- Rows per key; ${env:HOME_DIR} is replaced as in a job file.
CREATE TABLE n (k STRING, v BIGINT, t TIMESTAMP(3), note STRING) WITH ('connector' = 'numbers');
CREATE TABLE o (k STRING, c BIGINT, note STRING) WITH ('connector' = 'print');

INSERT INTO o
  SELECT k, COUNT(*), '${env:HOME_DIR}'
  FROM n GROUP BY k;
