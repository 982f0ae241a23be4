#!/usr/bin/env python3
"""Runs a public Flink client, unmodified, against the facade: client.py HOST PORT.

Every call of PyPI's `flink-rest-client` that reads, plus triggering a checkpoint and
cancelling; what Weir refuses must be refused the way the client understands. Then the REST
layer of `flink-mcp-server`. Driven by tests/it/facade.rs; ends the job.
"""

import asyncio
import sys
import time

import requests
from flink_rest_client import FlinkRestClient
from flink_rest_client.common import RestException


def until(what, condition):
    """Polls: the bound only ends a hang."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"never {what}"
        time.sleep(0.05)


def refused(call, *arguments, **named):
    """The client must see an error with a text, not break on an answer it cannot read."""
    try:
        call(*arguments, **named)
    except RestException as error:
        text = str(error)
        assert "REST response error" in text and len(text.split(": ", 1)[1]) > 10, text
        return
    raise AssertionError(f"{call} was not refused")


def cluster(client):
    overview = client.overview()
    assert overview["jobs-running"] == 1 and overview["taskmanagers"] >= 1, overview
    assert client.config()["features"]["web-cancel"] is True
    assert client.datasets() == []
    assert client.jars.all()["files"] == []
    refused(client.delete_cluster)

    manager = client.jobmanager
    assert "execution.checkpointing.dir" in manager.config()
    (log,) = manager.logs()
    assert log["size"] > 0 and abs(log["mtime"] / 1000 - time.time()) < 86400, log
    assert "INFO" in manager.get_log(log["name"])
    for name in ("none.log", "..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd"):
        refused(manager.get_log, name)
    assert float(manager.metrics()["numRunningJobs"]) == 1

    managers = client.taskmanagers
    ids = managers.taskmanager_ids()
    assert ids and managers.all()[0]["slotsNumber"] >= 1
    assert "Status.JVM.CPU.Time" in managers.metric_names()
    slots = managers.metrics(["taskSlotsTotal"], ["sum", "max"])["taskSlotsTotal"]
    assert set(slots) == {"sum", "max"} and slots["sum"] >= slots["max"] >= 1
    assert managers.metrics(taskmanager_ids=ids)
    tasks = 0
    for each in ids:
        details = managers.get(each)
        assert len(details["allocatedSlots"]) + details["freeSlots"] <= details["slotsNumber"]
        tasks += details["assignedTasks"]
        (log,) = managers.get_logs(each)
        text = requests.get(f"{managers.prefix}/{each}/logs/{log['name']}", timeout=30).text
        whole = requests.get(f"{managers.prefix}/{each}/log", timeout=30).text
        assert "INFO" in text and text.splitlines()[0] in whole
        assert requests.get(f"{managers.prefix}/{each}/logs/none.log").status_code == 404
        assert float(managers.get_metrics(each)["Status.JVM.CPU.Time"]) >= 0
        threads = list(managers.get_thread_dump(each))
        assert len(threads) > details["assignedTasks"] and "core-0" in threads, threads
        assert sum("#" in name for name in threads) == details["assignedTasks"], threads
    assert tasks > 0
    refused(managers.get, "f" * 32)


def job(client):
    jobs = client.jobs
    (name,) = jobs.job_ids()
    (shown,) = jobs.overview()
    assert shown["jid"] == name and shown["state"] == "RUNNING", shown
    assert shown["tasks"]["running"] == shown["tasks"]["total"], shown
    details = jobs.get(name)
    assert details["status-counts"]["RUNNING"] == len(details["vertices"])
    assert jobs.get_config(name)["execution-config"]["job-parallelism"] == 2
    assert isinstance(jobs.get_exceptions(name)["exceptionHistory"]["entries"], list)
    assert jobs.get_execution_result(name)["status"]["id"] == "IN_PROGRESS"
    assert jobs.get_accumulators(name, include_serialized_value=True)["job-accumulators"] == []
    plan = jobs.get_plan(name)
    assert {n["id"] for n in plan["nodes"]} == set(jobs.get_vertex_ids(name))
    assert any(n.get("inputs", [{}])[0].get("ship_strategy") == "HASH" for n in plan["nodes"])

    assert float(jobs.get_metrics(name)["uptime"]) >= 0
    assert "numRestarts" in jobs.metric_names()
    assert set(jobs.metrics(["uptime"], ["min", "avg"])["uptime"]) == {"min", "avg"}
    assert jobs.metrics(job_ids=[name])["numberOfCompletedCheckpoints"]["max"] >= 1
    refused(jobs.get, "f" * 32)
    refused(jobs.get, "nobody")
    return name


def checkpoints(client, name):
    jobs = client.jobs
    assert jobs.get_checkpointing_configuration(name)["mode"] == "exactly_once"
    trigger = f"{jobs.prefix}/{name}/checkpoints"
    from flink_rest_client.common import _execute_rest_request as execute
    from flink_rest_client.v1.jobs import JobTrigger

    asked = execute(trigger, "POST", 202, json={"checkpointType": "FULL"})
    operation = JobTrigger(jobs.prefix, "checkpoints", name, asked["request-id"])
    until("checkpoint over", lambda: operation.status["status"]["id"] == "COMPLETED")
    taken = operation.status["operation"]["checkpointId"]
    assert taken in jobs.get_checkpoint_ids(name)
    whole = jobs.get_checkpoint_details(name, taken, show_subtasks=True)
    assert whole["status"] == "COMPLETED" and whole["external_path"]
    assert whole["num_subtasks"] == sum(len(v["subtasks"]) for v in whole["subtasks"].values())
    statistics = jobs.get_checkpoints(name)
    assert statistics["latest"]["completed"]["id"] >= taken
    assert statistics["latest"]["savepoint"] is None
    refused(jobs.create_savepoint, name, "/tmp/savepoints")
    refused(jobs.stop, name, "/tmp/savepoints")
    refused(jobs.rescale, name, 4)


def flame_graph(url):
    """Waiting at first, then a tree of calls; of what waits there are no samples."""
    graph = {}

    def sampled():
        graph.update(requests.get(url, timeout=30).json())
        assert graph["endTimestamp"] > 0 or graph == {"endTimestamp": -3}, graph
        return graph["endTimestamp"] > 0

    until("sampled", sampled)
    assert set(graph["data"]) == {"name", "value", "children"}, graph
    assert graph["data"]["value"] == sum(c["value"] for c in graph["data"]["children"]), graph
    waits = requests.get(f"{url}?type=off_cpu", timeout=30).json()
    assert waits["data"] == {"name": "root", "value": 0, "children": []}, waits
    assert requests.get(f"{url}?type=wall", timeout=30).status_code == 400


def vertices(client, name):
    jobs = client.jobs
    records = 0
    for vertex_id in jobs.get_vertex_ids(name):
        vertex = jobs.get_vertex(name, vertex_id)
        assert vertex.details()["parallelism"] == 2
        assert vertex.backpressure()["status"] == "ok"
        assert "0.numRecordsIn" in vertex.metric_names()
        counter = "0.numRecordsIn"
        until("counted", lambda v=vertex, c=counter: float(v.metrics([c])[c]) > 0)
        assert len(vertex.metrics()) > 20
        assert len(vertex.subtasktimes()["subtasks"]) == 2
        assert vertex.taskmanagers()["taskmanagers"][0]["status-counts"]["RUNNING"] >= 1
        assert isinstance(vertex.watermarks(), list)
        subtasks = vertex.subtasks
        assert subtasks.subtask_ids() == [0, 1]
        busy = subtasks.metrics(["busyTimeMsPerSecond", "numRecordsIn"])
        assert 0 <= busy["busyTimeMsPerSecond"]["max"] <= 1000
        records += busy["numRecordsIn"]["sum"]
        assert set(subtasks.metrics(["numRecordsIn"], ["max"], [1])["numRecordsIn"]) == {"max"}
        first = subtasks.get(0)
        assert first["status"] == "RUNNING"
        assert subtasks.get_attempt(0, first["attempt"])["attempt"] == first["attempt"]
        assert subtasks.get_attempt_accumulators(0)["user-accumulators"] == []
        refused(subtasks.get, 99)
        refused(subtasks.get_attempt, 0, 99)
        flame_graph(f"{vertex.prefix_url}/flamegraph")
    assert records > 0


async def mcp(base, name):
    """What `flink-mcp-server` asks a cluster, through its own client."""
    from flink_mcp import summaries
    from flink_mcp.client import FlinkClient

    client = FlinkClient(base)
    try:
        assert summaries.summarize_cluster(await client.overview())["jobs"]["running"] == 1
        (shown,) = summaries.summarize_jobs(await client.jobs_overview())
        assert shown["id"] == name and shown["state"] == "RUNNING"
        summary = summaries.summarize_job(await client.job(name))
        assert len(summary["vertices"]) == 2
        summaries.summarize_exceptions(await client.job_exceptions(name))
        assert summaries.summarize_checkpoints(await client.job_checkpoints(name))["last_completed"]
        summaries.summarize_savepoints(await client.job_checkpoints(name))
        assert summaries.summarize_metrics(await client.job_metrics(name))["available"]
        for vertex in summary["vertices"]:
            metrics = await client.vertex_subtask_metrics(
                name, vertex["id"], summaries.BACKPRESSURE_METRICS
            )
            pressure = summaries.summarize_backpressure(vertex["name"], vertex["id"], metrics)
            assert pressure["busy_ms_per_s"] is not None, pressure
        managers = summaries.summarize_taskmanagers(await client.taskmanagers())
        assert managers[0]["slots"] >= 1
        summaries.summarize_log_files(await client.log_files())
        summaries.summarize_jars(await client.jars())
        assert await client.job_config(name) and await client.jobmanager_config()
    finally:
        await client.aclose()


def main():
    host, port = sys.argv[1], int(sys.argv[2])
    client = FlinkRestClient.get(host=host, port=port)
    cluster(client)
    name = job(client)
    checkpoints(client, name)
    vertices(client, name)
    asyncio.run(mcp(f"http://{host}:{port}", name))
    assert client.jobs.terminate(name) is True
    until("canceled", lambda: client.jobs.get(name)["state"] == "CANCELED")
    result = client.jobs.get_execution_result(name)["job-execution-result"]
    assert result["application-status"] == "CANCELED", result
    print("flink-rest-client and flink-mcp-server: every call answered")


if __name__ == "__main__":
    main()
