#!/usr/bin/env bash
# A drive from nothing to reading with three of ten nodes down, and away again: demo.sh WALFS
# Everything lies in one temporary folder, which goes at the end, however that comes.
set -euo pipefail

walfs=$(realpath "${1:?usage: demo.sh WALFS}")
source=${SOURCE:-$(go env GOROOT)/src}
place=$(mktemp -d "${TMPDIR:-/tmp}/walfs-demo.XXXXXX")
export WALFS_HOME=$place/home
drive=$place/drive

clean_up() {
  status=$?
  trap - EXIT INT TERM
  "$walfs" -q umount --lazy "$drive" >/dev/null 2>&1 || true
  rm -rf --one-file-system "$place"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n== %s\n' "$*"; }

# show prints a command as it would be typed.
show() {
  if [ "$1" = "$walfs" ]; then set -- walfs "${@:2}"; fi
  printf '$ %s\n' "$*"
}

# run shows a command and does it.
run() {
  show "$@"
  "$@"
}

# took runs a command and says how long that took.
took() {
  local start=$EPOCHREALTIME
  run "$@"
  awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "  (%.1f s)\n", b - a }'
}

say "A drive, where there was none"
run "$walfs" mount --background "$drive"

say "Copy the Go source tree into it: $(find "$source"/ -type f | wc -l) files, $(du -shL "$source" | cut -f1)"
took cp -r "$source/." "$drive/src"

say "Wait until all of it is certified: sealed, encoded, on the nodes, signed for, and on the ledger"
took "$walfs" sync
run "$walfs" status

say "Three of the ten nodes go down"
run "$walfs" node stop node-01 node-04 node-07

say "Nothing stays on this side: no cached slivers, no clean copies, nothing in the kernel's memory"
run "$walfs" umount
show "$walfs" mount --background "$drive"
"$walfs" mount --background "$drive" >/dev/null
run "$walfs" cache clear
run "$walfs" node list

say "Read every byte back from the seven nodes that are left, and compare"
took diff -r --no-dereference "$source/" "$drive/src"
echo "  no difference"

say "A file in it"
run "$walfs" stat "$(find "$drive/src" -type f -name '*.go' | sort | head -n 1)"

say "Unmount, and remove everything"
run "$walfs" umount "$drive"
echo
echo "All of it came back. To keep a drive of your own: make mount"
