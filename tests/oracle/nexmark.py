"""Computes Nexmark queries with DuckDB over the same events and compares the final rows with
what Weir wrote. Prints one JSON object: {query: {"expected": n, "found": n, "missing": [...],
"extra": [...], "differences": n}}. Shares nothing with the engine but the events.

usage: nexmark.py [--public] EVENTS_FOLDER RESULTS_FOLDER QUERY...

EVENTS_FOLDER holds person/, auction/ and bid/ with Parquet files, and side.csv (number, text)
for q13. RESULTS_FOLDER holds one folder per query with any number of `part-*` files: rows as
JSON lines or csv, or a changelog as `debezium-json` or with an `op` of +I, -U, +U or -D. A
changelog is folded to its final rows first; what is taken away and never given is a difference
of its own. Columns are compared by position. With --public the results are those of the public
texts of the queries, where they differ from ours.
"""

import collections
import csv
import glob
import json
import os
import sys
import urllib.parse

import duckdb

arguments = [a for a in sys.argv[1:] if a != "--public"]
public = "--public" in sys.argv
events, results, *chosen = arguments
db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'")
for name in ("person", "auction", "bid"):
    db.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet('{events}/{name}/*.parquet')")

if os.path.exists(f"{events}/side.csv"):
    db.execute(f"""CREATE TABLE side AS SELECT * FROM read_csv('{events}/side.csv', header = false,
                   columns = {{'k': 'BIGINT', 'v': 'VARCHAR'}})""")

BANDS = ["true", "price < 10000", "price >= 10000 AND price < 1000000", "price >= 1000000"]
STATISTICS = ", ".join(
    [f"count(*) FILTER (WHERE {band}) AS c{i}" for i, band in enumerate(BANDS, 1)]
    + [f"count(DISTINCT bidder) FILTER (WHERE {band}) AS c{i}" for i, band in enumerate(BANDS, 5)]
    + [f"count(DISTINCT auction) FILTER (WHERE {band}) AS c{i}" for i, band in enumerate(BANDS, 9)])
WON = """SELECT a.id, a.category, a.seller, max(b.price) AS best
         FROM auction a JOIN bid b ON a.id = b.auction
              AND b."dateTime" BETWEEN a."dateTime" AND a.expires
         GROUP BY a.id, a.category, a.seller"""
HOT = """SELECT auction, start AS ws, start + INTERVAL 10 SECOND AS we, count(*) AS num
         FROM (SELECT auction, unnest(generate_series(
                   time_bucket(INTERVAL 2 SECOND, "dateTime") - INTERVAL 8 SECOND,
                   time_bucket(INTERVAL 2 SECOND, "dateTime"), INTERVAL 2 SECOND)) AS start
               FROM bid)
         GROUP BY auction, start"""
# Auctions with their highest bid; the earliest of equal ones.
BEST = """SELECT a.*, b.auction, b.bidder, b.price, b."dateTime" AS bt, b.extra AS bx
          FROM auction a JOIN bid b ON a.id = b.auction
               AND b."dateTime" BETWEEN a."dateTime" AND a.expires
          QUALIFY row_number() OVER
              (PARTITION BY a.id ORDER BY b.price DESC, b."dateTime" ASC) = 1"""
CHANNEL = "nullif(regexp_extract(url, '(&|^)channel_id=([^&]*)', 2), '')"

