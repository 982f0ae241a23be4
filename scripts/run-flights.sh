#!/usr/bin/env bash
# Runs examples/flights on the embedded cluster and shows what it found; on a terminal it then
# replays the year at a pace that can be watched in the web UI. Called by `make run`.
set -euo pipefail
cd "$(dirname "$0")/.."
streamctl=$1
out=${WEIR_FLIGHTS_OUT:-flights-out}
export WEIR_FLIGHTS_OUT=$out
rm -rf "$out"
"$streamctl" run examples/flights/job.yaml

# `sed -n 1,5p` and not `head`: head would end the pipe early and fail the command before it.
lines() { find "$out/$1" -name 'part-*' -type f -exec cat {} +; }
echo
echo "Rows written: hourly $(lines hourly | wc -l), delay-rate $(lines delay-rate | wc -l), sessions $(lines sessions | wc -l), worst-routes $(lines worst-routes | wc -l)"
echo
echo 'The ten most delayed routes of 2013-03-08, a day of snow:'
lines worst-routes | grep '"window_start":"2013-03-08' | sed -E 's/.*"rank":([0-9]+).*/\1 &/' | sort -n | cut -d' ' -f2- | sed -n 1,10p
echo
echo 'The hours with the most departures:'
lines hourly | sed -E 's/.*"departures":([0-9]+).*/\1 &/' | sort -rn | cut -d' ' -f2- | sed -n 1,5p
echo
echo "All results are JSON lines below $out/."

# Scripts and CI have what they came for.
if [ ! -t 1 ] || [ -n "${CI:-}" ]; then exit 0; fi
cat <<END

Now the same year again for people to watch, about a day each second: six minutes, results below $out/live/.
When you have seen enough of it, find out what is wrong with the two jobs at Submit > Examples > Trouble.
END
# The file is one split, which one of the two subtasks reads with its half of the rate.
export WEIR_FLIGHTS_OUT=$out/live WEIR_FLIGHTS_RATE=2000
exec "$streamctl" run --stay examples/flights/job.yaml
