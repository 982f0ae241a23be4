-- Query shapes, one per paragraph, each after the tables that the test declares.
INSERT INTO out SELECT auction, price FROM bid WHERE MOD(auction, 7) = 0

INSERT INTO out SELECT auction, COUNT(*) FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND)) GROUP BY auction, window_start, window_end

INSERT INTO out SELECT auction, COUNT(*) FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(p), INTERVAL '10' SECOND)) GROUP BY auction, window_start, window_end

INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY auction, HOP(`dateTime`, INTERVAL '2' SECOND, INTERVAL '10' SECOND)

INSERT INTO out SELECT b.bidder, COUNT(*) FROM bid b GROUP BY b.bidder, SESSION(b.`dateTime`, INTERVAL '10' SECOND)

INSERT INTO out SELECT auction, COUNT(*) FROM TABLE(CUMULATE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND)) GROUP BY auction, window_start, window_end

INSERT INTO out SELECT x.auction, x.n FROM (SELECT auction, COUNT(*) AS n, window_start AS s, window_end AS e FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND)) GROUP BY auction, window_start, window_end) x JOIN (SELECT MAX(n) AS top, s, e FROM (SELECT COUNT(*) AS n, window_start AS s, window_end AS e FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '2' SECOND, INTERVAL '10' SECOND)) GROUP BY auction, window_start, window_end) c GROUP BY s, e) m ON x.s = m.s AND x.e = m.e AND x.n >= m.top

INSERT INTO out SELECT b.auction, b.price FROM bid b JOIN auction a ON b.auction = a.id AND b.`dateTime` BETWEEN a.`dateTime` AND a.`dateTime` + INTERVAL '10' SECOND

INSERT INTO out SELECT b.auction, b.price FROM bid b JOIN auction a ON b.auction = a.id WHERE a.category = 10

INSERT INTO out SELECT auction, price FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder, auction ORDER BY `dateTime` DESC) AS rn FROM bid) WHERE rn <= 1

INSERT INTO out SELECT auction, price FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC) AS rn FROM bid) WHERE rn <= 10

INSERT INTO out SELECT category, AVG(best) FROM (SELECT MAX(b.price) AS best, a.category FROM auction a, bid b WHERE a.id = b.auction AND b.`dateTime` BETWEEN a.`dateTime` AND a.expires GROUP BY a.id, a.category) q GROUP BY category

INSERT INTO out SELECT auction, COUNT(DISTINCT bidder) FILTER (WHERE price > 10) FROM bid GROUP BY auction HAVING COUNT(*) > 1

INSERT INTO out SELECT auction, SUM(price) OVER (PARTITION BY auction ORDER BY `dateTime` ROWS BETWEEN 9 PRECEDING AND CURRENT ROW) FROM bid

INSERT INTO out SELECT auction, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price) FROM bid

INSERT INTO out SELECT auction, SUM(price) OVER (PARTITION BY auction ORDER BY `dateTime` DESC) FROM bid

INSERT INTO out SELECT auction, AVG(n) OVER (PARTITION BY auction ORDER BY n ROWS BETWEEN 9 PRECEDING AND CURRENT ROW) FROM (SELECT auction, bidder, COUNT(*) AS n FROM bid GROUP BY auction, bidder)

CREATE TABLE changes (k BIGINT, v BIGINT) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'debezium-json'); INSERT INTO out SELECT k, SUM(v) FROM changes GROUP BY k

CREATE TABLE kept (auction BIGINT, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'debezium-json'); INSERT INTO kept SELECT auction, COUNT(*) FROM bid GROUP BY auction

CREATE TABLE side (k BIGINT, v BIGINT) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'json', 'lookup.cache' = 'FULL', 'lookup.full-cache.periodic-reload.interval' = '10 min'); INSERT INTO out SELECT b.auction, s.v FROM bid b LEFT JOIN side FOR SYSTEM_TIME AS OF b.p AS s ON b.auction = s.k

INSERT INTO out SELECT DISTINCT auction, price FROM bid

