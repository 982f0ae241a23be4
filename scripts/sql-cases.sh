#!/usr/bin/env bash
# The cases of tests/sql, four ways each, and random queries, against DuckDB. Called by
# `make sql-cases`; WEIR_SLT=file.slt:word picks cases. Not part of `make test` while it takes
# more than minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh test
WEIR_TEST_VENV=$(ls -d "${WEIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir}"/venv-"$(sha256sum scripts/requirements.txt | cut -c1-12)")
export WEIR_TEST_VENV
exec "${CARGO:-cargo}" test --release -p tests --test sql
