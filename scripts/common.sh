# Sourced by the other scripts: the repository's root, the caches, and how steps are shown.
# shellcheck shell=bash
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/cloister"
TOOLS_DIR="${CLOISTER_TOOLS_DIR:-$CACHE/tools}"
# One target folder for every clone and every command: RocksDB's C++ is compiled once.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$CACHE/target}"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"

say() { printf '%s\n' "$*"; }
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
seconds_since() { echo $(($(date +%s) - $1)); }

# What scripts/setup found in unusual places, such as libclang.
if [ -f "$ROOT/.tools/environment" ]; then
  # shellcheck disable=SC1091
  . "$ROOT/.tools/environment"
fi

digest() { cat "$@" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -c1-16; }

# True when the C++ of RocksDB is already in the target folder.
rocksdb_is_built() { compgen -G "$CARGO_TARGET_DIR/release/build/librocksdb-sys-*/out/librocksdb.a" >/dev/null; }

# Runs a long build and says once in a while how far RocksDB is: cargo itself shows one line for all of it.
with_progress() {
  local watcher="" headers="$CARGO_TARGET_DIR/rocksdb-headers" path="$PATH"
  if ! rocksdb_is_built; then
    say "    RocksDB is compiled from C++ now, once: 10 to 20 minutes on two cores. It stays in $CARGO_TARGET_DIR"
    # Without it, it takes longer; nothing else changes.
    scripts/precompile "$headers" || true
    path="$headers:$PATH"
    (
      while sleep 30; do
        objects=$(find "$CARGO_TARGET_DIR/release/build" -path '*librocksdb-sys-*/out/*' -name '*.o' 2>/dev/null | wc -l)
        [ "$objects" -eq 0 ] || printf '    … RocksDB: %s of about 360 files compiled\n' "$objects"
      done
    ) &
    watcher=$!
  fi
  local status=0
  PATH="$path" "$@" || status=$?
  if [ -n "$watcher" ]; then
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    rm -rf "$headers"
  fi
  return "$status"
}
