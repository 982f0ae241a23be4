-- More bad statements: every clause misused. One per paragraph, after the test's tables.
INSERT INTO out SELECT auction price bidder FROM bid

INSERT INTO out SELECT , price FROM bid

INSERT INTO out SELECT auction, price, FROM bid

INSERT INTO out SELECT auction, price bid WHERE price > 1

INSERT INTO out SELECT auction, price FORM bid

INSERT INTO out SELECT auction, price FROM

INSERT INTO out SELECT auction, price FROM bid WERE price > 1

INSERT INTO out SELECT auction, price FROM bid WHERE price >

INSERT INTO out SELECT auction, price FROM bid WHERE price = = 1

INSERT INTO out SELECT auction, price FROM bid WHERE price

INSERT INTO out SELECT auction, price FROM bid WHERE channel AND price > 1

INSERT INTO out SELECT auction, price FROM bid WHERE `dateTime` > 5

INSERT INTO out SELECT auction, price FROM bid WHERE price LIKE '1%'

INSERT INTO out SELECT auction, price FROM bid WHERE price BETWEEN 1

INSERT INTO out SELECT auction, price FROM bid WHERE SUM(price) > 10

INSERT INTO out SELECT auction, price FROM bid WHERE ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price) < 3

INSERT INTO out SELECT auction, COUNT(*) FROM bid WHERE price > 1 GROUP auction

INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY

INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY auctoin

INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY COUNT(*)

INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY 3

INSERT INTO out SELECT auction, COUNT(*) FROM bid

INSERT INTO out SELECT auction, SUM(SUM(price)) FROM bid GROUP BY auction

INSERT INTO out SELECT auction, price FROM bid HAVING price > 1

INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY auction HAVING bidder > 1

INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY auction HAVING

INSERT INTO out SELECT auction, COUNT(*) FILTER (price > 1) FROM bid GROUP BY auction

INSERT INTO out SELECT auction, SUM(price, bidder) FROM bid GROUP BY auction

INSERT INTO out SELECT auction, MEDIAN(price) FROM bid GROUP BY auction

INSERT INTO out SELECT auction, AVG(`dateTime`) FROM bid GROUP BY auction

INSERT INTO out SELECT auction, ABS(channel) FROM bid

INSERT INTO out SELECT auction, ABS() FROM bid

INSERT INTO out SELECT auction, CHAR_LENGTH(channel, 2) FROM bid

INSERT INTO out SELECT auction, MOD(price) FROM bid

INSERT INTO out SELECT auction, IF(price > 1, 2) FROM bid

INSERT INTO out SELECT auction, DATE_FORMAT(`dateTime`, 'QQ') FROM bid

INSERT INTO out SELECT auction, DATE_FORMAT(`dateTime`, channel) FROM bid

INSERT INTO out SELECT auction, EXTRACT(FORTNIGHT FROM `dateTime`) FROM bid

INSERT INTO out SELECT auction, CAST(channel AS) FROM bid

INSERT INTO out SELECT auction, CAST(price, INT) FROM bid

INSERT INTO out SELECT auction, CAST(`dateTime` AS BOOLEAN) FROM bid

INSERT INTO out SELECT auction, CASE WHEN price > 1 THEN 1 ELSE 2 FROM bid

INSERT INTO out SELECT auction, CASE price THEN 1 END FROM bid

INSERT INTO out SELECT auction, CASE WHEN price > 1 THEN 1 ELSE 'x' END FROM bid

INSERT INTO out SELECT auction, price + INTERVAL '1' DAY FROM bid

INSERT INTO out SELECT auction, bid.price.cents FROM bid

INSERT INTO out SELECT a.auction, a.price FROM bid

INSERT INTO out SELECT x.auction, x.price FROM bid AS b

INSERT INTO out SELECT b.auction, b.price FROM bid b JOIN auction a ON b.auction = a.idd

