# needs: python3
# What kernels' suites for file systems try beyond single calls: memory of a file as the buffer of a call on that file, times
# of what is stored through mappings, limits of the process, programs that run. All answers are those of the plain disk.
work() {
  local where
  for where in "$TEMP" "$PWD"; do
    mkdir -p "$where/generic"
    (cd "$where/generic" && timeout 300 /usr/bin/python3 - > "$TEMP/answers${where//\//-}" <<'PYTHON'
import ctypes, errno, fcntl, mmap, os, resource, shutil, signal, subprocess, threading, time

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)

def say(what, *values): print(what, *values, flush=True)

def tried(what, call, *args, **named):
    try: say(what, call(*args, **named))
    except OSError as e: say(what, errno.errorcode[e.errno])

def fill(name, size, byte=b'.'):
    with open(name, 'wb') as f: f.write(byte * size)

def read(name):
    with open(name, 'rb') as f: return f.read()

def same(what, got, want):
    say(what, 'right' if got == want else f'{len(got)} bytes, wrong from {next((i for i in range(min(len(got), len(want))) if got[i] != want[i]), "the end")} on')

def call(name, *args):
    n = getattr(libc, name)(*args)
    if n < 0: raise OSError(ctypes.get_errno(), name)
    return n
libc.pwrite.argtypes = libc.pread.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
libc.pwrite.restype = libc.pread.restype = ctypes.c_long

# A mapping of a file, not in memory yet, as the buffer of a read or a write of the same file.
for flags in (0, os.O_DIRECT):
    data = os.urandom(8 * PAGE)
    with open('self', 'wb') as f: f.write(data)
    fd = os.open('self', os.O_RDWR | flags)
    m = mmap.mmap(fd, 8 * PAGE)
    at = ctypes.addressof(ctypes.c_char.from_buffer(m))
    say('write of itself', call('pwrite', fd, at, 4 * PAGE, 4 * PAGE))
    same('written', read('self'), data[:4 * PAGE] * 2)
    say('write of the same place', call('pwrite', fd, at + PAGE, PAGE, PAGE))
    say('read into itself', call('pread', fd, at + 2 * PAGE, 2 * PAGE, 0))
    os.fsync(fd)
    same('read', read('self'), data[:2 * PAGE] * 2 + data[:4 * PAGE])
    os.close(fd)

# What is stored through a mapping gives the file a new time, once it is synced at the latest.
for how in ('msync', 'close'):
    fill('times', PAGE)
    os.utime('times', (1e9, 1e9))
    before = os.stat('times')
    time.sleep(0.02) # the clock of file systems may tick
    fd = os.open('times', os.O_RDWR)
    m = mmap.mmap(fd, PAGE)
    m[7] = 1
    if how == 'msync': m.flush()
    m.close(); os.fsync(fd); os.close(fd)
    after = os.stat('times')
    say('times after', how, after.st_mtime_ns > before.st_mtime_ns, after.st_ctime_ns > before.st_ctime_ns)
    fd = os.open('times', os.O_RDONLY)
    m = mmap.mmap(fd, PAGE, prot=mmap.PROT_READ); m[0]; m.close(); os.close(fd)
    say('and after a look', os.stat('times').st_mtime_ns == after.st_mtime_ns, os.stat('times').st_ctime_ns == after.st_ctime_ns)

# One thread stores into the page that another one's appends go on from.
fd = os.open('grows', os.O_RDWR | os.O_CREAT)
os.write(fd, b'0' * 100)
m = mmap.mmap(fd, 100)
def store():
    for i in range(2000): m[i % 100] = ord('0') + i // 1000
storing = threading.Thread(target=store); storing.start()
for i in range(300): os.write(fd, bytes([65 + i % 26]) * 37)
storing.join(); m.flush(); os.close(fd)
same('stored and appended', read('grows'), b'1' * 100 + b''.join(bytes([65 + i % 26]) * 37 for i in range(300)))

# Two handles, one past the page cache, write neighbouring pages, while a third reads.
fill('mixed', 64 * PAGE)
pages = mmap.mmap(-1, PAGE)
direct, plain = os.open('mixed', os.O_RDWR | os.O_DIRECT), os.open('mixed', os.O_RDWR)
def around():
    for i in range(0, 64, 2):
        pages[:] = b'd' * PAGE
        libc.pwrite(direct, ctypes.addressof(ctypes.c_char.from_buffer(pages)), PAGE, i * PAGE)
going = threading.Thread(target=around); going.start()
for i in range(1, 64, 2):
    os.pwrite(plain, b'p' * PAGE, i * PAGE); os.pread(plain, 3 * PAGE, (i - 1) * PAGE)
going.join(); os.close(direct); os.close(plain)
same('direct and not', read('mixed'), (b'd' * PAGE + b'p' * PAGE) * 32)

# A mapping that was read shows what is cut and punched away, and what two names that change places lead to.
fill('hole', 8 * PAGE, b'h')
fd = os.open('hole', os.O_RDWR)
m = mmap.mmap(fd, 8 * PAGE); sum(m[::PAGE])
say('punch', libc.fallocate(fd, 3, ctypes.c_long(2 * PAGE), ctypes.c_long(2 * PAGE)))
same('punched', m[:], b'h' * 2 * PAGE + bytes(2 * PAGE) + b'h' * 4 * PAGE)
os.ftruncate(fd, 5 * PAGE + 10); os.ftruncate(fd, 8 * PAGE)
same('cut and grown', m[4 * PAGE:], b'h' * (PAGE + 10) + bytes(3 * PAGE - 10))
fill('other', 8 * PAGE, b'o')
say('exchange', libc.renameat2(-100, b'hole', -100, b'other', 2))
same('a mapping keeps to its file', m[:2 * PAGE], b'h' * 2 * PAGE)
same('a name does not', read('hole'), b'o' * 8 * PAGE)
m.close(); os.close(fd)

# Limits of the process.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
fd = os.open('limit', os.O_RDWR | os.O_CREAT)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (3 * PAGE + 5, hard))
tried('up to the limit', os.pwrite, fd, b'l' * 2 * PAGE, 0)
tried('over the limit', os.pwrite, fd, b'l' * 2 * PAGE, 2 * PAGE)
tried('behind the limit', os.pwrite, fd, b'l', 3 * PAGE + 5)
tried('longer than the limit', os.ftruncate, fd, 4 * PAGE)
tried('room behind the limit', os.posix_fallocate, fd, 0, 4 * PAGE)
tried('a hole behind the limit', os.pwrite, fd, b'l', 10 * PAGE)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
say('size', os.fstat(fd).st_size)
tried('beyond all', os.pwrite, fd, b'x', (1 << 63) - 1)
os.close(fd)

