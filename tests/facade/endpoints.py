"""The endpoints that are compared, and how a JSON value becomes a set of key paths.

Used by record.py (on a real Flink) and compare.py (on Weir), so that both look at the same.
"""

import json
import re
import time
import urllib.error
import urllib.request

# Of `experience.md` 7: T1 is what every client needs, T2 what dashboards and operators use.
T1 = [
    "/overview",
    "/config",
    "/jobs",
    "/jobs/overview",
    "/jobs/{job}",
    "/jobs/{job}/status",
    "/jobs/{job}/plan",
    "/jobs/{job}/config",
    "/jobs/{job}/exceptions",
    "/jobs/{job}/checkpoints",
    "/jobs/{job}/checkpoints/config",
    "/jobs/{job}/checkpoints/details/{checkpoint}",
    "/jobs/{job}/checkpoints/details/{checkpoint}/subtasks/{vertex}",
    "/jobs/{job}/vertices/{vertex}",
    "/jobs/{job}/vertices/{vertex}/watermarks",
    "/jobs/{job}/vertices/{vertex}/backpressure",
    "/taskmanagers",
]
T2 = [
    "/datasets",
    "/jars",
    "/jobmanager/config",
    "/jobmanager/environment",
    "/jobmanager/logs",
    "/jobmanager/metrics",
    "/jobmanager/metrics?get=numRunningJobs,taskSlotsTotal",
    "/jobmanager/thread-dump",
    "/jobs/metrics",
    "/jobs/metrics?get=numRestarts,uptime",
    "/jobs/metrics?get=numRestarts,uptime&agg=max",
    "/jobs/{job}/accumulators",
    "/jobs/{job}/execution-result",
    "/jobs/{job}/jobmanager/config",
    "/jobs/{job}/jobmanager/environment",
    "/jobs/{job}/jobmanager/log-url",
    "/jobs/{job}/taskmanagers/{taskmanager}/log-url",
    "/jobs/{job}/metrics",
    "/jobs/{job}/metrics?get=numRestarts,uptime,lastCheckpointDuration",
    "/jobs/{job}/resource-requirements",
    "/jobs/{job}/vertices/{vertex}/accumulators",
    "/jobs/{job}/vertices/{vertex}/flamegraph?type=full",
    "/jobs/{job}/vertices/{vertex}/metrics",
    "/jobs/{job}/vertices/{vertex}/metrics?get=0.numRecordsIn,0.busyTimeMsPerSecond",
    "/jobs/{job}/vertices/{vertex}/jm-operator-metrics",
    "/jobs/{job}/vertices/{vertex}/subtasks/accumulators",
    "/jobs/{job}/vertices/{vertex}/subtasks/metrics",
    "/jobs/{job}/vertices/{vertex}/subtasks/metrics?get=numRecordsOut,busyTimeMsPerSecond",
    "/jobs/{job}/vertices/{vertex}/subtasks/metrics"
    "?get=numRecordsOut,busyTimeMsPerSecond&agg=min,max,sum,avg,skew",
    "/jobs/{job}/vertices/{vertex}/subtasks/0",
    "/jobs/{job}/vertices/{vertex}/subtasks/0/metrics",
    "/jobs/{job}/vertices/{vertex}/subtasks/0/metrics?get=numRecordsIn,isBackPressured",
    "/jobs/{job}/vertices/{vertex}/subtasks/0/attempts/{attempt}",
    "/jobs/{job}/vertices/{vertex}/subtasks/0/attempts/{attempt}/accumulators",
    "/jobs/{job}/vertices/{vertex}/subtasktimes",
    "/jobs/{job}/vertices/{vertex}/taskmanagers",
    "/taskmanagers/metrics",
    "/taskmanagers/metrics?get=Status.JVM.CPU.Load",
    "/taskmanagers/metrics?get=Status.JVM.CPU.Load&agg=min",
    "/taskmanagers/{taskmanager}",
    "/taskmanagers/{taskmanager}/logs",
    "/taskmanagers/{taskmanager}/metrics",
    "/taskmanagers/{taskmanager}/metrics?get=Status.JVM.CPU.Load",
    "/taskmanagers/{taskmanager}/thread-dump",
    # Errors.
    "/jobs/ffffffffffffffffffffffffffffffff",
    "/jobs/notanid",
    "/jobs/{job}/vertices/ffffffffffffffffffffffffffffffff",
    "/jobs/{job}/checkpoints/details/999999999",
    "/jobs/{job}/metrics?agg=max&get=uptime",
    "/jobs/metrics?get=uptime&agg=median",
    "/jobs/{job}/checkpoints/ffffffffffffffffffffffffffffffff",
    "/taskmanagers/ffffffffffffffffffffffffffffffff",
    "/no/such/path",
    # Asynchronous operations: POST answers with a request id, which is then asked for.
    "POST /jobs/{job}/checkpoints",
    "/jobs/{job}/checkpoints/{trigger}",
    "POST /jobs/{job}/savepoints",
    "POST /jobs/{job}/stop",
]
# In this order, last: they end the job.
ENDING = [
    "PATCH /jobs/{job}?mode=cancel",
    "/jobs/{job}",
    "/jobs/{job}/status",
    "/jobs/{job}/execution-result",
    "/jobs/{job}/exceptions",
    "/jobs/{job}/checkpoints",
    "/jobs/overview",
]

