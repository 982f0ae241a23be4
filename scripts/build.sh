#!/usr/bin/env bash
# Builds streamctl, telling how long a first build takes. Called by the Makefile.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/target-cache.sh
if [ ! -e target/release/streamctl ]; then
  echo "building Weir: the first build compiles RocksDB and DataFusion and takes about half an hour on 2 cores; later ones a few minutes at most" >&2
fi
"${CARGO:-cargo}" build --release --workspace