# Column names are those of the sinks in bench/nexmark.
QUERIES = {
    "q0": 'SELECT auction, bidder, price, "dateTime", extra FROM bid',
    "q1": """SELECT auction, bidder, CAST(price * 908 AS DECIMAL(23, 0)) / 1000 AS price,
                    "dateTime", extra FROM bid""",
    "q2": "SELECT auction, price FROM bid WHERE auction % 123 = 0",
    "q3": """SELECT p.name, p.city, p.state, a.id FROM auction a JOIN person p ON a.seller = p.id
             WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')""",
    # The average of integers is an integer, cut off, as in Flink.
    "q4": f"SELECT category AS id, sum(best) // count(*) AS final FROM ({WON}) GROUP BY category",
    "q5": f"""SELECT auction, num FROM ({HOT})
              QUALIFY num = max(num) OVER (PARTITION BY ws, we)""",
    # The average over this auction of a seller and the ten before it.
    "q6": f"""SELECT seller, id, sum(price) OVER w // count(*) OVER w AS avg_price FROM ({BEST})
              WINDOW w AS (PARTITION BY seller ORDER BY bt, id
                           ROWS BETWEEN 10 PRECEDING AND CURRENT ROW)""",
    "q7": """SELECT b.auction, b.bidder, b.price, b."dateTime", b.extra
             FROM bid b JOIN (SELECT max(price) AS top,
                                     time_bucket(INTERVAL 10 SECOND, "dateTime")
                                         + INTERVAL 10 SECOND AS we
                              FROM bid GROUP BY we) m
             ON b.price = m.top AND b."dateTime" BETWEEN m.we - INTERVAL 10 SECOND AND m.we""",
    "q8": """SELECT DISTINCT p.id, p.name, time_bucket(INTERVAL 10 SECOND, p."dateTime") AS stime
             FROM person p JOIN auction a ON p.id = a.seller
             AND time_bucket(INTERVAL 10 SECOND, p."dateTime")
               = time_bucket(INTERVAL 10 SECOND, a."dateTime")""",
    "q9": BEST,
    "q10": """SELECT auction, bidder, price, "dateTime", extra,
                     strftime("dateTime", '%Y-%m-%d') AS dt, strftime("dateTime", '%H:%M') AS hm
              FROM bid""",
    "q11": """SELECT bidder, count(*) AS n, min("dateTime") AS s,
                     max("dateTime") + INTERVAL 10 SECOND AS e
              FROM (SELECT *, sum(fresh) OVER (PARTITION BY bidder ORDER BY "dateTime"
                                               ROWS UNBOUNDED PRECEDING) AS session
                    FROM (SELECT *, CASE WHEN "dateTime" - lag("dateTime") OVER
                                 (PARTITION BY bidder ORDER BY "dateTime") <= INTERVAL 10 SECOND
                                 THEN 0 ELSE 1 END AS fresh FROM bid))
              GROUP BY bidder, session""",
    # Processing time windows depend on when it runs: only the sums are determined.
    "q12": "SELECT bidder, count(*) AS n FROM bid GROUP BY bidder",
    "q13": """SELECT b.auction, b.bidder, b.price, b."dateTime", s.v
              FROM bid b JOIN side s ON b.auction % 10000 = s.k""",
    "q14": """SELECT auction, bidder, CAST(price * 908 AS DECIMAL(23, 0)) / 1000 AS price,
                     CASE WHEN hour("dateTime") BETWEEN 8 AND 18 THEN 'dayTime'
                          WHEN hour("dateTime") BETWEEN 7 AND 19 THEN 'otherTime'
                          ELSE 'nightTime' END AS bidTimeType,
                     "dateTime", extra, length(extra) - length(replace(extra, 'c', '')) AS c
              FROM bid WHERE price * 908 > 1000000000 AND price * 908 < 50000000000""",
    "q15": f"""SELECT strftime("dateTime", '%Y-%m-%d') AS d, {STATISTICS} FROM bid GROUP BY d""",
    "q16": f"""SELECT channel AS ch, strftime("dateTime", '%Y-%m-%d') AS d,
                      max(strftime("dateTime", '%H:%M')) AS m, {STATISTICS}
               FROM bid GROUP BY ch, d""",
    "q17": """SELECT auction AS a, strftime("dateTime", '%Y-%m-%d') AS d, count(*) AS c1,
                     count(*) FILTER (WHERE price < 10000) AS c2,
                     count(*) FILTER (WHERE price >= 10000 AND price < 1000000) AS c3,
                     count(*) FILTER (WHERE price >= 1000000) AS c4, min(price) AS mn,
                     max(price) AS mx, sum(price) // count(*) AS av, sum(price) AS sm
              FROM bid GROUP BY a, d""",
    "q18": """SELECT auction, bidder, price, channel, url, "dateTime", extra FROM bid
              QUALIFY row_number() OVER (PARTITION BY bidder, auction
                                         ORDER BY "dateTime" DESC) = 1""",
    "q19": """SELECT auction, bidder, price, channel, url, "dateTime", extra,
                     row_number() OVER (PARTITION BY auction ORDER BY price DESC) AS rk
              FROM bid QUALIFY rk <= 10""",
    "q20": """SELECT b.auction, b.bidder, b.price, b.channel, b.url, b."dateTime", b.extra,
                     a.itemName, a.description, a.initialBid, a.reserve, a."dateTime" AS adt,
                     a.expires, a.seller, a.category, a.extra AS ax
              FROM bid b JOIN auction a ON b.auction = a.id WHERE a.category = 10""",
    "q21": f"""SELECT * FROM (SELECT auction, bidder, price, channel,
                    CASE lower(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1'
                         WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3' ELSE {CHANNEL} END AS cid
               FROM bid) WHERE cid IS NOT NULL""",
    "q22": """SELECT auction, bidder, price, channel, split_part(url, '/', 4) AS d1,
                     split_part(url, '/', 5) AS d2, split_part(url, '/', 6) AS d3 FROM bid""",
    "q23": """SELECT b.bidder, b.price, b.channel, b.url, b.extra AS bx, p.id AS person, p.name,
                     p.emailAddress, p.creditCard, p.city, p.state, p.extra AS px, a.itemName,
                     a.description, a.initialBid, a.reserve, a."dateTime" AS adt, a.expires,
                     a.seller, a.category, a.extra AS ax
              FROM bid b JOIN person p ON p.id = b.bidder JOIN auction a ON a.seller = b.bidder""",
}

