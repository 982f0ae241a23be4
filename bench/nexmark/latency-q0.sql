CREATE TABLE snk (auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), extra STRING, due BIGINT) WITH (${SINK});
INSERT INTO snk SELECT auction, bidder, price, `dateTime`, extra, scheduledAt FROM bid;
