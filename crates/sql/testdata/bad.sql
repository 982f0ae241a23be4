-- Bad statements, one per paragraph, each after the tables that the test declares.
SELEC auction FROM bid

INSERT INTO out SELECT auctoin, price FROM bid

INSERT INTO out SELECT auction, price FROM bids

INSERT INTO outt SELECT auction, price FROM bid

INSERT INTO out SELECT auction FROM bid

INSERT INTO out SELECT auction, price, bidder FROM bid

INSERT INTO out SELECT channel, price FROM bid

INSERT INTO out (auction, prize) SELECT auction, price FROM bid

INSERT INTO out SELECT auction, price FROM bid WHERE

INSERT INTO out SELECT auction price FROM bid WHERE (price > 1

INSERT INTO out SELECT auction, lowr(channel) FROM bid

INSERT INTO out SELECT auction, SUM(channel) FROM bid GROUP BY auction

INSERT INTO out SELECT auction, price FROM bid GROUP BY auction

INSERT INTO out SELECT auction, price FROM bid b JOIN auction a ON b.auction = a.id WHERE extra = 'x'

INSERT INTO files SELECT auction, COUNT(*) FROM bid GROUP BY auction

INSERT OVERWRITE out SELECT auction, price FROM bid

INSERT INTO out

INSERT INTO out SELECT auction, price FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(price), INTERVAL '1' MINUTE))

INSERT INTO out SELECT auction, price FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(datetime), INTERVAL '1' MINUTE))

