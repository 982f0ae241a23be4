# Sourced by the other scripts. In CI, where every run is a fresh clone, compiled
# dependencies are kept in a folder outside the clone when there is one: `target` becomes a
# link to it. Two things make that safe: every source of ours is touched, because cargo
# judges freshness by time and would otherwise hand over the last clone's binaries; and a
# lock keeps two clones from sharing the folder at once (the second builds in its own).
if [ "${CI:-}" = true ] && [ ! -e target ]; then
  weir_cache=${WEIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir}
  if mkdir -p "$weir_cache/target" 2>/dev/null && exec 9>"$weir_cache/target.lock" && flock -n 9; then
    ln -s "$weir_cache/target" target
    git ls-files -z -- crates tests proto Cargo.toml Cargo.lock | xargs -0 touch
  fi
fi
