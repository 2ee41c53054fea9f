# needs: python3 dd fallocate chattr find df
# System calls that programs make now and then.
work() {
  dd if=/dev/urandom of="$TEMP/data" bs=64k count=20 status=none
  dd if="$TEMP/data" of=direct bs=4096 oflag=direct iflag=direct status=none 2> /dev/null || dd if="$TEMP/data" of=direct bs=4096 oflag=direct status=none
  dd if=direct bs=4096 iflag=direct status=none | cmp - "$TEMP/data"
  dd if="$TEMP/data" of=dsync bs=256k oflag=dsync status=none; cmp dsync "$TEMP/data"
  fallocate -l 1M allocated; same size "$(stat -c %s allocated)" 1048576; fallocate -n -l 4M allocated; same "size kept" "$(stat -c %s allocated)" 1048576
  cp "$TEMP/data" punched; fallocate -p -o 65536 -l 131072 punched; fallocate -z -o 300000 -l 1000 punched
  cmp -n 65536 punched "$TEMP/data"; cmp -n 131072 -i 65536:0 punched /dev/zero; cmp -n 1000 -i 300000:0 punched /dev/zero; cmp -i 301000 punched "$TEMP/data"
  ! fallocate -c -o 0 -l 4096 punched 2> /dev/null || die "fallocate -c worked"
  ! fallocate -i -o 0 -l 4096 punched 2> /dev/null || die "fallocate -i worked"
  ! chattr +i punched 2> "$TEMP/said" || die "chattr +i worked"
  grep -q 'not supported\|Inappropriate ioctl\|Permission denied\|Operation not permitted\|Function not implemented' "$TEMP/said" || die "chattr: $(cat "$TEMP/said")"
  same "found by number" "$(find . -inum "$(stat -c %i punched)")" ./punched
  df -P . | awk 'NR == 2 && $2 > 0 && $4 > 0 && $4 <= $2 { ok = 1 } END { exit !ok }' || die "df: $(df -P .)"
  [ "$(stat -f -c '%l %s' .)" = "255 4096" ] || die "statfs: $(stat -f .)"
  /usr/bin/python3 - "$TEMP/data" <<'PYTHON'
import ctypes, errno, os, select, socket, struct, sys, threading

def expect(what, got, want):
    if got != want: raise SystemExit(f'{what}: got {got!r:.200}, want {want!r:.200}')

with open(sys.argv[1], 'rb') as f: data = f.read()
def read(name):
    with open(name, 'rb') as f: return f.read()

# sendfile and splice, out of the drive and into it
src = os.open('direct', os.O_RDONLY)
out = os.open('sent', os.O_RDWR | os.O_CREAT, 0o644)
sent = 0
while sent < len(data): sent += os.sendfile(out, src, sent, len(data) - sent)
expect('sendfile', read('sent'), data)
a, b = socket.socketpair()
got = bytearray()
def drain():
    while chunk := b.recv(65536): got.extend(chunk)
reader = threading.Thread(target=drain); reader.start()
sent = 0
while sent < len(data): sent += os.sendfile(a.fileno(), src, sent, len(data) - sent)
a.close(); reader.join(); expect('sendfile to a socket', bytes(got), data)
r, w = os.pipe(); spliced = os.open('spliced', os.O_RDWR | os.O_CREAT, 0o644)
off = 0
while off < len(data):
    n = os.splice(src, w, 65536, offset_src=off)
    m = 0
    while m < n: m += os.splice(r, spliced, n - m, offset_dst=off + m)
    off += n
expect('splice', read('spliced'), data)

# copy_file_range, within a file too
fd = os.open('ranged', os.O_RDWR | os.O_CREAT, 0o644)
off = 0
while off < len(data): off += os.copy_file_range(src, fd, len(data) - off, offset_src=off, offset_dst=off)
expect('copy_file_range', read('ranged'), data)
n = os.copy_file_range(fd, fd, 5000, offset_src=0, offset_dst=len(data)); expect('to its end', read('ranged'), data + data[:n])

# advice, vectors, short files and far offsets
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED); os.posix_fadvise(fd, 0, 100000, os.POSIX_FADV_WILLNEED); os.readv(fd, [bytearray(10), bytearray(5)])
os.pwritev(fd, [b'abc', b'def'], 3); expect('vectors', os.pread(fd, 6, 3), b'abcdef')
os.pwritev(fd, [b'sync'], 0, os.RWF_DSYNC); expect('RWF_DSYNC', os.pread(fd, 4, 0), b'sync')
far = os.open('far', os.O_RDWR | os.O_CREAT, 0o644); os.pwrite(far, b'end', 1 << 40); expect('far off', (os.fstat(far).st_size, os.pread(far, 3, 1 << 40), os.pread(far, 3, 1 << 39)), ((1 << 40) + 3, b'end', bytes(3)))
expect('data far off', os.lseek(far, 0, os.SEEK_DATA) > 1 << 39, True); os.unlink('far'); expect('unlinked', os.fstat(far).st_nlink, 0); os.close(far)

# O_TMPFILE that is given a name, and one that is not
libc = ctypes.CDLL(None, use_errno=True)
t = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600); os.write(t, b'named')
if libc.linkat(-100, f'/proc/self/fd/{t}'.encode(), -100, b'named', 0x400): raise OSError(ctypes.get_errno(), 'linkat')
os.write(t, b' later'); os.close(t); expect('O_TMPFILE', read('named'), b'named later')
os.close(os.open('.', os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600))

# inotify
watch = libc.inotify_init1(os.O_NONBLOCK); os.mkdir('watched')
if libc.inotify_add_watch(watch, b'watched', 0x3ca) < 0: raise OSError(ctypes.get_errno(), 'inotify_add_watch')
with open('watched/a', 'w') as f: f.write('x')
os.rename('watched/a', 'watched/b'); os.unlink('watched/b')
seen = 0
while select.select([watch], [], [], 0.2)[0]:
    for b in [os.read(watch, 65536)]:
        while b:
            _, mask, _, length = struct.unpack_from('iIII', b); seen |= mask; b = b[16 + length:]
expect('inotify', seen, 0x3ca) # written, closed, moved away, moved here, made, deleted

# names, links and times at the edge
for bad, want in (('x' * 256, errno.ENAMETOOLONG), ('missing/x', errno.ENOENT), ('named/x', errno.ENOTDIR)):
    try: os.open(bad, os.O_CREAT | os.O_WRONLY); raise SystemExit(f'{bad} was made')
    except OSError as e: expect(bad[:20], e.errno, want)
s = socket.socket(socket.AF_UNIX); s.bind('socket'); s.listen(); c = socket.socket(socket.AF_UNIX); c.connect('socket'); c.close(); s.close(); os.unlink('socket')
os.utime('named', ns=(1, 2)); st = os.stat('named'); expect('times', (st.st_atime_ns, st.st_mtime_ns), (1, 2))
d = os.open('.', os.O_RDONLY); os.fsync(d); libc.syncfs(d); os.sync(); os.close(d)
PYTHON
}
