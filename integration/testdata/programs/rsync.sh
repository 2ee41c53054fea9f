# needs: rsync setfacl setfattr
# rsync with everything it keeps, twice, and back; the second run has nothing to do.
flags=(-aHAX --numeric-ids --modify-window=-1) # else times of one second count as equal

work() {
  tree "$TEMP/src"
  rsync "${flags[@]}" "$TEMP/src/" copy/
  alike "$TEMP/src" copy
  nothing rsync "${flags[@]}" --itemize-changes "$TEMP/src/" copy/
  rsync "${flags[@]}" -S "$TEMP/src/" sparse/
  alike "$TEMP/src" sparse
  nothing rsync "${flags[@]}" -S --checksum --itemize-changes "$TEMP/src/" sparse/

  echo more >> "$TEMP/src/a/f10"; rm "$TEMP/src/a/f11"; chmod 700 "$TEMP/src/a/f12"
  setfacl -m u:77:r "$TEMP/src/a/f9" || true
  rsync "${flags[@]}" --inplace --no-whole-file --delete "$TEMP/src/" copy/
  alike "$TEMP/src" copy
  nothing rsync "${flags[@]}" --inplace --delete --itemize-changes "$TEMP/src/" copy/
  rsync "${flags[@]}" --append-verify --delete-after "$TEMP/src/" sparse/
  alike "$TEMP/src" sparse

  rsync "${flags[@]}" copy/ "$TEMP/back/"
  alike "$TEMP/src" "$TEMP/back"
  nothing rsync "${flags[@]}" --itemize-changes copy/ "$TEMP/back/"
  rsync "${flags[@]}" --link-dest="$PWD/copy" "$TEMP/src/" linked/
  same "links of a file" "$(stat -c %h linked/a/f10)" 2
  rm -r linked
}

again() {
  rsync "${flags[@]}" copy/ "$TEMP/back/"
  alike copy "$TEMP/back"
  nothing rsync "${flags[@]}" --checksum --itemize-changes copy/ "$TEMP/back/"
}