INSERT INTO out SELECT b.auction, b.price FROM bid b JOIN auction a ON b.auction

INSERT INTO out SELECT b.auction, b.price FROM bid b JOIN auction b ON b.auction = b.id

INSERT INTO out SELECT b.auction, b.price FROM bid b JOIN auction a USING (auction)

INSERT INTO out SELECT b.auction, b.price FROM bid b OUTER auction a ON b.auction = a.id

INSERT INTO out SELECT auction, price FROM bid UNION

INSERT INTO out SELECT auction, price FROM (SELECT auction FROM bid)

INSERT INTO out SELECT auction, price FROM (SELECT auction, price FROM bid

INSERT INTO out SELECT auction, (SELECT id, seller FROM auction) FROM bid

INSERT INTO out SELECT auction, price FROM bid WHERE auction IN (SELECT id, seller FROM auction)

INSERT INTO out SELECT auction, price FROM bid WHERE EXISTS (SELECT id FROM auctions)

WITH big AS SELECT * FROM bid SELECT auction, price FROM big

INSERT INTO out WITH big AS (SELECT * FROM bid) SELECT auction, price FROM bgi

INSERT INTO out SELECT auction, price FROM bid ORDER BY `dateTime` DESC

INSERT INTO out SELECT auction, price FROM bid ORDER price

INSERT INTO out SELECT auction, price FROM bid ORDER BY price LIMIT many

INSERT INTO out SELECT auction, price FROM bid LIMIT -1

INSERT INTO out SELECT auction, SUM(price) OVER (PARTITION BY auction) FROM bid

INSERT INTO out SELECT auction, SUM(price) OVER (PARTITION BY auction ORDER BY `dateTime` RANGE BETWEEN 5 PRECEDING AND CURRENT ROW) FROM bid

INSERT INTO out SELECT auction, SUM(price) OVER w FROM bid

INSERT INTO out SELECT auction, NTILE(0) OVER (PARTITION BY auction ORDER BY `dateTime`) FROM bid

INSERT INTO out SELECT auction, LAG(price, 0) OVER (PARTITION BY auction ORDER BY `dateTime`) FROM bid

INSERT INTO out SELECT auction, LAG(price, 1, INTERVAL '1' DAY) OVER (PARTITION BY auction ORDER BY `dateTime`) FROM bid

INSERT INTO out SELECT auction, LAST_VALUE(price) IGNORE NULLS OVER (PARTITION BY auction ORDER BY `dateTime`) FROM bid

INSERT INTO out SELECT auction, LAST_VALUE(price) RESPECT NULLS OVER (PARTITION BY auction ORDER BY `dateTime`) FROM bid

INSERT INTO out SELECT auction, price FROM bid WHERE CASE WHEN auction IN (SELECT id FROM auction) THEN TRUE ELSE FALSE END

INSERT INTO out SELECT auction, NTH_VALUE(price, 2) OVER (PARTITION BY auction ORDER BY `dateTime`) FROM bid

EXPLAIN ESTIMATED_COSTS SELECT auction FROM bid

CREATE TABLE bag (m MULTISET) WITH ('connector' = 'print')

CREATE TABLE side (k BIGINT, v BIGINT) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'json', 'lookup.cache' = 'SOME'); INSERT INTO out SELECT b.auction, s.v FROM bid b JOIN side FOR SYSTEM_TIME AS OF b.p AS s ON b.auction = s.k

CREATE TABLE side (k BIGINT, v BIGINT) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'json', 'lookup.cache' = 'FULL', 'lookup.partial-cache.max-rows' = '10'); INSERT INTO out SELECT b.auction, s.v FROM bid b JOIN side FOR SYSTEM_TIME AS OF b.p AS s ON b.auction = s.k

CREATE TABLE side (k BIGINT, v BIGINT) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'json', 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = 'many'); INSERT INTO out SELECT b.auction, s.v FROM bid b JOIN side FOR SYSTEM_TIME AS OF b.p AS s ON b.auction = s.k

