#!/usr/bin/env python3
"""Runs the Nexmark queries of bench/nexmark on Weir and on real Apache Flink, in turn, on this
machine, and writes target/bench/flink.json and target/bench/flink.md. Called by `make bench-flink`.

usage: bench_flink.py [--queries q0,q5] [--configs rocksdb,heap,tuned,tuned-heap] [--runs 3]
                      [--events-scale 1.0] [--input gen|json]

Weir: exactly-once, a checkpoint every second. Flink: exactly-once, every 10 s (as its users run
it), at its defaults (`rocksdb`) and at its best of: heap state, and `tuned` (object reuse,
mini-batch, split distinct aggregates) on either. Both engines get the same events and run in
turn: while Weir runs, Flink's cluster is up but has no job. A rate counts all events of the stream; Weir's time is from RUNNING
to FINISHED, Flink's from its last source subtask RUNNING to FINISHED. Flink gets as many events
as it needs for about half a minute; Weir gets as many times more as it is faster, at least 10 x.
"""

import argparse
import glob
import hashlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STREAMCTL = os.environ.get("WEIR_STREAMCTL", os.path.join(ROOT, "target/release/streamctl"))
CACHE = os.environ.get("WEIR_CACHE", os.path.join(os.path.expanduser("~"), ".cache", "weir"))
OUT = os.path.join(ROOT, "target/bench")
NEXMARK = os.path.join(ROOT, "bench/nexmark")
FLINK_VERSION = "2.3.0"
RATE = 100_000  # events per second of event time, both engines

# Events per Flink run, in millions: about half a minute each at its default on two cores.
EVENTS = {"q0": 25, "q1": 20, "q2": 25, "q3": 12, "q4": 4, "q5": 6, "q7": 3, "q8": 12, "q9": 3,
          "q11": 3, "q12": 20, "q14": 20, "q15": 5, "q16": 3, "q17": 8, "q18": 6, "q19": 6,
          "q20": 4, "q21": 10, "q22": 20}
# Weir's share: enough for several seconds and several checkpoints.
WEIR_FACTOR = 10

TUNED = ["-Dpipeline.object-reuse=true", "-Dtable.exec.mini-batch.enabled=true",
         "-Dtable.exec.mini-batch.allow-latency=2s", "-Dtable.exec.mini-batch.size=50000",
         "-Dtable.optimizer.distinct-agg.split.enabled=true"]
CONFIGS = {"rocksdb": ("rocksdb", []), "heap": ("hashmap", []), "tuned": ("rocksdb", TUNED),
           "tuned-heap": ("hashmap", TUNED)}
OPEN_PACKAGES = ["java.lang", "java.net", "java.io", "java.nio", "java.lang.reflect", "java.text",
                 "java.time", "java.util", "java.util.concurrent", "java.util.concurrent.atomic",
                 "java.util.concurrent.locks", "sun.nio.ch"]
OPENS = [f"--add-opens=java.base/{p}=ALL-UNNAMED" for p in OPEN_PACKAGES] + [
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "--add-exports=java.base/sun.net.util=ALL-UNNAMED"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        try:
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(pids):
    total = 0
    for pid in pids:
        try:
            for line in open(f"/proc/{pid}/status"):
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
        except OSError:
            pass
    return total / 1024


class PeakMemory(threading.Thread):
    """The most that the given processes held at once, sampled ten times a second."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.peak, self.over = pids, 0.0, threading.Event()

    def run(self):
        while not self.over.wait(0.1):
            self.peak = max(self.peak, resident_mb(self.pids))

    def stop(self):
        self.over.set()
        self.join()
        return self.peak


def flink_home():
    """Flink's jars and our source beside them, in the cache; made once per version of either."""
    sources = sorted(glob.glob(os.path.join(ROOT, "bench/flink/src/fb/*.java")))
    digest = hashlib.sha256(b"".join(open(f, "rb").read() for f in sources)).hexdigest()[:12]
    home = os.path.join(CACHE, f"flink-{FLINK_VERSION}")
    if not os.path.exists(os.path.join(home, "ready")):
        print(f"installing Flink {FLINK_VERSION} from PyPI (313 MB, once)", file=sys.stderr)
        shutil.rmtree(home, ignore_errors=True)
        os.makedirs(home)
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps",
                        f"apache-flink-libraries=={FLINK_VERSION}", "-d", home], check=True)
        wheel = glob.glob(home + "/*.whl")[0]
        subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, home + "/x"], check=True)
        shutil.move(home + "/x/pyflink", home + "/flink")
        os.remove(wheel)
        open(home + "/ready", "w").close()
    jar = os.path.join(home, f"fb-{digest}.jar")
    jars = sorted(glob.glob(home + "/flink/lib/*.jar"))
    if not os.path.exists(jar):
        classes = tempfile.mkdtemp()
        subprocess.run(["javac", "-nowarn", "-d", classes, "-cp", ":".join(jars), *sources],
                       check=True)
        shutil.copytree(os.path.join(ROOT, "bench/flink/res"), classes, dirs_exist_ok=True)
        subprocess.run(["jar", "cf", jar, "-C", classes, "."], check=True)
        shutil.rmtree(classes)
    return home + "/flink", ":".join(jars + [jar])


