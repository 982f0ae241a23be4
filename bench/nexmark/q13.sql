CREATE TABLE side (k BIGINT, v STRING) WITH ('connector' = 'filesystem', 'path' = '${SIDE}', 'format' = 'csv');
CREATE TABLE snk (auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), v STRING) WITH ('connector' = 'blackhole');
INSERT INTO snk SELECT b.auction, b.bidder, b.price, b.`dateTime`, s.v FROM (SELECT *, PROCTIME() AS pt FROM bid) b JOIN side FOR SYSTEM_TIME AS OF b.pt AS s ON MOD(b.auction, 10000) = s.k;
