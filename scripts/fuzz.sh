#!/usr/bin/env bash
# Fuzzes the SQL planner and the job file parser, each for FUZZ_SECONDS (60), with libFuzzer on
# the stable toolchain: FUZZ_TARGETS names the targets, FUZZ_PROFILE the cargo profile. Called by
# `make fuzz`. What it finds stays in target/fuzz/found; what it learned in target/fuzz/corpus.
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
profile=${FUZZ_PROFILE:-release}
out=${FUZZ_DIR:-target/fuzz}
# Counters at every edge and the operands of comparisons, which steer libFuzzer.
cover="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
# With --target, build scripts and macros stay as they are.
RUSTFLAGS="${RUSTFLAGS:-} $cover" "${CARGO:-cargo}" build --manifest-path fuzz/Cargo.toml \
  --target-dir "$out/build" --target "$host" --profile "$profile" --bins
case $profile in dev) folder=debug ;; *) folder=$profile ;; esac
for target in ${FUZZ_TARGETS:-sql_statement job_yaml}; do
  mkdir -p "$out/corpus/$target" "$out/found/$target"
  python3 fuzz/seeds.py "$target" "$out/corpus/$target" "$out/$target.dict"
  echo "== $target, ${FUZZ_SECONDS:-60} s" >&2
  "$out/build/$host/$folder/$target" "$out/corpus/$target" -dict="$out/$target.dict" \
    -max_total_time="${FUZZ_SECONDS:-60}" -max_len=2000 -timeout=20 -rss_limit_mb=4096 \
    -artifact_prefix="$out/found/$target/" -print_final_stats=1
done
