#!/usr/bin/env python3
"""Random queries over random small tables, with the rows that DuckDB gives for them, as .slt
files for the runner.

    random_queries.py SEED COUNT FOLDER

Query n of a seed is always the same, whatever COUNT is. Each batch of queries has tables of
its own in FOLDER/batch-N/.
"""
import pathlib
import random
import sys

import golden

PER_BATCH = 25
COLUMNS = "id BIGINT, k INT, g STRING, x BIGINT, p DECIMAL(10, 2), ts TIMESTAMP(3)"
DUCKDB_COLUMNS = "{'id': 'BIGINT', 'k': 'INTEGER', 'g': 'VARCHAR', 'x': 'BIGINT', 'p': 'DECIMAL(10, 2)', 'ts': 'TIMESTAMP'}"
TABLES = ["ta", "tb", "tc"]


def table_text(rng):
    """Rows as CSV: few keys, many nulls, times that jump back by at most three seconds."""
    rows, now, seen = ["id,k,g,x,p,ts"], 0, set()
    for number in range(rng.choice([9, 17, 40, 61])):
        now += rng.randint(1, 4000)
        at = max(0, now - rng.choice([0, 0, rng.randint(0, 3000)]))
        while at in seen:
            at += 1
        seen.add(at)

        def maybe(value, odds=0.2):
            return "" if rng.random() < odds else value

        stamp = f"2026-03-01 {at // 3600000:02d}:{at // 60000 % 60:02d}:{at // 1000 % 60:02d}.{at % 1000:03d}"
        rows.append(
            f"{number + 1},{maybe(rng.randint(0, 6))},{maybe(rng.choice(['a', 'b', 'c', 'dd', 'E']))},"
            f"{maybe(rng.randint(-50, 50))},{maybe('%.2f' % rng.uniform(-20, 99))},{stamp}"
        )
    return "\n".join(rows) + "\n"


