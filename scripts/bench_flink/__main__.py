#!/usr/bin/env python3
"""Runs the Nexmark queries of bench/nexmark on Weir and on real Apache Flink, in turn, on this
machine, and writes what it found between the marks in docs/benchmarks.md. Called by
`make bench-flink`; figures are kept in target/bench/flink.json after every run.

Weir: exactly-once, a checkpoint every second, everything else at its defaults. Flink:
exactly-once, every 10 s (as its users run it), at its defaults with RocksDB, and at the best of
heap state and tuned (object reuse, mini-batch, split distinct aggregates) on either. Both read
the same events at parallelism 2; while one runs the other's processes have nothing to do. A rate
counts all events of the stream; Weir's time is from RUNNING to FINISHED, Flink's from the start
of its last source subtask to FINISHED.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import flink
import report
import weir
from measure import add, spread
from statistics import median

OUT = os.path.join(flink.ROOT, "target/bench/flink.json")
RATE = 100_000  # events per second of event time, both engines

# Millions of events per Flink run: about half a minute each at its default on two cores.
EVENTS = {"q0": 25, "q1": 20, "q2": 25, "q3": 12, "q4": 4, "q5": 6, "q6": 3, "q7": 3, "q8": 12,
          "q9": 3, "q10": 12, "q11": 3, "q12": 20, "q13": 10, "q14": 20, "q15": 5, "q16": 3,
          "q17": 8, "q18": 6, "q19": 6, "q20": 4, "q21": 10, "q22": 20}
# Millions of events per run of Weir: several seconds and several checkpoints. On Flink's share it
# would mostly be done before its first one.
WEIR_EVENTS = {"q0": 200, "q1": 180, "q2": 300, "q3": 200, "q4": 12, "q5": 80, "q6": 4, "q7": 60,
               "q8": 250, "q9": 5, "q10": 80, "q11": 60, "q12": 250, "q13": 80, "q14": 120,
               "q15": 40, "q16": 10, "q17": 30, "q18": 16, "q19": 8, "q20": 6, "q21": 80,
               "q22": 80}
# What Flink's SQL cannot run, and why.
NOT_ON_FLINK = {"q6": "Flink's OVER takes no changelog",
                "q13": "Flink's filesystem connector is no lookup table"}
JSON_QUERIES = ["q0", "q3", "q5", "q8", "q17", "q20"]
JSON_EVENTS = 4_000_000
LATENCY_QUERIES = ["q0", "q17", "q20"]
LATENCY_SECONDS = 40
KEYS = [1_000, 10_000, 100_000, 1_000_000, 10_000_000]
WINDOWS = [1, 6, 36, 120, 360]  # size / slide


class Bench:
    """The clusters that are up, and all figures so far."""

    def __init__(self, runs, scale, results):
        self.runs, self.scale, self.results = runs, scale, results
        self.clusters = {}

    def cluster(self, way):
        backend, options = flink.WAYS[way]
        if backend not in self.clusters:
            self.clusters[backend] = started = flink.Flink(backend)
            # The JIT's warm-up, outside what is measured.
            self.flink(started, "q0", "source-flink", 3_000_000, options, {})
        return self.clusters[backend], options

    def stop(self):
        for cluster in self.clusters.values():
            cluster.stop()

    def save(self):
        os.makedirs(os.path.dirname(OUT), exist_ok=True)
        with open(OUT + ".new", "w") as f:
            json.dump(self.results, f, indent=1)
        os.replace(OUT + ".new", OUT)

    def flink(self, cluster, query, source, events, options, values):
        values = dict({"RATE": RATE, "LIMIT": 0}, EVENTS=events, **values)
        return cluster.run(query, [source, "views", query], options, values)

    def weir(self, query, source, events, values):
        values = dict({"RATE": RATE}, EVENTS=events, **values)
        return weir.run(query, [source, "views", query], values)[0]

    def once(self, table, row, column, events, work):
        """One more run of a cell; a failure is kept in its place and ends the cell."""
        cell = self.results.setdefault(table, {}).setdefault(row, {}).setdefault(column, {})
        if "error" in cell:
            return
        try:
            add(cell, events, work())
            said = spread(cell["rates"], 1e-6, 3) + " M/s"
        except RuntimeError as error:
            cell["error"] = str(error).strip()
            said = "FAILED " + cell["error"][:300]
        print(table, row, column, said, file=sys.stderr, flush=True)
        self.save()

    def compare(self, table, query, events, weir_events, sources, values):
        """Default and Weir in turn, then what else Flink can be, the best of it as often."""
        cells = self.results.setdefault(table, {}).setdefault(query, {})

        def count(column):
            return len(cells.get(column, {}).get("rates", []))

        def on_flink(way):
            cluster, options = self.cluster(way)
            self.once(table, query, way, events,
                      lambda: self.flink(cluster, query, sources[0], events, options, values))

        def on_weir(column, amount):
            self.once(table, query, column, amount,
                      lambda: self.weir(query, sources[1], amount, values))

        for turn in range(self.runs):
            if query not in NOT_ON_FLINK and count("rocksdb") <= turn:
                on_flink("rocksdb")
            if count("weir") <= turn:
                on_weir("weir", weir_events)
        if weir_events != events and not count("same events"):
            on_weir("same events", events)
        if query in NOT_ON_FLINK:
            return
        others = [way for way in flink.WAYS if way != "rocksdb"]
        for way in others:
            if not count(way):
                on_flink(way)
        found = [way for way in others if count(way)]
        if found:
            best = max(found, key=lambda way: median(cells[way]["rates"]))
            while count(best) < self.runs and "error" not in cells[best]:
                on_flink(best)

    def throughput(self, queries):
        with tempfile.TemporaryDirectory() as folder:
            side = os.path.join(folder, "side.csv")
            with open(side, "w") as f:
                f.writelines(f"{key},value {key}\n" for key in range(10_000))
            for query in queries:
                events = int(EVENTS[query] * 1e6 * self.scale)
                self.compare("queries", query, events, WEIR_EVENTS[query] * 1_000_000,
                             ("source-flink", "source-weir"), {"SIDE": side})

    def json(self, queries):
        folder = json_events()
        for query in queries:
            if query in JSON_QUERIES:
                self.compare("json", query, JSON_EVENTS, JSON_EVENTS, ("source-json", "source-json"),
                             {"PATH": folder})

    def latency(self, queries):
        """Both engines at half of what each was measured to do at its default."""
        for query in [q for q in LATENCY_QUERIES if q in queries]:
            rows = self.results.setdefault("latency", {}).setdefault(query, {})
            measured = self.results.get("queries", {}).get(query, {})
            for column, work in (("rocksdb", self.latency_of_flink), ("weir", latency_of_weir)):
                rates = measured.get(column, {}).get("rates")
                while rates and len(rows.setdefault(column, [])) < self.runs:
                    load = int(median(rates) / 2)
                    rows[column].append({"load": load, "us": work(query, load)})
                    print("latency", query, column, rows[column][-1], file=sys.stderr, flush=True)
                    self.save()

    def latency_of_flink(self, query, load):
        cluster, options = self.cluster("rocksdb")
        with tempfile.TemporaryDirectory() as folder:
            sink = f"'connector' = 'fblatency', 'path' = '{folder}', 'skip-seconds' = '10'"
            source = (f"'connector' = 'fbgen', 'events' = '{load * LATENCY_SECONDS}', "
                      f"'event-time-rate' = '{load}', 'limit' = '{load}'")
            cluster.run(f"latency-{query}", latency_files(query), options,
                        {"SOURCE": source, "SINK": sink})
            return report.quantiles(folder)

    def sweeps(self):
        for keys in KEYS:
            values = {"EVENTS": 60_000_000, "LAST": keys - 1}
            self.sweep("keys", keys, ["sweep-keys"], values)
        for ratio in WINDOWS:
            values = {"EVENTS": 100_000_000, "RATE": RATE, "SIZE": 10 * ratio}
            self.sweep("window", ratio, ["source-weir", "views", "sweep-window"], values)

    def sweep(self, name, point, files, values):
        done = self.results.get(name, {}).get(str(point), {}).get("weir", {}).get("rates", [])
        for _ in range(len(done), self.runs):
            self.once(name, str(point), "weir", values["EVENTS"],
                      lambda: weir.run(f"sweep-{name}", files, values)[0])


def latency_files(query):
    return ["latency-source", "latency-views", f"latency-{query}"]


def latency_of_weir(query, load):
    values = {"SOURCE": f"'connector' = 'nexmark', 'events.num' = '{load * LATENCY_SECONDS}', "
                        f"'first-event.rate' = '{load}'",
              "SINK": "'connector' = 'blackhole', 'latency-column' = 'due'"}
    return weir.run(f"latency-{query}", latency_files(query), values)[1]["latencyUs"]


def json_events():
    """The same events as JSON lines, in four files, for both engines; gives their folder."""
    _, classpath = flink.flink_home()
    folder = os.path.join(flink.CACHE, f"nexmark-json-{JSON_EVENTS}")
    if not os.path.exists(folder + "/ready"):
        subprocess.run(["java", "-cp", classpath, "fb.GenJson", folder, "4", str(JSON_EVENTS),
                        str(RATE)], check=True)
        open(folder + "/ready", "w").close()
    return folder


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--queries", default=",".join(EVENTS), help="such as q0,q5")
    arguments.add_argument("--parts", default="throughput,json,latency,sweeps")
    arguments.add_argument("--runs", type=int, default=3, help="of each figure (3)")
    arguments.add_argument("--scale", type=float, default=0.25,
                           help="of the events that keep Flink busy for half a minute (0.25)")
    arguments.add_argument("--resume", action="store_true",
                           help="keep the figures of target/bench/flink.json and add what is missing")
    arguments.add_argument("--no-docs", action="store_true", help="leave docs/benchmarks.md alone")
    chosen = arguments.parse_args()
    queries = chosen.queries.split(",")
    unknown = [q for q in queries if q not in EVENTS]
    if unknown:
        raise SystemExit(f"no such query: {', '.join(unknown)} (there are {', '.join(EVENTS)})")
    results = {}
    if chosen.resume and os.path.exists(OUT):
        with open(OUT) as f:
            results = json.load(f)
    bench = Bench(chosen.runs, chosen.scale, results)
    parts = {"throughput": lambda: bench.throughput(queries), "json": lambda: bench.json(queries),
             "latency": lambda: bench.latency(queries), "sweeps": bench.sweeps}
    try:
        for part in chosen.parts.split(","):
            if part not in parts:
                raise SystemExit(f"no such part: {part} (there are {', '.join(parts)})")
            parts[part]()
    finally:
        bench.stop()
    text = report.markdown(results)
    print(text)
    if not chosen.no_docs:
        report.write(os.path.join(flink.ROOT, "docs/benchmarks.md"), text)


if __name__ == "__main__":
    main()
