#!/usr/bin/env python3
"""Records the key sets of a real Flink's REST API: record.py URL [OUT] [--raw FOLDER] [--merge].

With --merge what OUT holds already is kept: a job can be looked at in several moods.

Not run by the tests: they compare with what was recorded. README.md says when and how.
"""

import json
import pathlib
import sys

from endpoints import ENDING, T1, T2, Places, paths, request


def recorded(places, endpoint, raw, rounds):
    """Status and key paths of one endpoint, over several rounds: lists fill up."""
    statuses, merged = set(), {}
    for _ in range(rounds):
        for url, status, value in places.ask(endpoint):
            statuses.add(status)
            for path, kinds in paths(value).items():
                merged.setdefault(path, set()).update(kinds)
            if raw:
                method = endpoint.split(" ")[0] if " " in endpoint else ""
                name = method + url.replace("/", "_").replace("?", "__")[:150]
                raw.joinpath(name + ".json").write_text(json.dumps(value, indent=1))
    if len(statuses) != 1:
        print(f"{endpoint}: statuses {sorted(statuses)}", file=sys.stderr)
    return {
        "status": min(statuses),
        "keys": {path: sorted(merged[path]) for path in sorted(merged)},
    }


def main():
    arguments = sys.argv[1:]
    raw = None
    if "--raw" in arguments:
        at = arguments.index("--raw")
        raw = pathlib.Path(arguments[at + 1])
        raw.mkdir(parents=True, exist_ok=True)
        del arguments[at : at + 2]
    merge = "--merge" in arguments
    arguments = [a for a in arguments if a != "--merge"]
    base = arguments[0].rstrip("/")
    here = pathlib.Path(__file__).parent
    out = pathlib.Path(arguments[1]) if len(arguments) > 1 else here / "flink-2.3-keys.json"
    places = Places(base)
    version = request(base + "/overview")[1]["flink-version"]
    result = {"flink": version, "T1": {}, "T2": {}, "ending": {}}
    for tier, endpoints in (("T1", T1), ("T2", T2), ("ending", ENDING)):
        for endpoint in endpoints:
            rounds = 1 if " " in endpoint else 3
            result[tier][endpoint] = recorded(places, endpoint, raw, rounds)
    if merge and out.exists():
        for tier, endpoints in json.loads(out.read_text()).items():
            for endpoint, known in endpoints.items() if isinstance(endpoints, dict) else ():
                keys = result[tier].setdefault(endpoint, known)["keys"]
                for path, kinds in known["keys"].items():
                    keys[path] = sorted(set(keys.get(path, [])) | set(kinds))
    out.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(f"{len(T1)} + {len(T2) + len(ENDING)} endpoints of Flink {result['flink']} in {out}")


if __name__ == "__main__":
    main()