INSERT INTO out SELECT auction, price FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`)))

INSERT INTO out SELECT auction, price FROM TABLE(TUMBLE(TABLE bid, `dateTime`, INTERVAL '1' MINUTE))

INSERT INTO out SELECT auction, price FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '3' SECOND, INTERVAL '10' SECOND))

INSERT INTO out SELECT auction, price FROM TABLE(CUMULATE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '3' SECOND, INTERVAL '10' SECOND))

INSERT INTO out SELECT auction, price FROM TABLE(TUMBEL(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '1' MINUTE))

INSERT INTO out SELECT auction, price FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '1' MONTH))

INSERT INTO out SELECT auction, price FROM TABLE(SESSION(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '1' MINUTE))

INSERT INTO out SELECT auction, COUNT(*) FROM TABLE(SESSION(TABLE bid PARTITION BY bidder, DESCRIPTOR(`dateTime`), INTERVAL '1' MINUTE)) GROUP BY auction, window_start, window_end

INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY auction, TUMBLE(price + 1, INTERVAL '1' MINUTE)

INSERT INTO out SELECT auction, rn FROM (SELECT auction, RANK() OVER (PARTITION BY auction ORDER BY price) AS rn FROM bid) WHERE rn < 1

INSERT INTO out SELECT auction, rn FROM (SELECT auction, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price) AS rn FROM bid) WHERE rn <= 0

INSERT INTO out SELECT auction, SUM(price) OVER (PARTITION BY auction) FROM bid

INSERT INTO out SELECT auction, SUM(price) OVER (PARTITION BY auction ORDER BY `dateTime` DESC RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) FROM bid

INSERT INTO out SELECT SUM(price) OVER (PARTITION BY auction ORDER BY `dateTime` ROWS BETWEEN 2 PRECEDING AND CURRENT ROW), SUM(price) OVER (PARTITION BY auction ORDER BY `dateTime` ROWS BETWEEN 5 PRECEDING AND CURRENT ROW) FROM bid

CREATE TABLE gone (k BIGINT) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'canal-json'); INSERT INTO out SELECT k, k FROM gone

CREATE TABLE side (k BIGINT, v BIGINT) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'json', 'lookup.full-cache.periodic-reload.interval' = 'soon'); INSERT INTO out SELECT b.auction, s.v FROM bid b JOIN side FOR SYSTEM_TIME AS OF b.p AS s ON b.auction = s.k

INSERT INTO out SELECT auction, SUM(price) OVER (ORDER BY `dateTime` ROWS BETWEEN CURRENT ROW AND 2 FOLLOWING) FROM bid

INSERT INTO out SELECT auction, LEAD(price) OVER (PARTITION BY auction ORDER BY p) FROM bid

INSERT INTO out SELECT auction, price FROM bid ORDER BY price

INSERT INTO out SELECT auction, price FROM bid OFFSET 3

INSERT INTO out VALUES (1, 'x')

INSERT INTO out VALUES (1, 2), (3)

INSERT INTO out SELECT auction, price FROM bid INTERSECT SELECT auction FROM bid

INSERT INTO out SELECT auction, price FROM bid EXCEPT SELECT auction, `dateTime` FROM bid

INSERT INTO out SELECT auction, GROUPING(price) FROM bid GROUP BY CUBE (auction, bidder)

INSERT INTO out SELECT auction, x FROM bid CROSS JOIN UNNEST(channel) AS t(x)

INSERT INTO out SELECT auction, x FROM bid CROSS JOIN UNNEST(chanel) AS t(x)

INSERT INTO out SELECT auction, x FROM bid LEFT JOIN UNNEST(ARRAY[price]) AS t(x) ON x = 1

INSERT INTO out SELECT b.auction, a.id FROM bid b JOIN auction FOR SYSTEM_TIME AS OF b.nope AS a ON b.auction = a.id

INSERT INTO out SELECT auction, price FROM bid UNION ALL SELECT auction FROM bid

INSERT INTO out SELECT auction, CAST(channel AS NOTYPE) FROM bid

INSERT INTO out SELECT auction, price + channel FROM bid

INSERT INTO out SELECT auction, price FROM bid; garbage

INSERT INTO out SELECT auction, 'unclosed FROM bid

CREATE TABLE t (a BIGINT, a INT) WITH ('connector' = 'print')

CREATE TABLE t (a BIGNIT) WITH ('connector' = 'print')

CREATE TABLE t (a BIGINT PRIMARY KEY) WITH ('connector' = 'print')

CREATE TABLE t (a BIGINT, PRIMARY KEY (b) NOT ENFORCED) WITH ('connector' = 'print')

CREATE TABLE t (a BIGINT, UNIQUE (a)) WITH ('connector' = 'print')

CREATE TABLE t (a BIGINT) WITH (connector = 'print')

CREATE TABLE t (a BIGINT) WITH ('connector' = 'print', 'limit' = '1', 'limit' = '2')

CREATE TABLE t (a BIGINT

CREATE TABLE t () WITH ('connector' = 'print')

CREATE TABLE bid (a BIGINT) WITH ('connector' = 'print')

CREATE TABLE t LIKE nothing

CREATE TABLE t (a BIGINT); INSERT INTO t SELECT auction FROM bid

CREATE TABLE t (a BIGINT) WITH ('connector' = 'prnt'); INSERT INTO t SELECT auction FROM bid

CREATE TABLE t (a BIGINT) WITH ('connector' = 'print', 'limt' = '1'); INSERT INTO t SELECT auction FROM bid

CREATE TABLE t (a BIGINT) WITH ('connector' = 'print', 'limit' = 'many'); INSERT INTO t SELECT auction FROM bid

CREATE TABLE t (a BIGINT) WITH ('connector' = 'datagen', 'rows-per-secnd' = '1'); INSERT INTO out SELECT a, a FROM t

CREATE TABLE t (nope BIGINT) WITH ('connector' = 'nexmark', 'table' = 'bid'); INSERT INTO out SELECT nope, nope FROM t

CREATE TABLE t (auction STRING) WITH ('connector' = 'nexmark', 'table' = 'bid'); INSERT INTO out SELECT 1, 1 FROM t

CREATE TABLE t (a BIGINT, b AS c + 1) WITH ('connector' = 'datagen'); INSERT INTO out SELECT a, b FROM t

CREATE TABLE t (a BIGINT, WATERMARK FOR a AS a - INTERVAL '1' SECOND) WITH ('connector' = 'datagen'); INSERT INTO out SELECT a, a FROM t

CREATE TABLE t (a BIGINT, ts TIMESTAMP(3), WATERMARK FOR tz AS tz) WITH ('connector' = 'datagen'); INSERT INTO out SELECT a, a FROM t

CREATE TABLE t (a BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS a) WITH ('connector' = 'datagen'); INSERT INTO out SELECT a, a FROM t

CREATE VIEW v (a, b, c) AS SELECT auction, price FROM bid

CREATE VIEW v AS

CREATE FUNCTION f AS 'com.example.F'

CREATE CATALOG c WITH ('type' = 'x')

DROP TABLE nothing

DESCRIBE nothing

SET 'parallelism.default' 4

EXPLAIN CREATE TABLE t (a INT)

INSERT INTO out SELECT auction, price FROM bid /*+ OPTIONS('evnts.num' = '10') */

INSERT INTO out SELECT /*+ STATE_TTL('bd' = '1 d') */ auction, COUNT(*) FROM bid GROUP BY auction

INSERT INTO out SELECT /*+ STATE_TTL('bid' = 'soon') */ auction, COUNT(*) FROM bid GROUP BY auction

INSERT INTO out SELECT auction, price FROM bid /*+ OPTIONS('a' = ) */

CREATE TABLE t (a BIGINT, n STRING METADATA FROM 'file.nam' VIRTUAL) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'json'); INSERT INTO out SELECT a, a FROM t

CREATE TABLE t (a BIGINT, n STRING METADATA FROM 'file.name') WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'json'); INSERT INTO t SELECT auction, channel FROM bid

CREATE TABLE t (a BIGINT) PARTITIONED BY (b) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'json')

CREATE TABLE t WITH ('connector' = 'blackhole') LIKE out (INCLUDING OPTIONS)

CREATE TABLE t (auction INT) LIKE out

CREATE TABLE t LIKE out (OVERWRITING CONSTRAINTS)

CREATE TABLE t LIKE out (INCLUDING EVERYTHING)

ALTER TABLE nowhere RENAME TO somewhere

ALTER TABLE out DROP prize

ALTER TABLE out SHRINK

INSERT INTO out SELECT auction, price FROM bid WHERE CAST(price AS TIME) IS NULL

INSERT INTO out SELECT auction, price FROM bid WHERE TRY_CAST(price + 1 AS TIME(3)) IS NOT NULL

INSERT INTO out SELECT auction, price FROM bid WHERE CAST(bidder AS DATE) > DATE '2026-01-01'

INSERT INTO out SELECT auction, price FROM bid WHERE CAST(price AS TIMESTAMP(3)) > `dateTime`

INSERT INTO out SELECT auction, CAST(`dateTime` AS BIGINT) FROM bid

INSERT INTO out SELECT auction, price FROM bid WHERE CAST(price > 5 AS DATE) IS NULL

INSERT INTO out SELECT auction, price FROM bid WHERE CAST(TRUE AS TIMESTAMP(3)) IS NULL

INSERT INTO out SELECT auction, CAST(CAST(`dateTime` AS DATE) AS INT) FROM bid

INSERT INTO out SELECT auction, price FROM bid WHERE CAST(price AS BYTES) IS NULL

INSERT INTO out SELECT auction, price FROM bid WHERE CAST(1.5 AS BOOLEAN)

INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY auction HAVING MAX(CAST(price AS TIME)) IS NULL

INSERT INTO out SELECT auction, price FROM bid WHERE auction IN (SELECT id FROM auction WHERE CAST(seller AS DATE) IS NULL)

CREATE VIEW dated AS SELECT auction, CAST(price AS DATE) AS day FROM bid

INSERT INTO out SELECT auction, price FROM bid WHERE CAST(price AS ARRAY<BIGINT>) IS NULL

CREATE TABLE timed (price BIGINT, t AS CAST(price AS TIME)) WITH ('connector' = 'nexmark', 'table' = 'bid'); INSERT INTO out SELECT price, price FROM timed WHERE t IS NULL
