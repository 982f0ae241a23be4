-- The tables that every case may read. Connector `rows` is the tests' own: it gives the rows
-- of tables/TABLE.csv (or .jsonl) in four splits, a few at a time.
CREATE TABLE orders (id BIGINT, customer BIGINT, product STRING, quantity INT, price DECIMAL(10, 2),
  coupon STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '10' SECOND)
WITH ('connector' = 'rows', 'table' = 'orders');
CREATE TABLE payments (id BIGINT, order_id BIGINT, `method` STRING, amount DECIMAL(10, 2),
  ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '10' SECOND)
WITH ('connector' = 'rows', 'table' = 'payments');
CREATE TABLE customers (id BIGINT, name STRING, city STRING, `level` INT)
WITH ('connector' = 'rows', 'table' = 'customers');
CREATE TABLE rates (currency STRING, rate DECIMAL(10, 4), ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND, PRIMARY KEY (currency) NOT ENFORCED)
WITH ('connector' = 'rows', 'table' = 'rates');
CREATE TABLE trades (id BIGINT, currency STRING, amount BIGINT, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '10' SECOND)
WITH ('connector' = 'rows', 'table' = 'trades');
CREATE TABLE clicks (id BIGINT, user_id BIGINT, page STRING, dwell INT, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
WITH ('connector' = 'rows', 'table' = 'clicks');
-- Rows behind the watermark; one split, so that they are always late.
CREATE TABLE late (id BIGINT, k STRING, v INT, late BOOLEAN, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts)
WITH ('connector' = 'rows', 'table' = 'late', 'splits' = '1', 'ordered' = 'true');
-- Every type, with nulls and limits.
CREATE TABLE samples (id BIGINT, b BOOLEAN, ti TINYINT, si SMALLINT, i INT, l BIGINT, f FLOAT,
  d DOUBLE, de DECIMAL(12, 3), s STRING, dt DATE, tm TIME, ts TIMESTAMP(3))
WITH ('connector' = 'rows', 'table' = 'samples');
CREATE TABLE carts (id BIGINT, items ARRAY<STRING>, counts ARRAY<INT>, props MAP<STRING, INT>,
  home ROW<city STRING, zip INT>, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
WITH ('connector' = 'rows', 'table' = 'carts');
