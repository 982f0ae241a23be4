-- Good statements that are doubtful on an endless stream. One per paragraph.
INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY auction

INSERT INTO out SELECT DISTINCT auction, price FROM bid

INSERT INTO out SELECT b.auction, a.seller FROM bid b JOIN auction a ON b.auction = a.id

INSERT INTO out SELECT b.auction, a.seller FROM bid b LEFT JOIN auction a ON b.auction = a.id

INSERT INTO out SELECT auction, price FROM bid WHERE auction IN (SELECT id FROM auction)

INSERT INTO out SELECT auction, price FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC) AS rn FROM bid) WHERE rn <= 3

INSERT INTO out SELECT auction, price FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY `dateTime` DESC) AS rn FROM bid) WHERE rn = 1

INSERT INTO out SELECT auction, SUM(price) OVER (PARTITION BY auction ORDER BY `dateTime`) FROM bid

INSERT INTO out SELECT auction, COUNT(*) FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND)) GROUP BY auction, window_start, window_end

INSERT INTO out SELECT b.auction, a.seller FROM bid b JOIN auction a ON b.auction = a.id AND b.`dateTime` BETWEEN a.`dateTime` AND a.`dateTime` + INTERVAL '10' SECOND

SET 'table.exec.state.ttl' = '1 h'; INSERT INTO out SELECT auction, COUNT(*) FROM bid GROUP BY auction

INSERT INTO out SELECT auction, price FROM bid UNION SELECT id, seller FROM auction
