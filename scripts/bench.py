#!/usr/bin/env python3
"""Measures Weir and writes target/bench/results.json and target/bench/table.md.

usage: bench.py [all | throughput | generator | overhead | metrics | processes | latency | recovery
                 | idle] ...
       RUNS=3 (default) runs of each; figures are medians with minimum and maximum.

Everything runs on this machine, release build, exactly-once, checkpoints every second
unless the row says otherwise. A row's load average is the one-minute figure before its
first run. CPU seconds are the process's own (getrusage), so events per CPU second is the
rate per core whatever else the machine does.
"""

import http.server
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STREAMCTL = os.environ.get("WEIR_STREAMCTL", os.path.join(ROOT, "target/release/streamctl"))
RUNS = int(os.environ.get("RUNS", "3"))
OUT = os.path.join(ROOT, "target/bench")

# Events per run: a few seconds each on two cores.
EVENTS = {"generator": 80e6, "q0": 300e6, "q1": 300e6, "q2": 400e6, "q5": 120e6, "q7": 60e6,
          "q8": 300e6, "q12": 300e6}
GOALS = {"generator": 15.0, "q0": 5.0, "q1": 5.0, "q2": 5.0, "q5": 1.2, "q7": 0.8, "q8": 2.5,
         "q12": 2.5}
FLINK = {"q0": (1.22, 2.52), "q1": (1.47, 1.47), "q2": (1.09, 1.09), "q5": (0.203, 0.395),
         "q7": (0.117, 0.170), "q8": (0.727, 0.749), "q12": (0.525, 0.722)}


