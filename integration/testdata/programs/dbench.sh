# needs: dbench
# heavy
# dbench does what the clients of a file server did, from several processes, and stops at an answer that is not the one they got.
work() {
  local seconds=3; [ -z "${SOAK:-}" ] || seconds=60
  # It takes a semaphore with the number 0, the first since the machine was started, for none.
  ipcrm -s "$(ipcmk -S 1 | tr -dc 0-9)"
  dbench -t $seconds -D . 4 > "$TEMP/dbench" 2>&1 || die "$(cat "$TEMP/dbench")"
  ! grep -iE 'fail|error' "$TEMP/dbench" || die "$(cat "$TEMP/dbench")"
  grep '^Throughput' "$TEMP/dbench"
  dbench -t $((seconds / 3)) -x -F -D . 2 > "$TEMP/dbench" 2>&1 || die "$(cat "$TEMP/dbench")"
  rm -rf clients
}
