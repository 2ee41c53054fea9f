# needs: python3
# SQLite: several processes write at once, in each mode, and one is killed in the middle.
work() {
  /usr/bin/python3 - <<'PYTHON'
import os, signal, sqlite3, time

def expect(what, got, want):
    if got != want: raise SystemExit(f'{what}: got {got!r}, want {want!r}')

def write(name, writer, rows, told=None):
    db = sqlite3.connect(name, timeout=60, isolation_level=None)
    db.execute('PRAGMA synchronous=FULL')
    for i in range(rows):
        db.execute('BEGIN IMMEDIATE')
        db.executemany('INSERT INTO t VALUES (?, ?, ?)', [(writer, i, os.urandom(700)) for _ in range(3)])
        db.execute('COMMIT')
        if told is not None: os.write(told, b'x')
    db.close()

def fork(*args):
    pid = os.fork()
    if pid == 0:
        try: write(*args); os._exit(0)
        except BaseException as e: os.write(2, f'{e!r}\n'.encode()); os._exit(1)
    return pid

for mode in 'delete', 'wal', 'truncate', 'persist':
    name = f'{mode}.db'
    db = sqlite3.connect(name)
    db.execute(f'PRAGMA journal_mode={mode}'); db.execute('CREATE TABLE t (w, i, pad)'); db.commit(); db.close()
    pids = [fork(name, w, 8) for w in range(3)]
    for pid in pids: expect(f'{mode}: a writer', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
    r, w = os.pipe()
    killed = fork(name, 99, 100000, w)
    seen = 0
    while seen < 5: seen += len(os.read(r, 1))
    os.kill(killed, signal.SIGKILL); os.waitpid(killed, 0); os.close(w)
    while b := os.read(r, 65536): seen += len(b)
    db = sqlite3.connect(name, timeout=60)
    expect(f'{mode}: integrity', db.execute('PRAGMA integrity_check').fetchone()[0], 'ok')
    counts = dict(db.execute('SELECT w, count(*) FROM t GROUP BY w'))
    expect(f'{mode}: rows of those that ended', [counts[w] for w in range(3)], [24] * 3)
    if counts[99] < 3 * seen or counts[99] % 3: raise SystemExit(f'{mode}: {counts[99]} rows of the one that was killed, {seen} transactions were committed')
    db.execute('VACUUM'); db.close()
PYTHON
}

again() {
  for mode in delete wal truncate persist; do
    same $mode "$(/usr/bin/python3 -c 'import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute("PRAGMA integrity_check").fetchone()[0])' $mode.db)" ok
  done
}