INSERT INTO out SELECT auction, price FROM bid UNION ALL SELECT id, seller FROM auction

INSERT INTO out SELECT auction, price FROM bid WHERE auction IN (SELECT id FROM auction WHERE category = 10)

INSERT INTO out SELECT auction, price FROM bid b WHERE NOT EXISTS (SELECT 1 FROM auction a WHERE a.id = b.auction)

EXECUTE STATEMENT SET BEGIN INSERT INTO out SELECT auction, price FROM bid WHERE price > 1; INSERT INTO files SELECT auction, price FROM bid WHERE price > 1; END

WITH big AS (SELECT * FROM bid WHERE price > 100) SELECT auction, price FROM big

INSERT INTO out SELECT auction, price FROM bid ORDER BY `dateTime`

INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY GROUPING SETS ((auction, bidder), (auction), ())

INSERT INTO out SELECT SUM(price), GROUPING_ID(auction, bidder) + GROUPING(bidder) FROM bid GROUP BY CUBE (auction, bidder) HAVING GROUPING(auction) = 0

INSERT INTO out SELECT auction, COUNT(DISTINCT bidder) FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, ROLLUP (auction, bidder)

INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY GROUPING SETS (CUBE (auction, bidder), (price)), TUMBLE(`dateTime`, INTERVAL '10' SECOND)

INSERT INTO out SELECT auction, price FROM bid INTERSECT SELECT id, seller FROM auction

INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY auction EXCEPT ALL SELECT id, category FROM auction

INSERT INTO out SELECT auction, price FROM bid UNION SELECT id, seller FROM auction

INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY auction UNION ALL SELECT id, seller FROM auction

INSERT INTO out VALUES (1, 2), (3, 4 + 5)

INSERT INTO out SELECT a, b FROM (VALUES (1, 2), (3, NULL)) AS t(a, b) WHERE a > 1

INSERT INTO out SELECT CAST(1 AS BIGINT), CAST(2 AS BIGINT)

INSERT INTO out SELECT b.auction, t.x FROM bid b CROSS JOIN UNNEST(ARRAY[b.price, b.bidder]) AS t(x)

INSERT INTO out SELECT auction, CAST(CHAR_LENGTH(k) + v + n AS BIGINT) FROM bid LEFT JOIN UNNEST(MAP['a', 1, 'b', 2]) WITH ORDINALITY AS t(k, v, n) ON TRUE

INSERT INTO out SELECT q.auction, x FROM (SELECT auction, COLLECT(price) AS prices FROM bid GROUP BY auction) q, UNNEST(prices) AS t(x)

INSERT INTO out SELECT x, y FROM UNNEST(ARRAY[1, 2]) AS t(x) CROSS JOIN UNNEST(ARRAY[t.x, 7]) AS s(y)

INSERT INTO out /*+ OPTIONS('latency-column' = 'price') */ SELECT auction, price FROM bid

INSERT INTO out SELECT bid.auction, price FROM bid /*+ OPTIONS('events.num' = '10') */ WHERE bid.price > 1

INSERT INTO out SELECT /*+ STATE_TTL('b' = '1 d', 'auction' = '2h'), BROADCAST(b) */ b.auction, COUNT(*) FROM bid b JOIN auction ON b.auction = auction.id GROUP BY b.auction

INSERT INTO out SELECT /*+ STATE_TTL('bid' = '1 d') */ auction, COUNT(*) FROM bid GROUP BY auction

CREATE TABLE parted (n BIGINT, auction BIGINT, name STRING METADATA FROM 'file.name' VIRTUAL) PARTITIONED BY (auction) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'json'); INSERT INTO parted SELECT CHAR_LENGTH(name), auction FROM parted

CREATE TABLE printed (auction BIGINT PRIMARY KEY NOT ENFORCED) WITH ('connector' = 'print'); CREATE TABLE more (price DECIMAL(5, 2)) WITH ('limit' = '5') LIKE printed (EXCLUDING CONSTRAINTS); INSERT INTO more SELECT auction, 1.5 FROM bid