class Query:
    """Makes one query in both dialects at once: text in which only windows differ."""

    def __init__(self, rng):
        self.rng = rng

    def pick(self, *choices):
        return self.rng.choice(choices)

    def column(self, kind, t):
        return t + "." + (self.pick("id", "k", "x") if kind == "number" else "g")

    def number(self, t, depth=2):
        if depth == 0 or self.rng.random() < 0.35:
            return self.pick(self.column("number", t), self.column("number", t), str(self.rng.randint(-9, 9)))
        a, b = self.number(t, depth - 1), self.number(t, depth - 1)
        return self.pick(
            f"({a} + {b})",
            f"({a} - {b})",
            f"({a} * {b})",
            f"({a} % {self.rng.randint(2, 9)})",
            f"ABS({a})",
            f"COALESCE({a}, {b})",
            f"NULLIF({a}, {b})",
            f"CASE WHEN {self.condition(t, depth - 1)} THEN {a} ELSE {b} END",
            f"CASE WHEN {self.condition(t, depth - 1)} THEN {a} END",
            f"CHAR_LENGTH({self.text(t, depth - 1)})",
        )

    def text(self, t, depth=2):
        if depth == 0 or self.rng.random() < 0.4:
            return self.pick(self.column("text", t), self.column("text", t), self.pick("'a'", "'zz'", "'E'"))
        a, b = self.text(t, depth - 1), self.text(t, depth - 1)
        return self.pick(
            f"UPPER({a})",
            f"LOWER({a})",
            f"({a} || {b})",
            f"COALESCE({a}, {b})",
            f"NULLIF({a}, {b})",
            f"SUBSTRING({a}, 1, {self.rng.randint(1, 3)})",
            f"REPLACE({a}, 'a', 'oo')",
            f"CASE WHEN {self.condition(t, depth - 1)} THEN {a} ELSE {b} END",
        )

    def condition(self, t, depth=2):
        if depth > 0 and self.rng.random() < 0.45:
            a, b = self.condition(t, depth - 1), self.condition(t, depth - 1)
            return self.pick(f"({a} AND {b})", f"({a} OR {b})", f"NOT ({a})")
        n, m = self.number(t, min(depth, 1)), self.number(t, min(depth, 1))
        s = self.text(t, min(depth, 1))
        return self.pick(
            f"{n} {self.pick('=', '<>', '<', '<=', '>', '>=')} {m}",
            f"{n} {self.pick('=', '<>', '<', '>')} {self.rng.randint(-20, 20)}",
            f"{n} IS {self.pick('', 'NOT ')}NULL",
            f"{s} IS {self.pick('', 'NOT ')}NULL",
            f"{s} {self.pick('=', '<>', '<', '>=')} {self.text(t, 0)}",
            f"{s} {self.pick('', 'NOT ')}IN ('a', 'c', 'DD')",
            f"{n} {self.pick('', 'NOT ')}IN (1, 2, 3, 5, {self.rng.randint(-9, 30)})",
            f"{n} {self.pick('', 'NOT ')}BETWEEN {self.rng.randint(-20, 3)} AND {self.rng.randint(2, 30)}",
            f"{s} LIKE '{self.pick('%a%', 'a%', '_', '%E', '%oo%')}'",
            f"{n} IS {self.pick('', 'NOT ')}DISTINCT FROM {m}",
        )

    def aggregate(self, t):
        plain = self.pick(
            "COUNT(*)",
            f"COUNT({self.number(t, 1)})",
            f"SUM({self.number(t, 1)})",
            f"MIN({self.number(t, 1)})",
            f"MAX({self.number(t, 1)})",
            f"MIN({self.text(t, 1)})",
            f"MAX({t}.p)",
            f"SUM({t}.p)",
            f"COUNT(DISTINCT {self.pick(t + '.k', t + '.g', t + '.x')})",
            f"SUM(DISTINCT {t}.k)",
            f"AVG(CAST({t}.x AS DOUBLE))",
        )
        return plain + (f" FILTER (WHERE {self.condition(t, 1)})" if self.rng.random() < 0.25 else "")

    def where(self, t, odds=0.6):
        return f" WHERE {self.condition(t)}" if self.rng.random() < odds else ""

    def keys(self, t):
        return self.rng.sample([t + ".k", t + ".g", f"({t}.id % 4)", f"({t}.x > 0)"], self.rng.randint(1, 2))

    def aggregates(self, t, most=3):
        return [self.aggregate(t) for _ in range(self.rng.randint(1, most))]

    def project(self):
        t = self.pick(*TABLES)
        columns = [f"{t}.id"] + [self.pick(self.number, self.text)(t) for _ in range(self.rng.randint(1, 3))]
        return f"SELECT {', '.join(columns)} FROM {t}{self.where(t)}"

    def grouped(self):
        t = self.pick(*TABLES)
        keys = self.keys(t)
        having = f" HAVING {self.pick('COUNT(*) > 1', f'SUM({t}.x) > 0', f'MIN({t}.id) < 20', f'COUNT({t}.g) < 5')}"
        having = having if self.rng.random() < 0.4 else ""
        return f"SELECT {', '.join(keys + self.aggregates(t))} FROM {t}{self.where(t)} GROUP BY {', '.join(keys)}{having}"

    def total(self):
        """Without a key: over no rows at all a stream says nothing, where a batch says 0."""
        t = self.pick(*TABLES)
        made = f"SELECT {', '.join(self.aggregates(t))} FROM {t}{self.where(t)}"
        return made, made + " HAVING COUNT(*) > 0"

    def regrouped(self):
        t = self.pick(*TABLES)
        key, value = self.pick("k", "g"), self.pick("COUNT(*)", f"SUM({t}.x)", f"MAX({t}.p)", f"MIN({t}.id)", f"COUNT(DISTINCT {t}.k)")
        outer = self.pick("COUNT(*), SUM(v)", "MIN(v), MAX(v)", "COUNT(v), COUNT(DISTINCT v)")
        inner = f"SELECT {t}.{key} AS q, {t}.id % 3 AS r, {value} AS v FROM {t}{self.where(t)} GROUP BY {t}.{key}, {t}.id % 3"
        if self.rng.random() < 0.25:
            return f"SELECT {outer} FROM ({inner})", f"SELECT {outer} FROM ({inner}) HAVING COUNT(*) > 0"
        return self.pick(
            f"SELECT q, {outer} FROM ({inner}) GROUP BY q",
            f"SELECT v, COUNT(*) FROM ({inner}) GROUP BY v",
            f"SELECT q, v FROM ({inner}) WHERE v > 3",
        )

    def distinct(self):
        t = self.pick(*TABLES)
        return f"SELECT DISTINCT {self.pick(self.number, self.text)(t)}, {self.pick(t + '.k', t + '.g')} FROM {t}{self.where(t)}"

    def joined(self):
        a, b = self.rng.sample(TABLES, 2)
        kind = self.pick("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN")
        on = self.pick(f"{a}.k = {b}.k", f"{a}.g = {b}.g", f"{a}.id = {b}.id", f"{a}.k = {b}.k AND {a}.g = {b}.g", f"{a}.x = {b}.k")
        # A second condition.
        if self.rng.random() < 0.4:
            on += " AND " + self.pick(f"{a}.x > {b}.x", f"{a}.id <> {b}.id", f"{b}.p > 10", f"{a}.id + {b}.id > 20")
        where = self.pick("", f" WHERE {self.condition(a, 1)}", f" WHERE {self.condition(b, 1)}")
        if self.rng.random() < 0.4:
            key = self.pick(f"{a}.k", f"{b}.g")
            return f"SELECT {key}, COUNT(*), SUM({a}.x), MAX({b}.id) FROM {a} {kind} {b} ON {on}{where} GROUP BY {key}"
        return f"SELECT {a}.id, {b}.id, {self.number(a, 1)}, {self.text(b, 1)} FROM {a} {kind} {b} ON {on}{where}"

    def joined_aggregate(self):
        a, b = self.rng.sample(TABLES, 2)
        kind = self.pick("JOIN", "LEFT JOIN", "FULL JOIN")
        value = self.pick("COUNT(*)", "SUM(x)", "MAX(id)", "MIN(p)")
        return f"SELECT {a}.id, t.v FROM {a} {kind} (SELECT k, {value} AS v FROM {b} GROUP BY k) t ON {a}.k = t.k{self.where(a, 0.3)}"

    def three(self):
        kinds = [self.pick("JOIN", "LEFT JOIN") for _ in range(2)]
        return f"SELECT ta.id, tb.id, tc.id FROM ta {kinds[0]} tb ON ta.k = tb.k AND ta.g = tb.g {kinds[1]} tc ON tc.id = ta.id{self.where('ta', 0.4)}"

    def subquery(self):
        a, b = self.rng.sample(TABLES, 2)
        inner = f"SELECT 1 FROM {b} WHERE {b}.k = {a}.k AND {self.pick(self.condition(b, 1), f'{b}.x > {a}.x', f'{b}.id <> {a}.id')}"
        return f"SELECT {a}.id FROM {a} WHERE " + self.pick(
            f"{a}.k IN (SELECT {b}.k FROM {b}{self.where(b)})",
            f"EXISTS ({inner})",
            f"NOT EXISTS ({inner})",
            f"{a}.x > (SELECT MIN({b}.x) FROM {b}{self.where(b)})",
            f"{a}.g IN (SELECT g FROM {b} GROUP BY g HAVING COUNT(*) > {self.rng.randint(1, 4)})",
        )

    def union(self):
        a, b = self.rng.sample(TABLES, 2)
        all_ = self.pick("ALL ", "ALL ", "")
        made = f"SELECT {a}.k AS q, {self.text(a, 1)} AS s FROM {a}{self.where(a)} UNION {all_}SELECT {b}.k, {self.text(b, 1)} FROM {b}{self.where(b)}"
        return made if self.rng.random() < 0.6 else f"SELECT q, COUNT(*) FROM ({made}) GROUP BY q"

    def ranked(self):
        t = self.pick(*TABLES)
        order = self.pick(f"{t}.x DESC NULLS LAST, {t}.id", f"{t}.id DESC", f"{t}.p ASC NULLS FIRST, {t}.id DESC", f"{t}.ts DESC", f"{t}.ts ASC")
        inner = f"SELECT {t}.id AS i, {t}.x AS v, ROW_NUMBER() OVER (PARTITION BY {self.pick(t + '.k', t + '.g', t + '.k, ' + t + '.g')} ORDER BY {order}) AS rn FROM {t}{self.where(t, 0.4)}"
        shown = self.pick("i, v", "i, rn")
        ranked = f"SELECT {shown} FROM ({inner}) WHERE rn <= {self.rng.randint(1, 4)}"
        if self.rng.random() < 0.7:
            return ranked
        return f"SELECT COUNT(*), SUM(i) FROM ({ranked})", f"SELECT COUNT(*), SUM(i) FROM ({ranked}) HAVING COUNT(*) > 0"

    def over(self):
        t = self.pick(*TABLES)
        frame = self.pick("", " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW", " ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", " RANGE BETWEEN INTERVAL '9' SECOND PRECEDING AND CURRENT ROW")
        call = self.pick("COUNT(*)", f"SUM({t}.x)", f"MIN({t}.p)", f"MAX({t}.id)", f"COUNT({t}.g)")
        return f"SELECT {t}.id, {call} OVER (PARTITION BY {self.pick(t + '.k', t + '.g')} ORDER BY {t}.ts{frame}) FROM {t}{self.where(t, 0.4)}"

    def interval(self):
        a, b = self.rng.sample(TABLES, 2)
        kind = self.pick("JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN")
        low, high = self.rng.randint(0, 9), self.rng.randint(0, 20)
        return f"SELECT {a}.id, {b}.id FROM {a} {kind} {b} ON {a}.k = {b}.k AND {b}.ts BETWEEN {a}.ts - INTERVAL '{low}' SECOND AND {a}.ts + INTERVAL '{high}' SECOND"

    def window(self):
        """The only kind whose two texts differ."""
        t = self.pick(*TABLES)
        step = self.pick(5, 10, 17)
        size = step * self.pick(1, 2, 3)
        name = self.pick("tumble", "hop", "cumulate")
        keys = [k for k in self.rng.sample(["k", "g"], self.rng.randint(0, 2))]
        calls = [self.pick("COUNT(*)", "SUM(x)", "MIN(id)", "MAX(p)", "COUNT(DISTINCT g)", "COUNT(DISTINCT k)", "COUNT(x)", "AVG(CAST(x AS DOUBLE))") for _ in range(self.rng.randint(1, 3))]
        where = f" WHERE {self.condition(t, 1).replace(t + '.', '')}" if self.rng.random() < 0.4 else ""
        having = self.pick("", "", " HAVING COUNT(*) > 1")
        head = f"SELECT {', '.join(keys + ['window_start', 'window_end'] + calls)} FROM "
        tail = f"{where} GROUP BY {', '.join(keys + ['window_start', 'window_end'])}{having}"
        lengths = f"INTERVAL '{step}' SECOND" if name == "tumble" else f"INTERVAL '{step}' SECOND, INTERVAL '{size}' SECOND"
        arguments = f"{step}" if name == "tumble" else f"{step} {size}"
        ours = f"{head}TABLE({name.upper()}(TABLE {t}, DESCRIPTOR(ts), {lengths})){tail}"
        return ours, f"{head}{{{name} {t} {arguments}}}{tail}"

    def make(self):
        made = self.pick(
            self.project, self.project, self.grouped, self.grouped, self.total, self.regrouped, self.regrouped,
            self.distinct, self.joined, self.joined, self.joined_aggregate, self.three, self.subquery, self.subquery,
            self.union, self.ranked, self.over, self.interval, self.window, self.window, self.window,
        )()
        return made if isinstance(made, tuple) else (made, made)