CREATE TABLE side (k BIGINT, v BIGINT) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'json', 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.expire-after-writes' = '1 h'); INSERT INTO out SELECT b.auction, s.v FROM bid b JOIN side FOR SYSTEM_TIME AS OF b.p AS s ON b.auction = s.k

CREATE TABLE side (k BIGINT, v BIGINT) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'json', 'lookup.full-cache.reload-strategy' = 'TIMED'); INSERT INTO out SELECT b.auction, s.v FROM bid b JOIN side FOR SYSTEM_TIME AS OF b.p AS s ON b.auction = s.k

INSERT INTO out SELECT auction, price FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(`dateTime`), INTERVAL '1' MINUTE))

INSERT INTO out SELECT auction, price FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), '1 minute'))

INSERT INTO out SELECT auction, price FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '0' SECOND))

INSERT INTO out SELECT auction, price FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '-5' SECOND))

INSERT INTO out SELECT auction, price FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '1' MINUTE)

INSERT INTO out SELECT auction, price FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '1' MINUTE))

INSERT INTO out SELECT auction, price FROM TABLE(TUMBLE(DATA => TABLE bid, TIME => DESCRIPTOR(`dateTime`), SIZE => INTERVAL '1' MINUTE))

INSERT INTO out SELECT auction, price FROM TUMBLE(bid, `dateTime`, INTERVAL '1' MINUTE)

INSERT INTO out SELECT auction, TUMBLE_START(`dateTime`, INTERVAL '1' MINUTE) FROM bid GROUP BY auction

INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY auction, TUMBLE(`dateTime`)

INSERT INTO files SELECT auction, price FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC) AS rn FROM bid) WHERE rn <= 3

INSERT INTO files SELECT b.auction, a.seller FROM bid b LEFT JOIN auction a ON b.auction = a.id

INSERT INTO files SELECT DISTINCT auction, MAX(price) FROM bid GROUP BY auction

INSERT INTO bid SELECT auction, price FROM bid

INSERT out SELECT auction, price FROM bid

INSERT INTO out (auction) SELECT auction, price FROM bid

INSERT INTO out (auction, auction) SELECT auction, price FROM bid

CREATE TABLE t (a BIGINT b INT) WITH ('connector' = 'print')

CREATE TABLE t (a DECIMAL(50, 2)) WITH ('connector' = 'print')

CREATE TABLE t (a DECIMAL(10, 12)) WITH ('connector' = 'print')

CREATE TABLE t (a TIMESTAMP(12)) WITH ('connector' = 'print')

CREATE TABLE t (a ARRAY) WITH ('connector' = 'print')

CREATE TABLE t (a MAP<STRING>) WITH ('connector' = 'print')

CREATE TABLE t (a INT) WITH ('connector' 'print')

CREATE TABLE t (a INT) WITH ('connector' = print)

CREATE TABLE t (a INT) ('connector' = 'print')

CREATE TABLE (a INT) WITH ('connector' = 'print')

CREATE TABLE t (a INT, ts TIMESTAMP(3), WATERMARK ts AS ts) WITH ('connector' = 'datagen')

