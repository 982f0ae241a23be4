"""One run of SQL statements on Weir, embedded in one process. Called by `__main__.py`."""

import json
import os
import subprocess
import tempfile

from flink import NEXMARK, ROOT
from measure import Run

STREAMCTL = os.environ.get("WEIR_STREAMCTL", os.path.join(ROOT, "target/release/streamctl"))
SETTINGS = ("SET 'parallelism.default' = '2';\n"
            "SET 'execution.checkpointing.interval' = '1s';\n")


def run(name, files, values, settings=""):
    """Runs the statements of `files` (names in bench/nexmark) to their end. Gives the run and the
    summary that streamctl prints; raises RuntimeError with the report when it fails."""
    with tempfile.TemporaryDirectory() as storage:
        text = SETTINGS + settings + "".join(open(f"{NEXMARK}/{f}.sql").read() for f in files)
        for key, value in values.items():
            text = text.replace("${%s}" % key, str(value))
        path = os.path.join(storage, name + ".sql")
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
            raise RuntimeError(err.decode()[-600:])
        summary = json.loads(out)
        cpu = usage.ru_utime + usage.ru_stime
        return Run(summary["runningSeconds"], cpu, usage.ru_maxrss / 1024), summary
