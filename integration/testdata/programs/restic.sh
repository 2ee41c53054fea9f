# needs: restic
# heavy
# A restic repository: two backups with changes between, forget, prune, restore.
export RESTIC_PASSWORD=walfs
restic() { command restic --no-cache -q -r repo "$@"; }

work() {
  tree "$TEMP/src"; rm "$TEMP/src/pipe"
  restic init
  restic backup "$TEMP/src"
  echo more >> "$TEMP/src/a/f20"; rm "$TEMP/src/a/f21"; head -c 100000 /dev/urandom > "$TEMP/src/new"
  restic backup "$TEMP/src"
  restic forget --keep-last 1 --prune
  restic check --read-data
  restic restore latest --target out; diff -r --no-dereference --exclude=null "$TEMP/src" "out$TEMP/src"
  mv "out$TEMP/src" src; rm -r out
}

again() {
  restic check --read-data
  restic restore latest --target "$TEMP/out"
  out=$(find "$TEMP/out" -type d -name src); diff -r --no-dereference --exclude=null src "$out"
}
