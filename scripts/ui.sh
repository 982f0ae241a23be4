#!/usr/bin/env bash
# Tests of the web UI in a real Chromium: against a live cluster and against the fixture. Called
# by scripts/test.sh and `make ui` with the path of streamctl; `UI=fixture` runs only what needs no
# cluster. Needs Node 20 or newer, npm and Debian's chromium (scripts/setup.sh test installs them).
# `SCREENSHOTS=FOLDER` keeps pictures.
set -euo pipefail
cd "$(dirname "$0")/.."
export STREAMCTL=${1:-${STREAMCTL:-$PWD/target/release/streamctl}}
export CHROMIUM=${CHROMIUM:-/usr/bin/chromium}
# Where setup.sh puts Node when the machine has none that will do: with its own npm, and as new.
will_do() { command -v npm && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; }
own=${WEIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir}/venv-$(sha256sum scripts/requirements.txt | cut -c1-12)/bin
if ! will_do >/dev/null 2>&1 && [ -x "$own/npm" ]; then PATH=$own:$PATH; fi

for tool in node npm "$CHROMIUM"; do
  if ! command -v "$tool" >/dev/null; then
    printf 'ui: %s is missing: scripts/setup.sh test installs it\n' "$tool" >&2
    exit 1
  fi
done

webui/check-dist.sh

tests=(tests/ui/fixture.test.mjs)
if [ "${UI:-all}" = all ]; then tests=(tests/ui/live.test.mjs "${tests[@]}"); fi
# One after the other: a machine with two processors has no room for two browsers and a cluster.
node --test --test-concurrency=1 --test-reporter=spec "${tests[@]}"
