# wants: kopia
# long
# A kopia repository: two snapshots with changes between, its own checks, maintenance without waiting, restore.
export KOPIA_PASSWORD=walfs KOPIA_CHECK_FOR_UPDATES=false KOPIA_CONFIG_PATH=$TEMP/kopia.config KOPIA_CACHE_DIRECTORY=$TEMP/kopia.cache KOPIA_LOG_DIR=$TEMP/kopia.log
kopia() { command kopia "$@" > "$TEMP/said" 2>&1 || die "kopia $*: $(tail -20 "$TEMP/said")"; }

work() {
  tree "$TEMP/src"; rm "$TEMP/src/pipe" "$TEMP/src/odd"* # names that are not UTF-8 it changes itself
  kopia repository create filesystem --path "$PWD/repo"
  kopia snapshot create "$TEMP/src"
  echo more >> "$TEMP/src/a/f20"; rm "$TEMP/src/a/f21"; head -c 100000 /dev/urandom > "$TEMP/src/new"
  kopia snapshot create --tags which:second "$TEMP/src"
  verify
  kopia repository validate-provider --num-storage-connections 2
  kopia snapshot expire --delete "$TEMP/src"
  kopia maintenance run --full --safety none
  verify
  restored out
  diff -r --no-dereference --exclude=null "$TEMP/src" out
  mv out src
}

verify() {
  kopia snapshot verify --verify-files-percent 100
  kopia content verify --full
}

# restored gives back the second snapshot.
restored() {
  command kopia snapshot list --all --tags which:second --json > "$TEMP/list" 2> "$TEMP/said" || die "$(cat "$TEMP/said")"
  id=$(python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])' < "$TEMP/list")
  kopia snapshot restore "$id" "$1"
}

again() {
  kopia repository connect filesystem --path "$PWD/repo"
  verify
  restored "$TEMP/out"
  diff -r --no-dereference --exclude=null src "$TEMP/out"
}
