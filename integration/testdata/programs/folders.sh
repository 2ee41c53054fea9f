# needs: python3
# A folder of many entries, listed while it changes.
work() {
  /usr/bin/python3 - <<'PYTHON'
import os, threading

N = int(os.environ.get('SOAK') and 10000 or 2500)
os.mkdir('many')
for i in range(N): os.close(os.open(f'many/{i:05}', os.O_CREAT | os.O_WRONLY, 0o644))
stop = False
def change():
    k = 0
    while not stop:
        i = k * 7 % N | 1 # odd ones come and go
        try: os.unlink(f'many/{i:05}')
        except FileNotFoundError: os.close(os.open(f'many/{i:05}', os.O_CREAT | os.O_WRONLY, 0o644))
        os.close(os.open(f'many/new{k}', os.O_CREAT | os.O_WRONLY, 0o644))
        if k > 50: os.unlink(f'many/new{k - 50}')
        k += 1
changer = threading.Thread(target=change, daemon=True); changer.start()
failed = None
for round in range(6):
    names = os.listdir('many')
    steady = [n for n in names if n.isdigit() and int(n) % 2 == 0]
    if len(set(names)) != len(names) or len(steady) != N // 2: failed = f'{len(names)} names, {len(set(names))} of them different, {len(steady)} of {N // 2} that stayed'
    with os.scandir('many') as entries:
        count = sum(1 for e in entries if e.name.isdigit() and int(e.name) % 2 == 0 and e.stat().st_size == 0)
    if count != N // 2: failed = f'scandir: {count} of {N // 2}'
stop = True; changer.join()
if failed: raise SystemExit(failed)
for n in os.listdir('many'): os.unlink(f'many/{n}')
os.rmdir('many')
PYTHON
}
