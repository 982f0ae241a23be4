CREATE FUNCTION count_char AS 'com.github.nexmark.flink.udf.CountChar';
CREATE TABLE snk (auction BIGINT, bidder BIGINT, price DECIMAL(23,3), bidTimeType STRING, `dateTime` TIMESTAMP(3), extra STRING, c BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO snk SELECT auction, bidder, 0.908 * price, CASE WHEN HOUR(`dateTime`) BETWEEN 8 AND 18 THEN 'dayTime' WHEN HOUR(`dateTime`) <= 6 OR HOUR(`dateTime`) >= 20 THEN 'nightTime' ELSE 'otherTime' END, `dateTime`, extra, count_char(extra, 'c') FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000;
