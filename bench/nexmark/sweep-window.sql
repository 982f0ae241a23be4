-- Bids per group of auctions in windows of SIZE seconds that begin every ten seconds. A thousand
-- groups: what is put out at a window's end is then small beside what is read.
CREATE VIEW grouped AS SELECT MOD(auction, 1000) AS g, `dateTime` FROM bid;
CREATE TABLE snk (g BIGINT, n BIGINT, s TIMESTAMP(3), e TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO snk SELECT g, COUNT(*), window_start, window_end FROM TABLE(HOP(TABLE grouped, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND, INTERVAL '${SIZE}' SECOND)) GROUP BY g, window_start, window_end;
