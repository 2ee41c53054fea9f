# needs: python3 flock
# Locks, leases and appends of several processes.
work() {
  flock -n lock sh -c '! flock -n lock true' || die "flock: two had it"
  flock -s lock flock -s -n lock true || die "flock: shared"
  /usr/bin/python3 - <<'PYTHON'
import errno, fcntl, os, struct, time

def expect(what, got, want):
    if got != want: raise SystemExit(f'{what}: got {got!r}, want {want!r}')

def in_child(body):
    pid = os.fork()
    if pid == 0:
        try: os._exit(0 if body() else 1)
        except BaseException as e: os.write(2, f'{e!r}\n'.encode()); os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

F_OFD_SETLK, F_GETLK = 37, 5
def lock(kind, command=None, start=0, length=0):
    return struct.pack('hhqqi4x', kind, os.SEEK_SET, start, length, 0)

def tries(command, kind, start, length):
    def body():
        fd = os.open('ranges', os.O_RDWR)
        try: fcntl.fcntl(fd, command, lock(kind, start=start, length=length)); return True
        except OSError as e:
            if e.errno in (errno.EAGAIN, errno.EACCES): return False
            raise
    return in_child(body) == 0

fd = os.open('ranges', os.O_RDWR | os.O_CREAT, 0o644)
os.write(fd, bytes(100))
for command in fcntl.F_SETLK, F_OFD_SETLK:
    fcntl.fcntl(fd, command, lock(fcntl.F_WRLCK, start=10, length=10))
    expect('an overlapping range', tries(command, fcntl.F_WRLCK, 15, 10), False)
    expect('a range beside it', tries(command, fcntl.F_WRLCK, 20, 10), True)
    expect('a read lock on it', tries(command, fcntl.F_RDLCK, 10, 1), False)
    fcntl.fcntl(fd, command, lock(fcntl.F_UNLCK, start=10, length=10))
    expect('after the unlock', tries(command, fcntl.F_WRLCK, 10, 10), True)
# A blocked locker gets the lock when the holder is gone.
r, w = os.pipe()
holder = os.fork()
if holder == 0:
    fcntl.lockf(os.open('ranges', os.O_RDWR), fcntl.LOCK_EX); os.write(w, b'x'); time.sleep(0.2); os._exit(0)
os.read(r, 1)
fcntl.lockf(fd, fcntl.LOCK_EX); os.waitpid(holder, 0)
fcntl.lockf(fd, fcntl.LOCK_UN)

# A lease is given or refused, and does no harm either way.
try:
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK); fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
except OSError as e:
    if e.errno not in (errno.EAGAIN, errno.EINVAL, errno.EACCES): raise

# Appends of many processes are all there, and whole.
writers, lines = 6, 200
pids = []
for i in range(writers):
    pid = os.fork()
    if pid == 0:
        a = os.open('appended', os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for k in range(lines): os.write(a, f'{i} {k} {"x" * (k % 90)}\n'.encode())
        os._exit(0)
    pids.append(pid)
for pid in pids: expect('an appender', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
seen = {}
with open('appended') as f:
    for line in f:
        i, k, pad = (line.rstrip('\n') + ' ').split(' ')[:3]
        expect('an appended line', (seen.get(i, -1) + 1, len(pad)), (int(k), int(k) % 90)); seen[i] = int(k)
expect('appended lines', seen, {str(i): lines - 1 for i in range(writers)})
PYTHON
}
