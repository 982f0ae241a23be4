"""Computes the flights job's four results with DuckDB, straight from the Parquet file, and
compares them row by row with what Weir wrote. Prints one JSON object:
{output: {"expected": n, "found": n, "missing": [...], "extra": [...]}}.
Shares nothing with the engine but the data.

usage: flights.py FLIGHTS.parquet OUTPUT_FOLDER
"""

import json
import sys

import duckdb

data, out = sys.argv[1:3]
db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'")
db.execute(f"CREATE VIEW flights AS SELECT * FROM '{data}'")

EXPECTED = {
    "hourly": """
        SELECT carrier, origin, date_trunc('hour', scheduled) AS window_start,
               date_trunc('hour', scheduled) + INTERVAL 1 HOUR AS window_end,
               count(*) AS departures, round(avg(dep_delay), 6) AS mean_delay,
               max(dep_delay) AS max_delay
        FROM flights GROUP BY ALL""",
    "delay-rate": """
        SELECT origin, start AS window_start, start + INTERVAL 24 HOUR AS window_end,
               count(*) AS flights,
               round(avg(CASE WHEN dep_delay > 15 THEN 1.0 ELSE 0.0 END), 6) AS delay_rate
        FROM (SELECT origin, dep_delay,
                     unnest(generate_series(date_trunc('hour', scheduled) - INTERVAL 23 HOUR,
                                            date_trunc('hour', scheduled), INTERVAL 1 HOUR)) AS start
              FROM flights)
        GROUP BY ALL""",
    "sessions": """
        SELECT tailnum, min(scheduled) AS window_start,
               max(scheduled) + INTERVAL 6 HOUR AS window_end, count(*) AS legs,
               max(dep_delay) AS worst_delay, count(DISTINCT origin) AS airports
        FROM (SELECT *, sum(fresh) OVER (PARTITION BY tailnum ORDER BY scheduled) AS session
              FROM (SELECT *, CASE WHEN scheduled - lag(scheduled) OVER
                        (PARTITION BY tailnum ORDER BY scheduled) <= INTERVAL 6 HOUR
                        THEN 0 ELSE 1 END AS fresh
                    FROM flights WHERE tailnum IS NOT NULL))
        GROUP BY tailnum, session""",
    "worst-routes": """
        SELECT origin, dest, day AS window_start, day + INTERVAL 1 DAY AS window_end, flights,
               round(mean_delay, 6) AS mean_delay, rank
        FROM (SELECT *, row_number() OVER
                  (PARTITION BY day ORDER BY mean_delay DESC, origin, dest) AS rank
              FROM (SELECT origin, dest, date_trunc('day', scheduled) AS day,
                           count(dep_delay) AS flights, avg(dep_delay) AS mean_delay
                    FROM flights GROUP BY ALL)
              WHERE flights > 0)
        WHERE rank <= 10""",
}

COLUMNS = {
    "hourly": {"carrier": "VARCHAR", "origin": "VARCHAR", "window_start": "TIMESTAMP",
               "window_end": "TIMESTAMP", "departures": "BIGINT", "mean_delay": "DOUBLE",
               "max_delay": "INTEGER"},
    "delay-rate": {"origin": "VARCHAR", "window_start": "TIMESTAMP", "window_end": "TIMESTAMP",
                   "flights": "BIGINT", "delay_rate": "DOUBLE"},
    "sessions": {"tailnum": "VARCHAR", "window_start": "TIMESTAMP", "window_end": "TIMESTAMP",
                 "legs": "BIGINT", "worst_delay": "INTEGER", "airports": "BIGINT"},
    "worst-routes": {"origin": "VARCHAR", "dest": "VARCHAR", "window_start": "TIMESTAMP",
                     "window_end": "TIMESTAMP", "flights": "BIGINT", "mean_delay": "DOUBLE",
                     "rank": "BIGINT"},
}

report = {}
for name, query in EXPECTED.items():
    columns = COLUMNS[name]
    names = ", ".join(columns)
    rounded = ", ".join(f"round({c}, 6) AS {c}" if t == "DOUBLE" else c for c, t in columns.items())
    typed = ", ".join(f"{c}::{t} AS {c}" for c, t in columns.items())
    db.execute(f"CREATE OR REPLACE TABLE expected AS SELECT {typed} FROM ({query})")
    spec = "{" + ", ".join(f"'{c}': '{t}'" for c, t in columns.items()) + "}"
    db.execute(
        f"CREATE OR REPLACE TABLE found AS SELECT {rounded} FROM "
        f"read_json('{out}/{name}/part-*', format='newline_delimited', columns={spec})")
    # EXCEPT ALL counts duplicates: a row written twice is extra.
    missing = db.execute(f"SELECT {names} FROM expected EXCEPT ALL SELECT {names} FROM found").fetchall()
    extra = db.execute(f"SELECT {names} FROM found EXCEPT ALL SELECT {names} FROM expected").fetchall()
    report[name] = {
        "expected": db.execute("SELECT count(*) FROM expected").fetchone()[0],
        "found": db.execute("SELECT count(*) FROM found").fetchone()[0],
        "missing": [str(r) for r in missing[:5]],
        "extra": [str(r) for r in extra[:5]],
        "differences": len(missing) + len(extra),
    }
print(json.dumps(report))
