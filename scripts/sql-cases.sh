#!/usr/bin/env bash
# The cases of tests/sql, four ways each, and thousands of random queries, against DuckDB. Called
# by `make sql-cases`; WEIR_SLT=file.slt:word picks cases, WEIR_SQL_RANDOM says how many queries,
# WEIR_SQL_SEED which. `make test` runs the same cases, and fewer queries.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh test
WEIR_TEST_VENV=$(ls -d "${WEIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir}"/venv-"$(sha256sum scripts/requirements.txt | cut -c1-12)")
export WEIR_TEST_VENV
export WEIR_SQL_RANDOM=${WEIR_SQL_RANDOM:-3000}
exec "${CARGO:-cargo}" test --release -p tests --test sql