def batch(seed, number, count, folder):
    """Tables and `count` queries over them."""
    folder.mkdir(parents=True)
    rng = random.Random(f"{seed}/{number}")
    db, head = golden.connect(), []
    for name in TABLES:
        path = folder / f"{name}.csv"
        path.write_text(table_text(rng))
        db.execute(f"CREATE TABLE {name} AS SELECT * FROM read_csv('{path}', columns = {DUCKDB_COLUMNS})")
        head.append(
            f"CREATE TABLE {name} ({COLUMNS}, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) "
            f"WITH ('connector' = 'rows', 'table' = '{folder / name}');"
        )
    lines = []
    for index in range(count):
        ours, theirs = Query(random.Random(f"{seed}/{number}/{index}")).make()
        rows = golden.rows_of(db, theirs)
        lines += [f"=== seed {seed} query {number * PER_BATCH + index}", *head, ours, "--- duckdb", theirs, "--- expect", *rows, ""]
    (folder / "cases.slt").write_text("\n".join(lines))


def main():
    seed, count, folder = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3]).resolve()
    for number in range((count + PER_BATCH - 1) // PER_BATCH):
        batch(seed, number, min(PER_BATCH, count - number * PER_BATCH), folder / f"batch-{number}")


if __name__ == "__main__":
    main()
