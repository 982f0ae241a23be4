CREATE TABLE n (k STRING, v BIGINT, t TIMESTAMP(3), note STRING) WITH ('connector' = 'numbers');
CREATE TABLE o (k STRING) WITH ('connector' = 'print');
-- The column is called k.
INSERT INTO o
SELECT kk FROM n;
