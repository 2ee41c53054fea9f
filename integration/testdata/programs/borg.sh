# needs: borg
# heavy
# A borg repository: two archives with changes between, prune, compact, extract.
export BORG_PASSPHRASE=walfs BORG_RELOCATED_REPO_ACCESS_IS_OK=yes BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes

work() {
  mkdir src; tree "$TEMP/src"
  borg init -e repokey repo
  (cd "$TEMP/src" && borg create "$OLDPWD/repo::one" .)
  cp -a "$TEMP/src" "$TEMP/first"
  echo more >> "$TEMP/src/a/f20"; rm "$TEMP/src/a/f21"; head -c 100000 /dev/urandom > "$TEMP/src/new"
  (cd "$TEMP/src" && borg create "$OLDPWD/repo::two" .)
  borg check --verify-data repo
  for archive in one two; do mkdir $archive; (cd $archive && borg extract ../repo::$archive); done
  diff -r --no-dereference --exclude=pipe --exclude=null "$TEMP/first" one
  diff -r --no-dereference --exclude=pipe --exclude=null "$TEMP/src" two
  borg prune --keep-last 1 repo; borg compact repo; borg check --verify-data repo
  rm -r one src
}

again() {
  borg check --verify-data repo
  mkdir "$TEMP/two"; repo=$PWD/repo; (cd "$TEMP/two" && borg extract "$repo::two")
  diff -r --no-dereference --exclude=pipe --exclude=null two "$TEMP/two"
}
