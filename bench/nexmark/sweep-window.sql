-- Bids per auction in windows of SIZE seconds that begin every ten seconds.
CREATE TABLE snk (auction BIGINT, n BIGINT, s TIMESTAMP(3), e TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO snk SELECT auction, COUNT(*), window_start, window_end FROM TABLE(HOP(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND, INTERVAL '${SIZE}' SECOND)) GROUP BY auction, window_start, window_end;
