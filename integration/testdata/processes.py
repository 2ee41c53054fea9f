# Prints what several processes see of each other through files in the folder
# that it is started in: locks, appends, mappings, fifos, sockets, programs.
import errno, fcntl, mmap, os, select, shutil, signal, socket, struct, sys, time

def name(e):
    return errno.errorcode.get(e.errno, str(e.errno))

def attempt(f, *a):
    try:
        r = f(*a)
        return "ok" if r is None else r
    except OSError as e:
        return name(e)

def child(f):
    """Runs f in a process and returns what it returns."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            text = str(f())
        except BaseException as e:
            text = repr(e)
        os.write(w, text.encode())
        os._exit(0)
    os.close(w)
    text = b""
    while b := os.read(r, 65536):
        text += b
    os.close(r)
    _, status = os.waitpid(pid, 0)
    return text.decode() if os.WIFEXITED(status) else "signal %d" % os.WTERMSIG(status)

class Other:
    """A process that does what it is told, and keeps its files."""
    def __init__(self):
        self.r, w = os.pipe()
        r, self.w = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.r), os.close(self.w)
            mine, names = os.fdopen(r), dict(globals())
            names["keep"] = names.update
            for line in mine:
                try:
                    answer = str(eval(line, names))
                except OSError as e:
                    answer = name(e)
                os.write(w, (answer + "\n").encode())
            os._exit(0)
        os.close(r), os.close(w)
        self.answers = os.fdopen(self.r)
    def tell(self, text):
        os.write(self.w, (text + "\n").encode())
    def hear(self):
        return self.answers.readline().strip()
    def waits(self):
        """Whether it comes to wait for a lock, instead of an answer."""
        while not select.select([self.answers], [], [], 0.02)[0]:
            if any(l.split()[1] == "->" and str(self.pid) in l.split() for l in open("/proc/locks")):
                return True
        return False
    def do(self, text):
        self.tell(text)
        return self.hear()
    def end(self):
        os.close(self.w)
        os.waitpid(self.pid, 0)

def open_(path, flags=os.O_RDWR | os.O_CREAT):
    return os.open(path, flags, 0o644)

EX, SH, UN, NB = fcntl.LOCK_EX, fcntl.LOCK_SH, fcntl.LOCK_UN, fcntl.LOCK_NB
OFD_GETLK, OFD_SETLK = 36, 37

def whole(kind, start=0, length=0):
    return struct.pack("hhqqi4x", kind, 0, start, length, 0)

def ofd(fd, kind, start=0, length=0):
    fcntl.fcntl(fd, OFD_SETLK, whole(kind, start, length))
    return "ok"

def getlk(fd, kind, start=0, length=0):
    k, _, s, n, pid = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, whole(kind, start, length)))
    return (k, s, n, pid != 0)

def flocks():
    a, b = open_("flock"), open_("flock")
    o = Other()
    o.do("keep(f=open_('flock'))")
    print("flock ex", attempt(fcntl.flock, a, EX))
    print("flock other open file", attempt(fcntl.flock, b, EX | NB), attempt(fcntl.flock, b, SH | NB))
    print("flock other process", o.do("fcntl.flock(f, EX|NB)"), o.do("fcntl.flock(f, SH|NB)"))
    print("flock to shared", attempt(fcntl.flock, a, SH), o.do("fcntl.flock(f, SH|NB)"), attempt(fcntl.flock, b, SH | NB))
    print("flock no upgrade", attempt(fcntl.flock, a, EX | NB))
    print("flock dup shares", attempt(fcntl.flock, os.dup(a), UN), o.do("fcntl.flock(f, UN)"), attempt(fcntl.flock, b, EX | NB))
    o.tell("fcntl.flock(f, EX)")
    print("flock waits", o.waits())
    print("flock wakes", attempt(fcntl.flock, b, UN), o.hear())
    os.close(b)
    print("flock beside fcntl", attempt(fcntl.lockf, a, EX | NB))
    o.end()
    print("flock ends with the process", attempt(fcntl.flock, a, EX | NB))
    os.close(a)

def records():
    a = open_("record")
    o = Other()
    o.do("keep(f=open_('record'))")
    print("fcntl ex", attempt(fcntl.lockf, a, EX | NB, 10, 100))
    print("fcntl beside it", o.do("fcntl.lockf(f, EX|NB, 10, 90)"), o.do("fcntl.lockf(f, EX|NB, 10, 110)"))
    print("fcntl over it", o.do("fcntl.lockf(f, SH|NB, 1, 109)"), o.do("fcntl.lockf(f, EX|NB, 0, 0)"))
    print("fcntl who", o.do("getlk(f, fcntl.F_WRLCK, 0, 0)"), o.do("getlk(f, fcntl.F_WRLCK, 100, 1)"), o.do("getlk(f, fcntl.F_RDLCK, 120, 0)"))
    print("fcntl split", attempt(fcntl.lockf, a, UN, 4, 103), o.do("fcntl.lockf(f, EX|NB, 4, 103)"), o.do("fcntl.lockf(f, EX|NB, 1, 102)"))
    o.tell("fcntl.lockf(f, EX, 1, 100)")
    print("fcntl waits", o.waits())
    print("fcntl deadlock", attempt(fcntl.lockf, a, EX, 1, 90))
    os.close(os.open("record", os.O_RDONLY))
    print("fcntl lost by any close", o.hear())
    o.do("keep(g=os.open('record', os.O_RDONLY))")
    print("fcntl rights", o.do("fcntl.lockf(g, EX|NB)"))
    o.end()
    print("fcntl ends with the process", attempt(fcntl.lockf, a, EX | NB))
    os.close(a)

def openfile():
    a, b = open_("ofd"), open_("ofd")
    print("ofd", attempt(ofd, a, fcntl.F_WRLCK), attempt(ofd, b, fcntl.F_WRLCK), attempt(ofd, b, fcntl.F_RDLCK))
    os.close(os.open("ofd", os.O_RDONLY))
    print("ofd stays", attempt(ofd, b, fcntl.F_RDLCK), child(lambda: attempt(ofd, b, fcntl.F_RDLCK)))
    print("ofd in a child", child(lambda: attempt(ofd, a, fcntl.F_UNLCK)), attempt(ofd, b, fcntl.F_WRLCK))
    print("ofd and fcntl", attempt(fcntl.lockf, a, EX | NB))
    os.close(a), os.close(b)

def appends():
    pids = []
    for p in range(6):
        pid = os.fork()
        if pid == 0:
            fd = open_("append", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for i in range(150):
                os.write(fd, (("%d-%03d-" % (p, i)) + "x" * (i * 37 % 5000) + "\n").encode())
            os._exit(0)
        pids.append(pid)
    print("append", [os.waitpid(p, 0)[1] for p in pids])
    lines = open("append").read().splitlines()
    last, whole = {}, 0
    for line in lines:
        p, i, xs = line.split("-")
        whole += len(xs) == int(i) * 37 % 5000 and xs == "x" * len(xs) and last.get(p, -1) + 1 == int(i)
        last[p] = int(i)
    print("append", len(lines), whole, os.stat("append").st_size)

def mappings():
    fd = open_("mapped")
    os.pwrite(fd, b"a" * 10000, 0)
    m = mmap.mmap(fd, 10000)
    print("mapped sees", m[5000:5003])
    m[5000:5005] = b"hello"
    print("read sees", os.pread(fd, 5, 5000), child(lambda: os.pread(open_("mapped"), 5, 5000)))
    os.pwrite(fd, b"again", 5000)
    print("mapped sees", m[5000:5005], child(lambda: m[5000:5005]))
    print("child stores", child(lambda: m.__setitem__(slice(0, 3), b"kid")), m[:3], os.pread(fd, 3, 0))
    direct = os.open("mapped", os.O_RDWR | os.O_DIRECT)
    buffer = mmap.mmap(-1, 4096)
    m[:4] = b"mmap"
    print("direct sees", os.preadv(direct, [buffer], 0), buffer[:4])
    buffer[:6] = b"direct"
    print("direct writes", os.pwritev(direct, [buffer], 4096), m[4096:4102], os.pread(fd, 6, 4096))
    before = os.fstat(fd).st_mtime_ns
    time.sleep(0.02)  # file systems whose clock ticks
    m[1:2] = b"x"
    m.flush()
    print("mtime follows", os.fstat(fd).st_mtime_ns > before)
    other = open_("mapped")
    m[9999:10000] = b"z"
    m.close()
    print("unmapped", os.pread(other, 2, 9998), os.fstat(other).st_size)
    private = mmap.mmap(fd, 10000, flags=mmap.MAP_PRIVATE)
    private[:3] = b"own"
    print("private", private[:3], os.pread(fd, 3, 0))
    os.ftruncate(fd, 5000)
    os.ftruncate(fd, 10000)
    print("grown again", os.pread(fd, 10000, 0)[4990:5010])
    def beyond():
        short = mmap.mmap(fd, 10000)
        os.ftruncate(fd, 100)
        print(short[200:201], "is zero", file=sys.stderr)
        return short[9000:9001]
    print("beyond the end", child(beyond), os.fstat(fd).st_size)
    os.ftruncate(fd, 100)
    tail = mmap.mmap(fd, 100)
    libc_tail = os.pread(fd, 4096, 0)
    print("short", len(libc_tail), len(tail))
    os.unlink("mapped")
    tail[:4] = b"gone"
    print("unlinked", os.pread(fd, 4, 0), os.fstat(fd).st_nlink)
    for f in (fd, other, direct):
        os.close(f)
    ro = os.open("append", os.O_RDONLY)
    print("rights", attempt(lambda: mmap.mmap(ro, 100) and "mapped"), attempt(lambda: mmap.mmap(ro, 100, prot=mmap.PROT_READ)[:2]) != "")

def pipes():
    os.mkfifo("fifo")
    o = Other()
    o.tell("os.write(os.open('fifo', os.O_WRONLY), b'through the fifo')")
    r = os.open("fifo", os.O_RDONLY)
    print("fifo", os.read(r, 100), o.hear())
    o.do("keep(w=os.open('fifo', os.O_WRONLY))")
    os.close(r)
    print("fifo without reader", o.do("signal.signal(signal.SIGPIPE, signal.SIG_IGN) and 0"), o.do("os.write(w, b'x')"))
    s = socket.socket(socket.AF_UNIX)
    s.bind("socket")
    s.listen(1)
    def talk():
        c = socket.socket(socket.AF_UNIX)
        c.connect("socket")
        c.sendall(b"through the socket")
        c.close()
    pid = os.fork()
    if pid == 0:
        talk()
        os._exit(0)
    print("socket", s.accept()[0].recv(100))
    os.waitpid(pid, 0)
    os.rename("socket", "moved")
    c = socket.socket(socket.AF_UNIX)
    print("socket moved", attempt(c.connect, "socket"), attempt(c.connect, "moved"))
    s.close()
    print("socket closed", attempt(socket.socket(socket.AF_UNIX).connect, "moved"))
    o.end()

def programs():
    shutil.copy("/bin/sleep", "program")
    os.chmod("program", 0o755)
    w = os.open("program", os.O_WRONLY)
    def run():
        os.execv("program", ["program", "0"])
    print("run while written", child(run))
    os.close(w)
    print("run", os.spawnv(os.P_WAIT, "program", ["program", "0"]))
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.execv("program", ["program", "60"])
    os.close(w)
    os.read(r, 1)  # closed by exec
    print("busy", attempt(os.open, "program", os.O_WRONLY), attempt(os.truncate, "program", 5), attempt(os.open, "program", os.O_RDWR))
    os.rename("program", "other")
    print("busy after rename", attempt(os.truncate, "other", 5))
    os.unlink("other")
    os.kill(pid, signal.SIGKILL)
    print("killed", os.waitpid(pid, 0)[1])
    open("script", "w").write("#!/bin/sh\nexit 7\n")
    print("no right", attempt(lambda: os.access("script", os.X_OK)))
    os.chmod("script", 0o755)
    print("script", os.spawnv(os.P_WAIT, "./script", ["script"]))

def folders():
    os.mkdir("folder")
    o = Other()
    o.do("os.chdir('folder')")
    os.rename("folder", "renamed")
    print("moved", o.do("os.path.basename(os.getcwd())"), o.do("open('in', 'w').close()"), os.listdir("renamed"))
    os.unlink("renamed/in")
    os.rmdir("renamed")
    print("removed", o.do("os.getcwd()"), o.do("os.listdir('.')"), o.do("open_('x')"), o.do("os.mkdir('y')"), o.do("os.chdir('..')"))
    o.end()

for part in (flocks, records, openfile, appends, mappings, pipes, programs, folders):
    part()
    sys.stdout.flush()