class Flink:
    """One session cluster: a JobManager and one TaskManager of two slots."""

    def __init__(self, backend):
        self.home, self.classpath = flink_home()
        self.work = tempfile.mkdtemp(prefix="bench-flink-")
        self.rest = free_port()
        self.processes = []
        conf = os.path.join(self.work, "conf")
        os.makedirs(conf)
        with open(conf + "/config.yaml", "w") as f:
            f.write("\n".join([
                "jobmanager.rpc.address: 127.0.0.1", f"jobmanager.rpc.port: {free_port()}",
                "jobmanager.bind-host: 127.0.0.1", "taskmanager.bind-host: 127.0.0.1",
                "taskmanager.host: 127.0.0.1", "rest.address: 127.0.0.1",
                "rest.bind-address: 127.0.0.1", f"rest.port: {self.rest}",
                "jobmanager.memory.process.size: 1600m", "execution.target: remote",
                "taskmanager.memory.process.size: 8g", "taskmanager.numberOfTaskSlots: 2",
                "parallelism.default: 2", f"io.tmp.dirs: {self.work}/tmp",
                f"state.backend.type: {backend}",
                f"execution.checkpointing.dir: file://{self.work}/ckpt",
                "execution.checkpointing.incremental: true",
                "execution.checkpointing.interval: 10s",
                "execution.checkpointing.mode: EXACTLY_ONCE",
                "execution.checkpointing.checkpoints-after-tasks-finish.enabled: false",
                f"state.backend.rocksdb.localdir: {self.work}/tmp", ""]))
        with open(conf + "/log4j.properties", "w") as f:
            f.write("rootLogger.level = WARN\nrootLogger.appenderRef.c.ref = C\n"
                    "appender.c.name = C\nappender.c.type = CONSOLE\n"
                    "appender.c.layout.type = PatternLayout\n"
                    "appender.c.layout.pattern = %d %-5p %c{1} - %m%n\n")
        self.conf = conf
        package = "org.apache.flink.runtime."
        self.launch("jobmanager", "GET_JM_RESOURCE_PARAMS",
                    package + "entrypoint.StandaloneSessionClusterEntrypoint")
        self.launch("taskmanager", "GET_TM_RESOURCE_PARAMS",
                    package + "taskexecutor.TaskManagerRunner")
        deadline = time.time() + 90
        while time.time() < deadline:
            try:
                if self.get("/overview")["taskmanagers"] == 1:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        self.stop()
        raise SystemExit(f"Flink did not come up; its logs were in {self.work}")

    def resources(self, what):
        out = subprocess.run(
            ["java", "-cp", f"{self.home}/bin/bash-java-utils.jar:{self.classpath}",
             f"-Dlog4j.configurationFile={self.conf}/log4j.properties",
             "org.apache.flink.runtime.util.bash.BashJavaUtils", what, "--configDir", self.conf],
            capture_output=True, text=True, check=True).stdout
        prefix = "BASH_JAVA_UTILS_EXEC_RESULT:"
        lines = [x[len(prefix):] for x in out.splitlines() if x.startswith(prefix)]
        return lines[0].split(), (lines[1].split() if len(lines) > 1 else [])

    def launch(self, name, resources, main):
        jvm, dynamic = self.resources(resources)
        log = open(f"{self.work}/{name}.log", "w")
        self.processes.append(subprocess.Popen(
            ["java", *jvm, "-XX:+UseG1GC", *OPENS,
             f"-Dlog4j.configurationFile={self.conf}/log4j.properties", "-cp", self.classpath,
             main, "--configDir", self.conf, *dynamic],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def get(self, path):
        url = f"http://127.0.0.1:{self.rest}{path}"
        return json.load(urllib.request.urlopen(url, timeout=10))

    def run(self, query, source, events, options, variables):
        """Seconds, CPU seconds and peak memory (MB) of one run."""
        pids = [p.pid for p in self.processes]
        files = [f"{NEXMARK}/{name}.sql" for name in (source, "views", query)]
        values = dict(variables, EVENTS=events, RATE=RATE, LIMIT=0)
        command = ["java", "-Xmx1g", *OPENS, "-cp", self.classpath,
                   f"-Dlog4j.configurationFile={self.conf}/log4j.properties", "fb.RunSql",
                   "-Dexecution.target=remote", "-Drest.address=127.0.0.1",
                   f"-Drest.port={self.rest}", "-Dparallelism.default=2",
                   f"-Dpipeline.name={query}", *options,
                   *(f"-V{k}={v}" for k, v in values.items()), *files]
        before, memory = cpu_seconds(pids), PeakMemory(pids)
        memory.start()
        done = subprocess.run(command, capture_output=True, text=True,
                              env=dict(os.environ, FLINK_CONF_DIR=self.conf))
        jobs = [x.split()[1] for x in done.stdout.splitlines() if x.startswith("JOB ")]
        if not jobs:
            memory.stop()
            raise RuntimeError(done.stdout[-1000:] + done.stderr[-3000:])
        deadline = time.time() + 600
        while True:
            job = self.get(f"/jobs/{jobs[0]}")
            if job["state"] in ("FINISHED", "FAILED", "CANCELED"):
                break
            if time.time() > deadline:
                raise RuntimeError(f"{query} on Flink did not finish in 600 s")
            time.sleep(0.3)
        peak, cpu = memory.stop(), cpu_seconds(pids) - before
        if job["state"] != "FINISHED":
            raise RuntimeError(f"{query} on Flink ended as {job['state']}")
        started = max(s.get("start-time", 0)
                      for v in job["vertices"] if "Source" in v["name"]
                      for s in self.get(f"/jobs/{jobs[0]}/vertices/{v['id']}")["subtasks"])
        return (job["timestamps"]["FINISHED"] - started) / 1000.0, cpu, peak

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.work, ignore_errors=True)


def weir_run(query, source, events, variables):
    """Seconds, CPU seconds and peak memory (MB) of one embedded run."""
    with tempfile.TemporaryDirectory() as storage:
        values = dict(variables, EVENTS=str(events), RATE=str(RATE))
        text = "SET 'parallelism.default' = '2';\nSET 'execution.checkpointing.interval' = '1s';\n"
        text += "".join(open(f"{NEXMARK}/{n}.sql").read() for n in (source, "views", query))
        for name, value in values.items():
            text = text.replace("${%s}" % name, str(value))
        path = os.path.join(storage, query + ".sql")
        with open(path, "w") as f:
            f.write(text)
        process = subprocess.Popen(
            [STREAMCTL, "run", path, "--quiet", "--summary", "--http-addr", "127.0.0.1:0",
             "--storage", os.path.join(storage, "ckpt")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(err.decode()[-3000:])
        summary = json.loads(out)
        return (summary["runningSeconds"], usage.ru_utime + usage.ru_stime,
                usage.ru_maxrss / 1024)


def measure(run, events, runs):
    """Rates (events/s), CPU seconds per million events and peak memory of `runs` runs."""
    row = {"events": events, "rates": [], "cpu": [], "peak": [], "load": os.getloadavg()[0]}
    for _ in range(runs):
        seconds, cpu, peak = run()
        row["rates"].append(events / seconds)
        row["cpu"].append(cpu / events * 1e6)
        row["peak"].append(peak)
    return row


def spread(values, scale=1.0, digits=2):
    values = sorted(v * scale for v in values)
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({values[0]:.{digits}f}-{values[-1]:.{digits}f})"


def geometric_mean(values):
    return statistics.geometric_mean(values) if values else float("nan")


def table(results):
    lines = ["| query | Weir, M events/s | Flink default | Flink best (which) | x default | x best "
             "| CPU s per M events, Weir / default | peak MB, Weir / default | load, Weir / Flink |",
             "|---|---|---|---|---|---|---|---|---|"]
    defaults, bests = [], []
    median = statistics.median
    for query, row in results.items():
        weir = row.get("weir")
        flink = {c: r for c, r in row.items() if c != "weir" and "rates" in r}
        if not weir or "rates" not in weir or "rocksdb" not in flink:
            why = "; ".join(f"{c}: {r['error']}" for c, r in row.items() if "error" in r)
            lines.append(f"| {query} | {why[:200]} | | | | | | | |")
            continue
        default = flink["rocksdb"]
        best = max(flink, key=lambda c: median(flink[c]["rates"]))
        ratios = [median(weir["rates"]) / median(flink[c]["rates"]) for c in ("rocksdb", best)]
        defaults.append(ratios[0])
        bests.append(ratios[1])
        lines.append(
            f"| {query} | {spread(weir['rates'], 1e-6)} | {spread(default['rates'], 1e-6, 3)} | "
            f"{spread(flink[best]['rates'], 1e-6, 3)} ({best}) | {ratios[0]:.1f} | "
            f"{ratios[1]:.1f} | {median(weir['cpu']):.3f} / {median(default['cpu']):.2f} | "
            f"{median(weir['peak']):.0f} / {median(default['peak']):.0f} | "
            f"{weir['load']:.1f} / {default['load']:.1f} |")
    lines.append(f"| geometric mean | | | | {geometric_mean(defaults):.1f} | "
                 f"{geometric_mean(bests):.1f} | | | |")
    return "\n".join(lines) + "\n"


def attempt(results, query, name, work, keep=False):
    """Keeps a failure in the results: a missing cell must say why. `keep`: adds to earlier runs."""
    try:
        row, before = work(), results[query].get(name)
        if keep and before and "rates" in before:
            for figure in ("rates", "cpu", "peak"):
                row[figure] = before[figure] + row[figure]
        if row["rates"] or not before:
            results[query][name] = row
    except RuntimeError as error:
        results[query][name] = {"error": str(error).strip()[-600:]}
    row = results[query][name]
    print(query, name, spread(row["rates"], 1e-6, 3) + " M/s" if "rates" in row
          else "FAILED " + row["error"][-300:], file=sys.stderr, flush=True)


def json_events(events):
    """The same events as JSON lines, in four files, for both engines; returns their folder."""
    _, classpath = flink_home()
    folder = os.path.join(CACHE, f"nexmark-json-{events}")
    if not os.path.exists(folder + "/ready"):
        subprocess.run(["java", "-cp", classpath, "fb.GenJson", folder, "4", str(events),
                        str(RATE)], check=True)
        open(folder + "/ready", "w").close()
    return folder


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--queries", default=",".join(EVENTS))
    arguments.add_argument("--configs", default=",".join(CONFIGS))
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--events-scale", type=float, default=1.0)
    arguments.add_argument("--input", choices=["gen", "json"], default="gen")
    chosen = arguments.parse_args()
    queries = chosen.queries.split(",")
    unknown = [q for q in queries if q not in EVENTS]
    if unknown:
        raise SystemExit(f"no such query: {', '.join(unknown)} (there are {', '.join(EVENTS)})")
    os.makedirs(OUT, exist_ok=True)
    results = {q: {} for q in queries}
    sources, variables = {"weir": "source-weir", "flink": "source-flink"}, {}
    if chosen.input == "json":
        sources = {"weir": "source-json", "flink": "source-json"}

    def count(query):
        if chosen.input == "json":
            return 4_000_000
        return int(EVENTS[query] * 1e6 * chosen.events_scale)

    if chosen.input == "json":
        variables = {"PATH": json_events(4_000_000)}
    configs = chosen.configs.split(",")
    share = {c: len(range(i, chosen.runs, len(configs))) for i, c in enumerate(configs)}
    for config in configs:
        backend, options = CONFIGS[config]
        cluster = Flink(backend)
        try:
            # The JIT's warm-up, outside what is measured.
            cluster.run("q0", "source-flink", 3_000_000, options, {})
            for query in queries:
                events = count(query)
                flink = lambda: cluster.run(query, sources["flink"], events, options, variables)
                attempt(results, query, config, lambda: measure(flink, events, chosen.runs))
                # Weir's runs stand between Flink's, spread over the configurations.
                more = events * (1 if chosen.input == "json" else WEIR_FACTOR)
                weir = lambda: weir_run(query, sources["weir"], more, variables)
                attempt(results, query, "weir", lambda: measure(weir, more, share[config]),
                        keep=True)
        finally:
            cluster.stop()
    with open(os.path.join(OUT, "flink.json"), "w") as f:
        json.dump(results, f, indent=1)
    with open(os.path.join(OUT, "flink.md"), "w") as f:
        f.write(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