# Rows that tie in a ranking may differ between engines (q18, q19 and q9 order by columns that are
# not unique): these columns must agree, and every row must be one of the input's.
DETERMINED = {"q9": ["id", "price", "bt"], "q18": ["auction", "bidder", "dateTime"],
              "q19": ["auction", "price", "rk"]}
BIDS = "SELECT auction, bidder, price, channel, url, \"dateTime\", extra FROM bid"
INPUT = {"q18": BIDS, "q19": BIDS,
         "q9": """SELECT a.*, b.auction, b.bidder, b.price, b."dateTime", b.extra
                  FROM auction a JOIN bid b ON a.id = b.auction"""}
# What the public texts write elsewhere: in q7 the price stands in the sink's second column.
PUBLIC = {"q7": [0, 2, 1, 3, 4]}
# Only the sums of the last column over equal rows are determined.
SUMMED = ["q12"]


def canonical(value):
    """One spelling of a value for both sides: numbers without trailing zeros, times as text."""
    if hasattr(value, "isoformat"):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    if isinstance(value, str) and len(value) >= 19 and value[4:5] == "-" and value[13:14] == ":":
        text = value.replace("T", " ").rstrip("Z")
        return (text + ".000")[:23] if len(text) == 19 else (text + "000")[:23]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return format(value, "f").rstrip("0").rstrip(".") if not isinstance(value, int) else str(value)


def changes(query):
    """(+1 or -1, values) of every line that was written."""
    for path in sorted(glob.glob(f"{results}/{query}/**/part-*", recursive=True)):
        # Columns of a partitioned table stand in the path.
        folders = os.path.dirname(path).split("/")
        apart = [urllib.parse.unquote(f.split("=", 1)[1]) for f in folders if "=" in f]
        with open(path) as lines:
            if path.endswith(".csv"):
                yield from ((1, [canonical(v) for v in row + apart]) for row in csv.reader(lines))
                continue
            for line in lines:
                change = json.loads(line)
                if set(change) == {"before", "after", "op"}:
                    removed = change["op"] == "d"
                    row = change["before"] if removed else change["after"]
                else:
                    removed = change.pop("op", "+I") in ("-U", "-D")
                    row = change
                yield (-1 if removed else 1), [canonical(v) for v in [*row.values(), *apart]]


def found_rows(query, places):
    """The final rows that Weir's output stands for, and how many removals found no row."""
    if public and query in PUBLIC:
        places = [PUBLIC[query][p] for p in places]
    rows = collections.Counter()
    for sign, values in changes(query):
        rows[tuple(values[p] for p in places)] += sign
    return +rows, sum((-rows).values())


def expected_rows(text, places):
    relation = db.execute(text)
    rows = collections.Counter()
    while batch := relation.fetchmany(50_000):
        rows.update(tuple(canonical(row[p]) for p in places) for row in batch)
    return rows


def grouped(counts):
    """Rows and how often they are there, by all columns but the last."""
    groups = collections.defaultdict(list)
    for row, times in counts.items():
        groups[row[:-1]].append((row, times))
    return groups.items()


def compare(query):
    names = [d[0] for d in db.execute(f"SELECT * FROM ({QUERIES[query]}) LIMIT 0").description]
    places = [names.index(c) for c in DETERMINED.get(query, names)]
    found, untaken = found_rows(query, places)
    expected = expected_rows(QUERIES[query], places)
    if query in SUMMED:
        # Every row but the last column, which is how often it counts.
        found, expected = [collections.Counter({key: sum(int(r[-1]) * n for r, n in rows)
                                                for key, rows in grouped(counts)})
                           for counts in (found, expected)]
    if query in INPUT:
        width = len(db.execute(f"SELECT * FROM ({INPUT[query]}) LIMIT 0").description)
        every = list(range(width))
        whole, _ = found_rows(query, every)
        untaken += sum((whole - expected_rows(INPUT[query], every)).values())
    missing, extra = expected - found, found - expected
    return {"expected": sum(expected.values()), "found": sum(found.values()),
            "differences": sum(missing.values()) + sum(extra.values()) + untaken,
            "missing": [list(r) for r in list(missing)[:5]],
            "extra": [list(r) for r in list(extra)[:5]]}


print(json.dumps({query: compare(query) for query in chosen or QUERIES}, indent=1))
