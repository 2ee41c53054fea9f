# needs: gio
# Trash folders of file managers, hidden files and thumbnails.
work() {
  trash=$DRIVE/.Trash-$(id -u)
  mkdir -p thing/inside; echo kept > thing/inside/file; echo two > second
  # As freedesktop.org says: the info file first, made exclusively, then the rename.
  mkdir -m 700 "$trash" "$trash/files" "$trash/info"
  (set -C; printf '[Trash Info]\nPath=trash/thing\nDeletionDate=2026-01-02T03:04:05\n' > "$trash/info/thing.trashinfo")
  ! (set -C; : > "$trash/info/thing.trashinfo") 2> /dev/null || die "an info file was made twice"
  inode=$(stat -c %i thing); mv thing "$trash/files/thing"
  same "inode in the trash" "$(stat -c %i "$trash/files/thing")" "$inode"
  mv "$trash/files/thing" restored; rm "$trash/info/thing.trashinfo"
  same "back from the trash" "$(cat restored/inside/file)" kept
  # A shared .Trash with the sticky bit, which is looked at first.
  mkdir -m 1777 "$DRIVE/.Trash"; mkdir -m 700 "$DRIVE/.Trash/$(id -u)"; rm -r "$DRIVE/.Trash"
  if gio trash second 2> "$TEMP/said"; then
    same "gio trash" "$(cat "$trash/files/second")" two; grep -q 'Path=trash/second' "$trash/info/second.trashinfo"
  else
    grep -qi 'not supported\|unable to find or create trash\|internal mounts' "$TEMP/said" || die "gio: $(cat "$TEMP/said")"
    [ -e second ] || die "gio lost a file"
  fi
  echo "gio: $(cat "$TEMP/said")"
  rm -rf "$trash/files/"* "$trash/info/"*
  printf 'restored\n' > .hidden; printf '[Desktop Entry]\nIcon=folder\n' > .directory; mkdir -p .sh_thumbnails/normal .thumbnails
  head -c 3000 /dev/urandom > .sh_thumbnails/normal/x.png; : > .DS_Store; : > ._thing; : > Thumbs.db
  gio info second > /dev/null 2>&1 || [ ! -e second ]; gio set restored metadata::custom-icon-name folder 2> /dev/null || true
}
