# needs: stress-ng
# heavy
# stress-ng does odd things to files, and verifies what it can: all at once, and in the long form one after the other.
stress() {
  stress-ng "$@" --verify --temp-path . --hdd-bytes 16m --fallocate-bytes 16m --iomix-bytes 16m --sync-file-bytes 16m --copy-file-bytes 128m \
    --readahead-bytes 16m --revio-bytes 16m --seek-size 16m --sendfile-size 4m --mmap-file --mmap-bytes 8m \
    > "$TEMP/stress" 2>&1 || die "stress-ng $*: $(cat "$TEMP/stress")"
  ! grep -E 'fail:|error:' "$TEMP/stress" || die "stress-ng $*"
}

work() {
  local all="chmod dentry dir fallocate fpunch fstat getdent hdd inotify iomix link rename symlink sync-file touch utime xattr" one
  # shellcheck disable=SC2046 # they are words
  stress --timeout 3 $(printf -- '--%s 1 ' $all)
  [ -n "${SOAK:-}" ] || return 0
  local more="access chattr chdir chown copy-file dirdeep dirmany dnotify dup fcntl file-ioctl filename flock fsize handle inode-flags io ioprio lease locka lockf lockofd mknod open"
  local other="aio aiol madvise mmap msync readahead revio seek sendfile splice tee" admin="" # of other classes, which work on files all the same
  ! root || admin="chroot fanotify"
  for one in $all $more $other $admin; do
    stress --timeout 6 --$one 2
  done
  nothing ls -A
}
