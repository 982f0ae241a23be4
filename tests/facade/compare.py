#!/usr/bin/env python3
"""Compares our facade with a recorded Flink: compare.py URL [RECORDING].

For a like job: every key that Flink answers with is there, with a value of the same kind, at
the same status, and no key that Flink does not have (but the few named below). Exit code 1
and one line per difference otherwise. Driven by tests/it/facade.rs; ends the job.
"""

import json
import pathlib
import sys

from endpoints import ENDING, T1, T2, Places, paths

# Keys of ours that Flink does not have.
EXTRA = {"$.weir-version"}
# Where Flink's status is a mistake of its own, and what we answer.
STATUS = {"/taskmanagers/ffffffffffffffffffffffffffffffff": 404}
# Lists that are empty here, for they list what only a JVM has.
EMPTY = {"$.jvm.options", "$.classpath", "$.metrics.garbageCollectors"}


def differences(endpoint, recorded, places):
    """Lines about one endpoint."""
    found, lines = {}, []
    for url, status, value in places.ask(endpoint):
        expected = STATUS.get(endpoint, recorded["status"])
        if status != expected:
            lines.append(f"{url}: status {status}, Flink {expected}: {str(value)[:300]}")
        for path, kinds in paths(value).items():
            found.setdefault(path, set()).update(kinds)
    for path, kinds in recorded["keys"].items():
        if any(path.startswith(empty + "[]") for empty in EMPTY):
            continue
        if path not in found:
            lines.append(f"{endpoint}: {path} is missing ({'|'.join(kinds)})")
        elif not found[path] <= set(kinds):
            ours, theirs = "|".join(sorted(found[path])), "|".join(kinds)
            lines.append(f"{endpoint}: {path} is {ours}, Flink's is {theirs}")
    for path in found:
        if path not in recorded["keys"] and path not in EXTRA:
            lines.append(f"{endpoint}: {path} is not in Flink's")
    return lines


def main():
    base = sys.argv[1].rstrip("/")
    here = pathlib.Path(__file__).parent
    recording = sys.argv[2] if len(sys.argv) > 2 else here / "flink-2.3-keys.json"
    recording = json.loads(pathlib.Path(recording).read_text())
    wrong, keys, compared = [], 0, 0
    places = Places(base)
    for tier, endpoints in (("T1", T1), ("T2", T2), ("ending", ENDING)):
        for endpoint in endpoints:
            recorded = recording[tier].get(endpoint)
            if recorded is None:
                wrong.append(f"{endpoint} is not recorded: run record.py")
                continue
            compared += 1
            keys += len(recorded["keys"])
            wrong += differences(endpoint, recorded, places)
    for line in wrong:
        print(line)
    flink = recording["flink"]
    print(f"{compared} endpoints, {keys} keys of Flink {flink}, {len(wrong)} differences")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
