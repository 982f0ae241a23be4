#!/usr/bin/env bash
# Runs examples/flights on the embedded cluster and shows what it found. Called by `make run`.
set -euo pipefail
streamctl=$1
out=${WEIR_FLIGHTS_OUT:-flights-out}
export WEIR_FLIGHTS_OUT=$out
rm -rf "$out"
"$streamctl" run examples/flights/job.yaml

show() { # title, folder, sort key (python expression), lines
  echo
  echo "$1"
  find "$out/$2" -name 'part-*' -type f -exec cat {} + | sort | head -"${3:-10}"
}
rows() { find "$out/$1" -name 'part-*' -type f -exec cat {} + | wc -l; }
echo
echo "Rows written: hourly $(rows hourly), delay-rate $(rows delay-rate), sessions $(rows sessions), worst-routes $(rows worst-routes)"
echo
echo 'The ten most delayed routes of 2013-03-08 (a snow storm):'
find "$out/worst-routes" -name 'part-*' -type f -exec cat {} + | grep '"window_start":"2013-03-08' | sort -t: -k8 | head -10
echo
echo 'The hours with the most departures:'
find "$out/hourly" -name 'part-*' -type f -exec cat {} + | sed -E 's/.*"departures":([0-9]+).*/\1 &/' | sort -rn | head -5 | cut -d' ' -f2-
echo
echo "All results are JSON lines below $out/."
