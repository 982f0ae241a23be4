#!/usr/bin/env python3
"""Writes the expected rows into the .slt files: what DuckDB gives for each case.

    golden.py [--check] [FILE...]     (all files without FILE; --check: writes nothing, fails
                                       when a file is not current)

The form of the files is in README.md. The engine under test has no part in this.
"""
import datetime
import decimal
import pathlib
import re
import sys

import duckdb

HERE = pathlib.Path(__file__).resolve().parent


def number(value):
    """Ten significant digits, without an exponent and without trailing zeros."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    text = format(decimal.Decimal("%.9e" % value), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def text_of(value, nested=False):
    """A value as the .slt files show it; the runner's `render.rs` does the same."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, decimal.Decimal):
        text = format(value, "f")
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text in ("-0", "") else text
    if isinstance(value, datetime.datetime):
        fraction = ("%06d" % value.microsecond).rstrip("0")
        return value.strftime("%Y-%m-%d %H:%M:%S") + ("." + fraction if fraction else "")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.time):
        fraction = ("%06d" % value.microsecond).rstrip("0")
        return value.strftime("%H:%M:%S") + ("." + fraction if fraction else "")
    if isinstance(value, bytes):
        return "x'" + value.hex() + "'"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(text_of(v, True) for v in value) + "]"
    if isinstance(value, Map):
        pairs = sorted(text_of(k, True) + ": " + text_of(v, True) for k, v in value.pairs)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, dict):
        return "(" + ", ".join(text_of(v, True) for v in value.values()) + ")"
    if isinstance(value, str):
        plain = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
        quoted = not value or value == "NULL" or value.strip() != value or "|" in value
        return "'" + plain + "'" if quoted or nested else plain
    raise ValueError(f"no text for a {type(value).__name__}")


class Map:
    def __init__(self, pairs):
        self.pairs = pairs


def typed(value, kind):
    """DuckDB's Python client gives maps and structs as the same dict: tell them apart."""
    if value is None:
        return None
    if kind.id == "map":
        return Map([(typed(k, kind.children[0][1]), typed(v, kind.children[1][1])) for k, v in value.items()])
    if kind.id == "struct":
        return {name: typed(value[name], child) for name, child in kind.children}
    if kind.id in ("list", "array"):
        return [typed(v, kind.children[0][1]) for v in value]
    return value


EPOCH = "TIMESTAMP '1970-01-01'"


def windowed(name, words):
    """{tumble orders 10 [offset]}, {hop orders SLIDE SIZE [offset]}, {cumulate orders STEP
    SIZE [offset]}, {session clicks GAP [key]}: the rows with window_start, window_end and
    window_time as a subquery. Seconds; the time column is ts."""
    table, *rest = words
    if name == "session":
        gap, keys = float(rest[0]), ", ".join(rest[1:])
        part = f"PARTITION BY {keys} " if keys else ""
        by = f"PARTITION BY {keys + ', ' if keys else ''}_n"
        return (
            f"(SELECT * EXCLUDE (_g, _n), window_end - INTERVAL 1 MILLISECOND AS window_time FROM (SELECT *, min(ts) OVER ({by}) AS window_start, "
            f"max(ts) OVER ({by}) + to_milliseconds({int(gap * 1000)}) AS window_end FROM (SELECT *, "
            f"sum(_g) OVER ({part}ORDER BY ts) AS _n FROM (SELECT *, CASE WHEN ts - lag(ts) OVER "
            f"({part}ORDER BY ts) <= to_milliseconds({int(gap * 1000)}) THEN 0 ELSE 1 END AS _g FROM {table}))))"
        )
    numbers = [int(float(w) * 1000) for w in rest]
    if name == "tumble":
        size, offset = numbers[0], numbers[1] if len(numbers) > 1 else 0
        starts = f"SELECT *, time_bucket(to_milliseconds({size}), ts, {EPOCH} + to_milliseconds({offset})) AS window_start FROM {table}"
        ends = f"window_start + to_milliseconds({size})"
    elif name == "hop":
        slide, size = numbers[:2]
        offset = numbers[2] if len(numbers) > 2 else 0
        starts = (
            f"SELECT t.*, time_bucket(to_milliseconds({slide}), ts, {EPOCH} + to_milliseconds({offset})) "
            f"- to_milliseconds({slide} * _k) AS window_start FROM {table} t, range(0, {size // slide}) _s(_k)"
        )
        ends = f"window_start + to_milliseconds({size})"
    elif name == "cumulate":
        step, size = numbers[:2]
        offset = numbers[2] if len(numbers) > 2 else 0
        base = f"time_bucket(to_milliseconds({size}), ts, {EPOCH} + to_milliseconds({offset}))"
        starts = (
            f"SELECT * EXCLUDE (_k) FROM (SELECT t.*, _k, {base} AS window_start, {base} + to_milliseconds({step} * _k) "
            f"AS window_end FROM {table} t, range(1, {size // step + 1}) _s(_k)) WHERE ts < window_end"
        )
        return f"(SELECT *, window_end - INTERVAL 1 MILLISECOND AS window_time FROM ({starts}))"
    else:
        raise ValueError(f"no window {name}")
    return f"(SELECT *, window_end - INTERVAL 1 MILLISECOND AS window_time FROM (SELECT *, {ends} AS window_end FROM ({starts})))"


