# What the scripts of TestPrograms share. They run with bash in a folder on the drive; $TEMP is a folder on a plain disk.
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1

again() { :; }

# die says why, and fails.
die() { echo "$*" >&2; exit 1; }

# same fails unless two texts are equal.
same() { [ "$2" = "$3" ] || die "$1: got <$2>, want <$3>"; }

root() { [ "$(id -u)" = 0 ]; }

# nothing fails when a command prints anything.
nothing() { local out; out=$("$@"); [ -z "$out" ] || die "$* printed: $out"; }

# tree makes all kinds of files below a folder on the plain disk.
tree() {
  mkdir -p "$1/a/b/c" "$1/empty" "$1/set-gid"
  for i in $(seq 40); do head -c $((i * 997)) /dev/urandom > "$1/a/f$i"; done
  ln "$1/a/f1" "$1/a/b/hard"; ln "$1/a/f1" "$1/hard too"
  ln -s ../f2 "$1/a/b/link"; ln -s /nowhere/at/all "$1/dangling"
  mkfifo "$1/pipe"
  : > "$1/a/nothing"; : > "$1"/$'odd \xff\xfe\n name'
  truncate -s 3M "$1/sparse"; echo island | dd of="$1/sparse" bs=1 seek=1500000 conv=notrunc status=none
  chmod 2750 "$1/set-gid"; chmod 400 "$1/a/f3"; chmod 4711 "$1/a/f4"; chmod 500 "$1/empty"
  touch -d '1969-12-31 23:59:58.123456789 UTC' "$1/a/f5"; touch -d '2100-01-02 03:04:05.987654321 UTC' "$1/a/f6"
  touch -h -d '2001-02-03 04:05:06.7 UTC' "$1/dangling"
  if root; then
    chown 1234:5678 "$1/a/f7"; chown -h 4321:8765 "$1/a/b/link"; mknod "$1/null" c 1 3
  fi
  attributes "$1" || true # the plain disk may know of none
  touch -d '2010-01-01 UTC' "$1/a" "$1"
}

attributes() {
  setfattr -n user.name -v value "$1/a/f8" && setfattr -n user.empty "$1/a" &&
    setfacl -m u:1234:rw,g:5678:r "$1/a/f9" && setfacl -d -m u:1234:rwx "$1/a/b" && setfacl -m u:1234:x "$1/a/b"
}

# facts lists what is below a folder: kinds, modes, owners, times, links, sizes, attributes, contents.
facts() (
  cd "$1"
  find . ! -type d -printf '%P|%y|%m|%U:%G|%T@|%n|%s|%l\n' | sort
  find . -type d -printf '%P|%y|%m|%U:%G|%T@\n' | sort
  find . -type f -exec sha256sum {} + | sort
  getfattr -Rh -d -m '^(user|system|trusted)\.' . 2> /dev/null | awk -v RS= '{ print }' | sort
)

# alike fails unless two folders hold the same.
alike() { diff <(facts "$1") <(facts "$2") || die "$1 and $2 differ"; }