# Ranges that no copy is made of.
fill('from', 3 * PAGE, b'f'); os.mkfifo('pipe')
src, dst = os.open('from', os.O_RDWR), os.open('to', os.O_RDWR | os.O_CREAT)
pipe, folder = os.open('pipe', os.O_RDWR), os.open('.', os.O_RDONLY)
for what, a, b, n, i, o in (('nothing', src, dst, 0, 0, 0), ('all and more', src, dst, 1 << 40, 0, 0), ('from behind the end', src, dst, 10, 9 * PAGE, 0),
        ('over itself', src, src, 2 * PAGE, 0, PAGE), ('beside itself', src, src, PAGE, 0, PAGE), ('behind the end of itself', src, src, PAGE, 0, 5 * PAGE), ('of a pipe', pipe, dst, 10, None, None),
        ('to a pipe', src, pipe, 10, None, None), ('to a folder', src, folder, 10, None, None)):
    tried('copy ' + what, os.copy_file_range, a, b, n, i, o)
say('copied', os.fstat(dst).st_size, os.fstat(src).st_size)
for fd in (src, dst, pipe, folder): os.close(fd)

# A program that runs is not written; once it has ended it is.
shutil.copy('/bin/sleep', 'program')
runs = subprocess.Popen(['./program', '300'])
while os.stat(f'/proc/{runs.pid}/exe').st_ino != os.stat('program').st_ino: time.sleep(0.01)
tried('a program that runs, opened to write', os.open, 'program', os.O_WRONLY)
tried('cut', os.truncate, 'program', 0)
tried('renamed', os.rename, 'program', 'program2')
tried('deleted', os.unlink, 'program2')
say('runs', runs.poll()); runs.kill(); runs.wait()
shutil.copy('/bin/true', 'program')
fd = os.open('program', os.O_WRONLY)
tried('a program that is written', lambda: subprocess.call(['./program']))
os.close(fd)
say('and is not any more', subprocess.call(['./program']))

# A folder is read to its end although each name of it changes while it is read.
os.mkdir('names')
for i in range(800): os.close(os.open(f'names/{i}', os.O_CREAT))
seen = 0
with os.scandir('names') as names:
    for e in names:
        seen += 1
        os.rename('names/' + e.name, 'names/moving'); os.rename('names/moving', 'names/' + e.name)
        if seen > 100000: break
say('read to the end', seen < 100000, len(os.listdir('names')))
PYTHON
    ) || die "in $where: $(tail -5 "$TEMP/answers${where//\//-}")"
  done
  diff "$TEMP/answers${TEMP//\//-}" "$TEMP/answers${PWD//\//-}" >&2 || die "the drive answers otherwise"
  ! grep wrong "$TEMP/answers${PWD//\//-}" || die "wrong content"
  rm -r generic
}
