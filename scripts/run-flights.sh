#!/usr/bin/env bash
# Runs examples/flights on the embedded cluster and shows what it found. Called by `make run`.
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