ALTER TABLE out RENAME TO sunk; ALTER TABLE sunk ADD (note STRING); ALTER TABLE sunk DROP price; INSERT INTO sunk SELECT auction, channel FROM bid

INSERT INTO out SELECT auction, price FROM bid WHERE bidder NOT IN (SELECT seller FROM auction WHERE seller > 5)

INSERT INTO out SELECT auction, (SELECT seller FROM auction a WHERE a.id = b.auction) FROM bid b

INSERT INTO out SELECT auction, APPROX_COUNT_DISTINCT(bidder) FROM bid GROUP BY auction HAVING JSON_OBJECTAGG(KEY channel VALUE price) <> '{}' AND PERCENTILE(price, 0.5) > 1

INSERT INTO out SELECT auction, price FROM bid ORDER BY price DESC NULLS FIRST, auction OFFSET 1 ROW FETCH NEXT 3 ROWS ONLY

INSERT INTO out SELECT auction, rn FROM (SELECT auction, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price NULLS LAST) AS rn FROM bid) WHERE rn <= 2

INSERT INTO out SELECT auction, (SELECT COUNT(*) FROM (SELECT id FROM auction INTERSECT SELECT auction FROM bid)) FROM bid

INSERT INTO out SELECT s.auction, q.seller FROM (SELECT DISTINCT auction FROM bid) s, LATERAL (SELECT seller FROM auction WHERE id = s.auction ORDER BY category DESC LIMIT 3) q

CREATE TABLE parted (n BIGINT, auction BIGINT) PARTITIONED BY (auction) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'json'); INSERT INTO parted PARTITION (auction = 7) SELECT price FROM bid

INSERT INTO out SELECT auction, rn FROM (SELECT auction, RANK() OVER (PARTITION BY auction ORDER BY price) AS rn FROM bid) WHERE rn <= 3

INSERT INTO out SELECT auction, price FROM (SELECT *, DENSE_RANK() OVER (PARTITION BY window_start, window_end ORDER BY price DESC) AS rn FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '1' MINUTE))) WHERE rn = 1

INSERT INTO out SELECT auction, LAG(price, 2, 0) OVER (PARTITION BY auction ORDER BY `dateTime`) FROM bid

INSERT INTO out SELECT auction, LEAD(price, 1, bidder) OVER (PARTITION BY auction ORDER BY `dateTime`) FROM bid

INSERT INTO out SELECT NTILE(4) OVER w, CAST(1000 * PERCENT_RANK() OVER w + CUME_DIST() OVER w AS BIGINT) FROM bid WINDOW w AS (PARTITION BY auction ORDER BY price)

INSERT INTO out SELECT auction, price FROM bid LIMIT 0

INSERT INTO out SELECT w.seller, AVG(w.price) OVER (PARTITION BY w.seller ORDER BY w.`dateTime` ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY id, seller ORDER BY price DESC) AS place FROM (SELECT a.id, a.seller, b.price, b.`dateTime` FROM auction AS a, bid AS b WHERE a.id = b.auction AND b.`dateTime` BETWEEN a.`dateTime` AND a.expires)) AS w WHERE place <= 1

CREATE TABLE bags (auction BIGINT, m MULTISET<BIGINT NOT NULL>) WITH ('connector' = 'print'); INSERT INTO bags SELECT auction, COLLECT(price) FROM bid GROUP BY auction

CREATE TABLE side (k BIGINT, v BIGINT) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'json', 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '1000', 'lookup.partial-cache.expire-after-write' = '1 h'); INSERT INTO out SELECT b.auction, s.v FROM bid b JOIN side FOR SYSTEM_TIME AS OF b.p AS s ON b.auction = s.k

CREATE TABLE side (k BIGINT, v BIGINT) WITH ('connector' = 'filesystem', 'path' = '/tmp/x', 'format' = 'json', 'lookup.cache' = 'NONE'); INSERT INTO out SELECT b.auction, s.v FROM bid b JOIN side FOR SYSTEM_TIME AS OF b.p AS s ON b.auction = s.k
