#!/usr/bin/env bash
# Every test, in the order in which they tell most for their time. Called by `make test`.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh test
. scripts/target-cache.sh
cargo=${CARGO:-cargo}
# One build for the binary and the tests: apart they differ in features that only tests turn
# on, and every crate of ours would be compiled twice.
if [ ! -e target/release/streamctl ]; then
  echo "building Weir: the first build compiles RocksDB and DataFusion and takes about half an hour on 2 cores" >&2
fi
"$cargo" build --release --workspace --bins --tests
export WEIR_STREAMCTL=$PWD/target/release/streamctl
export WEIR_TEST_VENV
WEIR_TEST_VENV=$(ls -d "${WEIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir}"/venv-"$(sha256sum scripts/requirements.txt | cut -c1-12)")

echo '== formatting' >&2
"$cargo" fmt --all --check
echo '== unit, contract and property tests, then real processes' >&2
"$cargo" test --release --workspace --no-fail-fast
echo '== the web UI in a real browser' >&2
scripts/ui.sh "$WEIR_STREAMCTL"