CREATE TABLE t (a INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' MONTH) WITH ('connector' = 'datagen'); INSERT INTO out SELECT a, a FROM t

CREATE TABLE t (a INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts, WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen')

CREATE TABLE t (a INT, ts STRING, WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen'); INSERT INTO out SELECT a, a FROM t

CREATE TABLE t (a INT, PRIMARY KEY a NOT ENFORCED) WITH ('connector' = 'datagen')

CREATE TABLE t (a INT, b AS a +) WITH ('connector' = 'datagen'); INSERT INTO out SELECT a, b FROM t

CREATE TABLE t (a INT, b AS nosuch(a)) WITH ('connector' = 'datagen'); INSERT INTO out SELECT a, b FROM t

CREATE TABLE t (a INT) WITH ('connector' = 'filesystem'); INSERT INTO out SELECT a, a FROM t

CREATE TABLE t (a INT) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'jsn'); INSERT INTO out SELECT a, a FROM t

CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 'x'); INSERT INTO out SELECT a, a FROM t

CREATE TABLE t (a INT) WITH ('connector' = 'print'); INSERT INTO out SELECT a, a FROM t

CREATE TABLE t (a INT) WITH ('connector' = 'datagen'); INSERT INTO t SELECT auction FROM bid

CREATE TABLE t (a INT) WITH ('connector' = 'datagen', 'fields.b.kind' = 'random'); INSERT INTO out SELECT a, a FROM t

CREATE TABLE t (a INT, r ROW<b INT>) WITH ('connector' = 'datagen', 'fields.r.c.max' = '5'); INSERT INTO out SELECT a, a FROM t

CREATE TABLE t (a INT) WITH ('connector' = 'datagen', 'fields.a.maximum' = '5'); INSERT INTO out SELECT a, a FROM t

CREATE TABLE t (a INT) WITH ('connector' = 'datagen', 'fields.a.max' = '5.5'); INSERT INTO out SELECT a, a FROM t

CREATE TABLE t (a INT) WITH ('connector' = 'datagen', 'fields.a.kind' = 'sequence', 'fields.a.max' = '5'); INSERT INTO out SELECT a, a FROM t

CREATE TABLE t (a MAP<INT, INT>) WITH ('connector' = 'datagen'); INSERT INTO out SELECT 1, CARDINALITY(a) FROM t

CREATE TABLE t (a INT) WITH ('connector' = 'datagen', 'number-of-rows' = '-3'); INSERT INTO out SELECT a, a FROM t

CREATE VIEW bid AS SELECT * FROM auction

CREATE VIEW v AS SELECT nope FROM bid

CREATE VIEW v SELECT auction FROM bid

CREATE MATERIALIZED VIEW v AS SELECT auction FROM bid

CREATE INDEX i ON bid (auction)

ALTER TABLE bid ADD x INT

DELETE FROM bid WHERE auction = 1

UPDATE out SET price = 1

TRUNCATE TABLE out

MERGE INTO out USING bid ON TRUE WHEN MATCHED THEN DELETE

GRANT SELECT ON bid TO joe

SET 'parallelism.default' = 'lots'; INSERT INTO out SELECT auction

SHOW CATALOGS

DROP bid

DROP VIEW nothing

EXPLAIN

EXPLAIN INSERT INTO out SELECT nope, price FROM bid

BEGIN STATEMENT SET; INSERT INTO out SELECT nope, price FROM bid; END

SELECT auction FROM bid GROUP BY auction WHERE price > 1

SELECT * FROM bid /* never closed

SELECT auction FROM bid;; SELECT nope FROM bid

INSERT INTO out SELECT auction, price FROM bid AS OF SYSTEM TIME '2026-01-01'

INSERT INTO out SELECT b.auction, a.seller FROM bid b JOIN auction FOR SYSTEM_TIME AS OF b.price AS a ON b.auction = a.id

INSERT INTO out SELECT DISTINCT ON (auction) auction, price FROM bid

INSERT INTO out SELECT TOP 5 auction, price FROM bid

INSERT INTO out SELECT auction, price FROM bid QUALIFY price > 1

INSERT INTO out SELECT * FROM bid

INSERT INTO out SELECT bid.* FROM auction

INSERT INTO out SELECT auction, price FROM bid WHERE price > ALL (SELECT id FROM auction)

INSERT INTO out SELECT auction, ARRAY[1, 'x'][1] FROM bid

INSERT INTO out SELECT auction, extra['x'] FROM bid

INSERT INTO out SELECT auction, ROW(1, 2).x FROM bid
