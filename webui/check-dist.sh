#!/usr/bin/env bash
# Builds the web UI from its sources and holds `dist/`, which is committed, equal to it.
# `check-dist.sh --write` replaces dist/ instead. Called by scripts/ui.sh.
set -euo pipefail
cd "$(dirname "$0")"

if [ ! -e node_modules/.ready ] || [ package-lock.json -nt node_modules/.ready ]; then
  # Not `npm ci`: it refuses the lock where the registry lacks packages of other platforms. This
  # takes the same versions and leaves the lock as it is.
  npm install --no-save --no-audit --no-fund --loglevel=error >&2
  touch node_modules/.ready
fi
if grep -q '"resolved"' package-lock.json; then
  echo 'webui: package-lock.json names a registry; run npm with --omit-lockfile-registry-resolved' >&2
  exit 1
fi

built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
npx --no-install tsc --noEmit
npx --no-install vite build --outDir "$built/dist" --emptyOutDir --logLevel warn

if [ "${1:-}" = --write ]; then
  rm -rf dist
  cp -R "$built/dist" dist
elif ! diff -rq dist "$built/dist" >&2; then
  echo 'webui: dist/ is not what the sources build; run webui/check-dist.sh --write' >&2
  exit 1
fi
bytes=$(find dist -type f -printf '%s\n' | awk '{ n += $1 } END { print n }')
if [ "$bytes" -ge 1500000 ]; then
  echo "webui: dist/ is $bytes bytes; at most 1500000" >&2
  exit 1
fi
