# needs: python3
# Shared mappings: two processes on one, truncation below one, writes beside one.
work() {
  /usr/bin/python3 - <<'PYTHON'
import mmap, os, signal

PAGE = mmap.PAGESIZE

def expect(what, got, want):
    if got != want: raise SystemExit(f'{what}: got {got!r}, want {want!r}')

def child(body):
    pid = os.fork()
    if pid == 0:
        try: body()
        except BaseException as e: os.write(2, f'{e!r}\n'.encode()); os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]

def fill(name, size, byte=b'.'):
    with open(name, 'wb') as f: f.write(byte * size)

# Two processes store into one file through mappings of their own.
fill('two', 64 * PAGE)
fd = os.open('two', os.O_RDWR)
m = mmap.mmap(fd, 0)
def other():
    fd2 = os.open('two', os.O_RDWR)
    m2 = mmap.mmap(fd2, 0); os.close(fd2)
    for i in range(1, 64, 2): m2[i * PAGE] = ord('b')
    m2.flush(); m2.close()
for i in range(0, 64, 2): m[i * PAGE] = ord('a')
expect('the other process', child(other), 0)
expect('seen through the mapping', bytes(m[::PAGE]), b'ab' * 32)
os.close(fd)
with open('two', 'rb') as f: expect('read', f.read()[::PAGE], b'ab' * 32)
m[5] = ord('x'); m.close() # stored after close(2), and never synced

# write(2) and stores are one content, in both orders.
fill('mixed', 8 * PAGE)
fd = os.open('mixed', os.O_RDWR); m = mmap.mmap(fd, 0)
for i in range(200):
    at = (i * 37 % 8) * PAGE + i
    os.pwrite(fd, b'W', at); expect('a write seen through the mapping', m[at], ord('W'))
    m[at + 1] = ord('M'); expect('a store seen by read', os.pread(fd, 2, at), b'WM')
os.ftruncate(fd, 3 * PAGE + 100)
os.pwrite(fd, b'tail', 3 * PAGE + 100)
expect('behind the cut', bytes(m[3 * PAGE + 100:3 * PAGE + 105]), b'tail\0')
def beyond():
    m[6 * PAGE]
expect('a load behind the end', child(beyond), signal.SIGBUS | (0x80 if child(beyond) & 0x80 else 0))
os.ftruncate(fd, 8 * PAGE)
expect('zeros after cut and growth', bytes(m[4 * PAGE:]), bytes(4 * PAGE))
m[7 * PAGE] = ord('z'); m.flush(); os.fsync(fd); m.close(); os.close(fd)

# A private mapping changes nothing; a read-only handle maps.
fill('private', PAGE, b'p')
fd = os.open('private', os.O_RDONLY)
m = mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE); m[0] = 0; m.close()
m = mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ); expect('private', m[0], ord('p')); m.close()
os.close(fd)

# A mapping of a file that was opened with O_DIRECT, and holes below one.
fd = os.open('direct', os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o644); os.ftruncate(fd, 100 * PAGE)
m = mmap.mmap(fd, 0); m[50 * PAGE + 7] = 1; m.flush()
expect('a store into a hole', os.lseek(fd, 0, os.SEEK_DATA) <= 50 * PAGE, True)
os.posix_fallocate(fd, 0, 4 * PAGE); m[0] = 2; m.close(); os.close(fd)

# A mapping outlives its name, and a rename over it.
fill('old', PAGE, b'o'); fd = os.open('old', os.O_RDWR); m = mmap.mmap(fd, 0); os.close(fd)
fill('new', PAGE, b'n'); os.rename('new', 'old'); m[0] = ord('!'); m.flush(); m.close()
with open('old', 'rb') as f: expect('after a rename over it', f.read(1), b'n')
PYTHON
}

again() {
  /usr/bin/python3 - <<'PYTHON'
def at(name, offset):
    with open(name, 'rb') as f: f.seek(offset); return f.read(1)
want = {('two', 5): b'x', ('two', 63 * 4096): b'b', ('mixed', 7 * 4096): b'z', ('direct', 50 * 4096 + 7): b'\1', ('direct', 0): b'\2'}
for (name, offset), byte in want.items():
    if at(name, offset) != byte: raise SystemExit(f'{name} at {offset}: {at(name, offset)!r}, want {byte!r}')
PYTHON
}
