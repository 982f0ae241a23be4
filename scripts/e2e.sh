#!/usr/bin/env bash
# Only the tests with real processes. Called by `make e2e`.
set -euo pipefail
cd "$(dirname "$0")/.."
export WEIR_STREAMCTL=$PWD/target/release/streamctl
export WEIR_TEST_VENV
WEIR_TEST_VENV=$(ls -d "${WEIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir}"/venv-"$(sha256sum scripts/requirements.txt | cut -c1-12)")
"${CARGO:-cargo}" test --release --workspace --test it -- "$@"
