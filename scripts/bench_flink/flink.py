"""Real Apache Flink on this machine: its jars (from PyPI, in the cache), a session cluster of one
JobManager and one TaskManager with two slots, and one run of a query on it. Called by
`__main__.py`."""

import glob
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from measure import PeakMemory, Run, cpu_seconds

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.environ.get("WEIR_CACHE", os.path.join(os.path.expanduser("~"), ".cache", "weir"))
NEXMARK = os.path.join(ROOT, "bench/nexmark")
VERSION = "2.3.0"

TUNED = ["-Dpipeline.object-reuse=true", "-Dtable.exec.mini-batch.enabled=true",
         "-Dtable.exec.mini-batch.allow-latency=2s", "-Dtable.exec.mini-batch.size=50000",
         "-Dtable.optimizer.distinct-agg.split.enabled=true"]
# State backend and options of each way to run it; the first is what a user gets who sets nothing
# but the backend for state larger than memory.
WAYS = {"rocksdb": ("rocksdb", []), "heap": ("hashmap", []), "tuned": ("rocksdb", TUNED),
        "tuned-heap": ("hashmap", TUNED)}
LONGEST = 300  # seconds, after which a run is cancelled and reported as such
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


def flink_home():
    """Flink's jars and our source beside them, in the cache; made once per version of either."""
    sources = sorted(glob.glob(os.path.join(ROOT, "bench/flink/src/**/*.java"), recursive=True))
    digest = hashlib.sha256(b"".join(open(f, "rb").read() for f in sources)).hexdigest()[:12]
    home = os.path.join(CACHE, f"flink-{VERSION}")
    if not os.path.exists(os.path.join(home, "ready")):
        print(f"installing Flink {VERSION} from PyPI (313 MB, once)", file=sys.stderr)
        shutil.rmtree(home, ignore_errors=True)
        os.makedirs(home)
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps",
                        f"apache-flink-libraries=={VERSION}", "-d", home], check=True)
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


def plain_error(log):
    """The innermost cause in a Java stack trace."""
    causes = [x for x in log.splitlines() if x.startswith("Caused by:") or "Exception" in x[:120]]
    return (causes[-1] if causes else log[-300:]).removeprefix("Caused by:").strip()[:300]


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
                # Heap state lives in the JVM's heap, so nothing is set aside for RocksDB.
                f"taskmanager.memory.managed.fraction: {0.05 if backend == 'hashmap' else 0.4}",
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

    def run(self, name, files, options, values):
        """One run of the statements of `files` (names in bench/nexmark), `${NAME}` replaced by
        `values`; raises RuntimeError when it does not finish."""
        pids = [p.pid for p in self.processes]
        command = ["java", "-Xmx1g", "-XX:TieredStopAtLevel=1", *OPENS, "-cp", self.classpath,
                   f"-Dlog4j.configurationFile={self.conf}/log4j.properties", "fb.RunSql",
                   "-Dexecution.target=remote", "-Drest.address=127.0.0.1",
                   f"-Drest.port={self.rest}", "-Dparallelism.default=2",
                   f"-Dpipeline.name={name}", *options,
                   *(f"-V{k}={v}" for k, v in values.items()),
                   *(f"{NEXMARK}/{f}.sql" for f in files)]
        before, memory = cpu_seconds(pids), PeakMemory(pids)
        memory.start()
        done = subprocess.run(command, capture_output=True, text=True,
                              env=dict(os.environ, FLINK_CONF_DIR=self.conf))
        jobs = [x.split()[1] for x in done.stdout.splitlines() if x.startswith("JOB ")]
        if not jobs:
            memory.stop()
            raise RuntimeError(plain_error(done.stderr))
        job = self.ended(jobs[0])
        peak, cpu = memory.stop(), cpu_seconds(pids) - before
        if job["state"] != "FINISHED":
            raise RuntimeError(f"ended as {job['state']}")
        started = max(s.get("start-time", 0)
                      for v in job["vertices"] if "Source" in v["name"]
                      for s in self.get(f"/jobs/{jobs[0]}/vertices/{v['id']}")["subtasks"])
        return Run((job["timestamps"]["FINISHED"] - started) / 1000.0, cpu, peak)

    def ended(self, job):
        """Details of the job when it is over; cancels it when that takes too long."""
        deadline = time.time() + LONGEST
        while True:
            details = self.get(f"/jobs/{job}")
            if details["state"] in ("FINISHED", "FAILED", "CANCELED"):
                return details
            if time.time() > deadline:
                request = urllib.request.Request(
                    f"http://127.0.0.1:{self.rest}/jobs/{job}?mode=cancel", method="PATCH")
                urllib.request.urlopen(request, timeout=10).close()
                deadline = time.time() + 60
            time.sleep(0.3)

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


