# needs: bonnie++
# long
# bonnie++ writes, reads and rewrites a large file, and makes and removes many small ones.
work() { bonnie++ -d . -r 64 -s 256m -n 2:20000:0:8 -f -q -m drive -u "$(id -u)" > "$TEMP/bonnie" 2>&1 || die "$(cat "$TEMP/bonnie")"; nothing ls -A; }
