#!/usr/bin/env bash
# Every test, in the order in which they tell most for their time. Called by `make test`.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh test
scripts/build.sh
. scripts/target-cache.sh
cargo=${CARGO:-cargo}
export WEIR_STREAMCTL=$PWD/target/release/streamctl
export WEIR_TEST_VENV
WEIR_TEST_VENV=$(ls -d "${WEIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir}"/venv-"$(sha256sum scripts/requirements.txt | cut -c1-12)")

echo '== formatting' >&2
"$cargo" fmt --all --check
echo '== unit, contract and property tests, then real processes' >&2
"$cargo" test --release --workspace --no-fail-fast