def duckdb_text(query):
    query = re.sub(r"\{(tumble|hop|cumulate|session) ([^}]*)\}", lambda m: windowed(m[1], [w.replace("~", " ") for w in m[2].split()]), query)
    return query.replace("`", '"')


def connect():
    db = duckdb.connect(config={"threads": 1})
    db.execute("SET TimeZone = 'UTC'")
    db.execute(f"SET file_search_path = '{HERE}'")
    for statement in (HERE / "tables.duckdb.sql").read_text().split(";\n"):
        if statement.strip():
            db.execute(statement)
    return db


def rows_of(db, query):
    """The sorted lines of a query's result."""
    result = db.execute(duckdb_text(query))
    kinds = [column[1] for column in result.description]
    lines = []
    for row in result.fetchall():
        values = [typed(v, kind) for v, kind in zip(row, kinds)]
        lines.append(" | ".join(text_of(v) for v in values))
    return sorted(lines)


def cases(text):
    """Header lines and (name, sections) of a file; a section is [title, body lines]."""
    head, found = [], []
    for line in text.splitlines():
        if line.startswith("=== "):
            found.append((line, [["query", []]]))
        elif not found:
            head.append(line)
        elif line.startswith("--- "):
            found[-1][1].append([line[4:].split()[0], []])
        else:
            found[-1][1][-1][1].append(line)
    return head, found


def query_of(sections):
    """What DuckDB is asked: the case's own text for it, or the last statement as it stands."""
    parts = {title: "\n".join(body).strip() for title, body in sections}
    if "duckdb" in parts:
        return parts["duckdb"]
    text = parts["query"].rstrip(";")
    return text.split(";\n")[-1]


def written(path, db):
    """The text of a file with fresh expectations, and what went wrong."""
    head, found = cases(path.read_text())
    out, wrong = list(head), []
    for name, sections in found:
        try:
            rows = rows_of(db, query_of(sections))
        except Exception as error:  # noqa: BLE001, the case is named and the script fails
            wrong.append(f"{path.name} {name}: {error}")
            rows = []
        if not rows and not wrong:
            wrong.append(f"{path.name} {name}: no rows, which proves little")
        out.append(name)
        for title, body in sections:
            if title == "expect":
                continue
            while body and not body[-1].strip():
                body.pop()
            out += ([] if title == "query" else [f"--- {title}"]) + body
        out += ["--- expect", *rows, ""]
    return "\n".join(out).rstrip("\n") + "\n", wrong


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    files = [pathlib.Path(a) for a in arguments] or sorted(HERE.glob("*.slt")) + sorted(HERE.glob("*/*.slt"))
    db, wrong, count = connect(), [], 0
    for path in files:
        before = path.read_text()
        after, failed = written(path, db)
        wrong += failed
        count += after.count("\n=== ")
        if before != after:
            if "--check" in sys.argv:
                wrong.append(f"{path.name} is not current: run tests/sql/golden.py")
            else:
                path.write_text(after)
    print(f"{count} cases in {len(files)} files")
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