# Objects whose keys are data: not compared further.
OPEN = {"user-config", "extendedResources", "failureLabels"}
HEX = re.compile(r"^[0-9a-f]{32}$")


def request(url, method="GET", body=None):
    """Status and parsed JSON; the text itself when it is not JSON."""
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"} if body is not None else {}
    asked = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode(errors="replace")


def kind(value):
    """The JSON kind of a value; numbers with a fraction are told from those without."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        # How Flink writes a floating point number that is none.
        return "float" if value == "NaN" else "string"
    return "array" if isinstance(value, list) else "object"


def paths(value, path="$", found=None):
    """{path: {kinds}} of a JSON value, e.g. {"$.jobs[].tasks.running": {"int"}}."""
    found = {} if found is None else found
    found.setdefault(path, set()).add(kind(value))
    if isinstance(value, list):
        for item in value:
            paths(item, path + "[]", found)
    elif isinstance(value, dict) and path.rsplit(".", 1)[-1] not in OPEN:
        for key, item in value.items():
            paths(item, f"{path}.{'{id}' if HEX.match(key) else key}", found)
    return found


class Places:
    """The ids to put into the endpoints: one running job and what belongs to it."""

    def __init__(self, base):
        self.base = base
        jobs = request(base + "/jobs/overview")[1]["jobs"]
        running = [job for job in jobs if job["state"] == "RUNNING"]
        self.job = running[0]["jid"]
        details = request(f"{base}/jobs/{self.job}")[1]
        self.vertices = [vertex["id"] for vertex in details["vertices"]]
        history = request(f"{base}/jobs/{self.job}/checkpoints")[1]["history"]
        self.checkpoints = [c["id"] for c in history if c["status"] == "COMPLETED"][:1]
        self.checkpoints += [c["id"] for c in history if c["status"] == "FAILED"][:1]
        managers = request(base + "/taskmanagers")[1]["taskmanagers"]
        self.taskmanagers = [manager["id"] for manager in managers]
        first = request(f"{base}/jobs/{self.job}/vertices/{self.vertices[0]}/subtasks/0")[1]
        self.attempt = first["attempt"]
        self.trigger = None

    def urls(self, endpoint):
        """The endpoint with every combination of ids."""
        urls = [endpoint.replace("{job}", self.job).replace("{attempt}", str(self.attempt))]
        if "{trigger}" in endpoint:
            urls = [url.replace("{trigger}", str(self.trigger)) for url in urls]
        for name, values in [
            ("{vertex}", self.vertices),
            ("{checkpoint}", self.checkpoints),
            ("{taskmanager}", self.taskmanagers),
        ]:
            if name in endpoint:
                urls = [url.replace(name, str(value)) for url in urls for value in values]
        return urls

    def until_over(self, url):
        """The answers about an operation, from the first to the one that says it is over."""
        answers, deadline = [], time.monotonic() + 60
        while True:
            status, value = request(self.base + url)
            answers.append((url, status, value))
            if status != 200 or value["status"]["id"] == "COMPLETED":
                return answers
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} is not over: {value}")
            time.sleep(0.05)

    def until_ended(self):
        """Waits for the job to have ended."""
        deadline = time.monotonic() + 60
        while request(f"{self.base}/jobs/{self.job}/status")[1]["status"] != "CANCELED":
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {self.job} does not end")
            time.sleep(0.05)

    def ask(self, endpoint):
        """(status, value) of every url of the endpoint."""
        method, path = endpoint.split(" ") if " " in endpoint else ("GET", endpoint)
        body = None
        if method == "POST":
            body = {"checkpointType": "FULL"} if path.endswith("checkpoints") else {}
        if method == "PATCH":
            body = {}
        answers = []
        for url in self.urls(path):
            status, value = request(self.base + url, method, body)
            if method == "POST" and path.endswith("/checkpoints") and status == 202:
                self.trigger = value["request-id"]
            if method == "PATCH":
                self.until_ended()
            if "{trigger}" in endpoint:
                answers += self.until_over(url)
            else:
                answers.append((url, status, value))
        return answers