def run_job(name, env, storage):
    """One embedded run. Returns the summary with CPU seconds and peak memory added."""
    full = dict(os.environ, **{k: str(v) for k, v in env.items()})
    command = [STREAMCTL, "run", f"examples/nexmark/{name}.yaml", "--quiet", "--summary",
               "--http-addr", "127.0.0.1:0", "--storage", storage]
    process = subprocess.Popen(command, cwd=ROOT, env=full, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    out = process.stdout.read()
    err = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{name} failed:\n{err.decode()}")
    summary = json.loads(out)
    summary["cpuSeconds"] = usage.ru_utime + usage.ru_stime
    summary["peakMemoryMb"] = usage.ru_maxrss / 1024
    return summary


def spread(values, digits=2):
    values = sorted(values)
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({values[0]:.{digits}f}-{values[-1]:.{digits}f})"


def load():
    return os.getloadavg()[0]


def throughput(results, names=("q0", "q1", "q2", "q5", "q7", "q8", "q12"), parallelism=(1, 2)):
    lines = ["| query | parallelism | events | events/s, M | per CPU second, M | goal per core, M "
             "| vs Flink default / best (2 cores) | peak MB | checkpoints, p99 ms | load |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for name in names:
        for p in parallelism:
            before = load()
            rates, per_cpu, peaks, counts, p99s = [], [], [], [], []
            events = int(EVENTS[name] * (p if p == 1 else 2) / 2)
            for _ in range(RUNS):
                with tempfile.TemporaryDirectory() as storage:
                    s = run_job(name, {"EVENTS": events, "PARALLELISM": p}, storage)
                # A job with two sources counts every event once.
                total = events
                rates.append(total / s["runningSeconds"] / 1e6)
                per_cpu.append(total / s["cpuSeconds"] / 1e6)
                peaks.append(s["peakMemoryMb"])
                counts.append(s["checkpoints"]["completed"])
                p99s.append(s["checkpoints"].get("p99Ms") or 0)
                print(f"{name} p={p}: {rates[-1]:.2f} M/s, {per_cpu[-1]:.2f} M per CPU s, "
                      f"{peaks[-1]:.0f} MB", file=sys.stderr)
            results.append({"query": name, "parallelism": p, "rates": rates, "perCpu": per_cpu})
            versus = "-"
            if name in FLINK and p == 2:
                middle = statistics.median(rates)
                versus = f"{middle / FLINK[name][0]:.1f}x / {middle / FLINK[name][1]:.1f}x"
            lines.append(
                f"| {name} | {p} | {events / 1e6:.0f} M | {spread(rates)} | {spread(per_cpu)} "
                f"| {GOALS[name]} | {versus} | {max(peaks):.0f} | {statistics.median(counts):.0f}, "
                f"{max(p99s):.0f} | {before:.1f} |")
    return lines


def overhead(results):
    """The same job with and without checkpoints, in turn."""
    lines = ["| query | with / without checkpoints (1 s), ratio of rates | p99 of a checkpoint, ms |",
             "|---|---|---|"]
    for name in ("q0", "q12", "q5"):
        ratios, p99s = [], []
        for _ in range(RUNS):
            with tempfile.TemporaryDirectory() as storage:
                on = run_job(name, {"EVENTS": int(EVENTS[name]), "CHECKPOINT": "1s"}, storage)
                off = run_job(name, {"EVENTS": int(EVENTS[name]), "CHECKPOINT": "none"}, storage)
            ratios.append(off["runningSeconds"] / on["runningSeconds"])
            p99s.append(on["checkpoints"].get("p99Ms") or 0)
        results.append({"overhead": name, "ratios": ratios, "p99": p99s})
        lines.append(f"| {name} | {spread(ratios)} | {max(p99s):.0f} |")
    return lines


class Cluster:
    """A job manager and task managers as processes."""

    def __init__(self, task_managers, slots, storage, env=None, flags=()):
        self.processes = []
        self.storage = storage
        self.env = dict(os.environ, **(env or {}))
        self.flags = list(flags)
        job_manager, announced = self.start(["jobmanager", "--http-addr", "127.0.0.1:0",
                                             "--rpc-addr", "127.0.0.1:0", "--storage", storage])
        self.job_manager = job_manager
        self.url = "http://" + announced["http-addr"]
        self.rpc = announced["rpc-addr"]
        self.task_managers = [self.add(slots) for _ in range(task_managers)]

    def start(self, args):
        process = subprocess.Popen([STREAMCTL, *args], cwd=ROOT, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True, env=self.env)
        self.processes.append(process)
        lines = 3 if "--metrics-addr" in args else 2
        announced = dict(process.stdout.readline().split() for _ in range(lines))
        process.announced = announced
        return process, announced

    def add(self, slots):
        return self.start(["taskmanager", "--jobmanager", self.rpc, "--rpc-addr", "127.0.0.1:0",
                           "--slots", str(slots),
                           "--state-dir", os.path.join(self.storage, f"s{len(self.processes)}"),
                           *self.flags])[0]

    def submit(self, name, env):
        full = dict(os.environ, **{k: str(v) for k, v in env.items()})
        out = subprocess.run([STREAMCTL, "validate", f"examples/nexmark/{name}.yaml"], cwd=ROOT,
                             env=full, capture_output=True)
        if out.returncode != 0:
            raise SystemExit(out.stderr.decode())
        text = open(os.path.join(ROOT, f"examples/nexmark/{name}.yaml")).read()
        text = re.sub(r"\$\{env:(\w+):-([^}]*)\}", lambda m: full.get(m[1], m[2]), text)
        return self.call("POST", "/jobs", {"jobFile": text})["id"]

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + "/api/v1" + path, data, method=method,
                                         headers={"content-type": "application/json"})
        return json.load(urllib.request.urlopen(request, timeout=30))

    def wait(self, job, statuses=("FINISHED",), every=0.02):
        while True:
            details = self.call("GET", f"/jobs/{job}")
            if details["status"] in statuses:
                return details
            if details["status"] in ("FAILED", "CANCELED"):
                raise SystemExit(f"job {details['status']}: {details}")
            time.sleep(every)

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


def running_seconds(details):
    return (details["endedAtMs"] - details["startedAtMs"]) / 1000


class Watchers:
    """Prometheus and a collector of traces, as far as a cluster notices them."""

    def __init__(self):
        watchers = self
        self.spans = self.scrapes = self.failures = 0
        self.over = threading.Event()

        class Collector(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                watchers.spans += sum(len(scope["spans"]) for resource in body["resourceSpans"]
                                      for scope in resource["scopeSpans"])
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
        threading.Thread(target=self.collector.serve_forever, daemon=True).start()
        self.env = {"OTEL_EXPORTER_OTLP_ENDPOINT":
                    f"http://127.0.0.1:{self.collector.server_address[1]}"}

    def scrape(self, addresses):
        """Every address once a second, until `stop`."""
        def run():
            while not self.over.wait(1):
                for address in addresses:
                    try:
                        urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read()
                        self.scrapes += 1
                    except OSError:
                        self.failures += 1
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def stop(self):
        self.over.set()
        self.thread.join()
        self.collector.shutdown()


def watched_rate(name, events, watched):
    """Millions of events a second: with everything watched, or with as little as there is."""
    watchers = Watchers() if watched else None
    flags = ["--metrics-addr", "127.0.0.1:0"] if watched else ["--task-metrics", "off"]
    with tempfile.TemporaryDirectory() as storage:
        cluster = Cluster(1, 2, storage, watchers.env if watchers else None, flags)
        try:
            if watchers:
                watchers.scrape([cluster.job_manager.announced["http-addr"],
                                 cluster.task_managers[0].announced["metrics-addr"]])
            job = cluster.submit(name, {"EVENTS": events})
            # Asking the job manager costs it something too: seldom, and the same in both.
            rate = events / running_seconds(cluster.wait(job, every=0.25)) / 1e6
        finally:
            if watchers:
                watchers.stop()
            cluster.stop()
    if watchers and (watchers.failures or not watchers.scrapes or not watchers.spans):
        raise SystemExit(f"not watched: {watchers.scrapes} scrapes, {watchers.failures} failed, "
                         f"{watchers.spans} spans")
    return rate


def metrics(results):
    """The same job with all metrics, both roles scraped every second and traces sent, and with
    none of it (`--task-metrics off`, no scrape, no traces), in turn. Goal: less than 2%."""
    lines = ["| query | watched / not watched, ratio of rates | watched, M/s | not watched, M/s |",
             "|---|---|---|---|"]
    for name in ("q0", "q12", "q5"):
        watched, alone = [], []
        events = int(EVENTS[name])
        for run in range(max(RUNS, 5)):
            # Whichever comes second finds the machine as the first left it.
            for into in (watched, alone) if run % 2 else (alone, watched):
                into.append(watched_rate(name, events, into is watched))
                print(f"{name} {'watched' if into is watched else 'alone'}: {into[-1]:.2f} M/s",
                      file=sys.stderr)
        ratios = [a / b for a, b in zip(watched, alone)]
        results.append({"metrics": name, "watched": watched, "alone": alone})
        lines.append(f"| {name} | {spread(ratios, 3)} | {spread(watched)} | {spread(alone)} |")
    return lines


def processes(results):
    """Two task manager processes against one with two slots: the price of the wire."""
    lines = ["| query | one process, M/s | two processes over gRPC, M/s | ratio |", "|---|---|---|---|"]
    for name in ("q12", "q8"):
        one, two = [], []
        for _ in range(RUNS):
            for managers, slots, into in ((1, 2, one), (2, 1, two)):
                with tempfile.TemporaryDirectory() as storage:
                    cluster = Cluster(managers, slots, storage)
                    try:
                        job = cluster.submit(name, {"EVENTS": int(EVENTS[name])})
                        into.append(EVENTS[name] / running_seconds(cluster.wait(job)) / 1e6)
                    finally:
                        cluster.stop()
        ratios = [b / a for a, b in zip(one, two)]
        results.append({"processes": name, "one": one, "two": two})
        lines.append(f"| {name} | {spread(one)} | {spread(two)} | {spread(ratios)} |")
    return lines


def latency(results):
    """From the moment an event was due to the sink, through a hash exchange, no coordinated omission."""
    lines = ["| rate, events/s | p50 ms | p99 ms | max ms |", "|---|---|---|---|"]
    for rate in (100_000, 500_000, 1_000_000):
        p50, p99, top = [], [], []
        for _ in range(RUNS):
            with tempfile.TemporaryDirectory() as storage:
                s = run_job("latency", {"RATE": rate, "EVENTS": rate * 10}, storage)
            p50.append(s["latencyUs"][0] / 1000)
            p99.append(s["latencyUs"][1] / 1000)
            top.append(s["latencyUs"][2] / 1000)
        results.append({"latency": rate, "p50": p50, "p99": p99})
        lines.append(f"| {rate} | {spread(p50)} | {spread(p99)} | {spread(top)} |")
    return lines


def recovery(results):
    """SIGKILL of a task manager with a spare slot: until rows flow at the sink again."""
    lines = ["| what | seconds |", "|---|---|"]
    seconds = []
    for _ in range(max(RUNS, 5)):
        with tempfile.TemporaryDirectory() as storage:
            cluster = Cluster(3, 1, storage)
            try:
                job = cluster.submit("latency", {"RATE": 200_000, "EVENTS": 200_000 * 120})
                cluster.wait(job, ("RUNNING",))
                while cluster.call("GET", f"/jobs/{job}")["checkpoints"]["completed"] < 3:
                    time.sleep(0.05)
                details = cluster.call("GET", f"/jobs/{job}")
                used = {s["taskManager"] for v in details["vertices"] for s in v["subtasks"]}
                victim = next(p for p in cluster.task_managers if p.announced["id"] in used)
                killed = time.time()
                victim.send_signal(signal.SIGKILL)
                while True:
                    details = cluster.call("GET", f"/jobs/{job}")
                    sinks = [v for v in details["vertices"] if "out" in v["name"]]
                    if details["restarts"] >= 1 and details["status"] == "RUNNING" and any(
                            v["metrics"]["recordsIn"] > 0 for v in sinks):
                        break
                    if time.time() - killed > 60:
                        raise SystemExit(f"no recovery: {details}")
                    time.sleep(0.01)
                seconds.append(time.time() - killed)
            finally:
                cluster.stop()
    results.append({"recovery": seconds})
    lines.append(f"| kill to first rows at the sink, {len(seconds)} kills | {spread(seconds)} |")
    return lines


def idle(results):
    """Idle memory of each role, and the time from start to RUNNING."""
    with tempfile.TemporaryDirectory() as storage:
        cluster = Cluster(1, 2, storage)
        try:
            time.sleep(2)
            rss = {}
            for name, process in (("jobmanager", cluster.job_manager),
                                  ("taskmanager", cluster.task_managers[0])):
                status = open(f"/proc/{process.pid}/status").read()
                rss[name] = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
        finally:
            cluster.stop()
    starts = []
    for _ in range(max(RUNS, 5)):
        with tempfile.TemporaryDirectory() as storage:
            s = run_job("q0", {"EVENTS": 30_000_000}, storage)
            starts.append(s["startToRunningMs"])
    results.append({"idleMb": rss, "startMs": starts})
    return ["| what | figure |", "|---|---|",
            f"| idle resident memory, job manager | {rss['jobmanager']:.0f} MB |",
            f"| idle resident memory, task manager | {rss['taskmanager']:.0f} MB |",
            f"| `streamctl run`, start to RUNNING | {spread(starts, 0)} ms |"]


def main():
    wanted = sys.argv[1:] or ["all"]
    parts = {"generator": lambda r: throughput(r, ("generator",), (1, 2)), "throughput": throughput,
             "overhead": overhead, "metrics": metrics, "processes": processes, "latency": latency,
             "recovery": recovery, "idle": idle}
    os.makedirs(OUT, exist_ok=True)
    results, text = [], []
    cpu = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    text.append(f"Machine: {os.cpu_count()} cores, {cpu[1] if cpu else 'unknown processor'}; "
                f"median (minimum-maximum) of {RUNS} runs.\n")
    for name, part in parts.items():
        if "all" in wanted or name in wanted:
            print(f"== {name}", file=sys.stderr)
            text += [f"### {name}: {(part.__doc__ or 'rates').strip()}", ""] + part(results) + [""]
            with open(os.path.join(OUT, "table.md"), "w") as file:
                file.write("\n".join(text))
    with open(os.path.join(OUT, "results.json"), "w") as file:
        json.dump(results, file, indent=1)
    print("\n".join(text))


main()
