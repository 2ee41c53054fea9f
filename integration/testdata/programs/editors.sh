# needs: vim.tiny python3 sed
# How editors and desktops save: whatever they do, the last content is what is there.
work() {
  for copy in yes no auto; do
    vim_saves "vim-$copy" "set backupcopy=$copy backup writebackup undofile undodir=. swapfile directory=. backupdir=."
    vim_saves "vim-fsync-$copy" "set backupcopy=$copy nobackup nowritebackup fsync swapfile directory=."
  done
  printf 'one\ntwo\n' > sed; sed -i s/two/three/ sed; sed -i.bak s/three/four/ sed; same sed "$(tail -1 sed)" four; same sed.bak "$(tail -1 sed.bak)" three
  printf 'b\na\n' > sponge; sort sponge > .sponge.tmp; cat .sponge.tmp > sponge; rm .sponge.tmp; same sponge "$(head -1 sponge)" a
  chmod 640 sed; setfattr -n user.kept -v yes sed 2> /dev/null || true
  /usr/bin/python3 - <<'PYTHON'
import ctypes, os, tempfile

def call(name):
    def run(*args):
        if getattr(libc, name)(*args): raise OSError(ctypes.get_errno(), name)
    return run

libc = ctypes.CDLL(None, use_errno=True)
linkat, renameat2 = call('linkat'), call('renameat2')

def write(name, text, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o644, sync=True):
    fd = os.open(name, flags, mode)
    os.write(fd, text.encode())
    if sync: os.fsync(fd)
    os.close(fd)

def read(name):
    with open(name) as f: return f.read()

def libreoffice(name, text):  # a lock file beside it, a temporary file that takes its place
    lock = f'.~lock.{name}#'
    write(lock, ',user,host,01.01.2026 00:00,file:///home;', os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try: os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL); raise SystemExit('a lock was taken twice')
    except FileExistsError: pass
    fd, temp = tempfile.mkstemp(prefix='lu', suffix='.tmp', dir='.')
    os.ftruncate(fd, 0); os.write(fd, text.encode()); os.fsync(fd); os.close(fd)
    if os.path.exists(name): os.chmod(temp, os.stat(name).st_mode & 0o7777)
    os.rename(temp, name)
    os.unlink(lock)

def glib(name, text):  # g_file_set_contents: gedit, and kate by QSaveFile
    fd, temp = tempfile.mkstemp(prefix=f'.{name}.', dir='.')
    os.posix_fallocate(fd, 0, len(text)) if text else None
    os.write(fd, text.encode()); os.fsync(fd); os.close(fd)
    os.rename(temp, name)

def backup_and_rename(name, text):  # gio's replace with a backup
    fd, temp = tempfile.mkstemp(prefix='.goutputstream-', dir='.')
    os.write(fd, text.encode())
    if os.path.exists(name):
        if os.path.exists(name + '~'): os.unlink(name + '~')
        os.link(name, name + '~')
    os.fsync(fd); os.rename(temp, name); os.close(fd)

def emacs(name, text):  # the old one becomes a backup, the new one is new
    lock = '.#' + name
    os.symlink('user@host.1234:1', lock)
    if os.path.exists(name): os.rename(name, name + '~')
    write(name, text, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.unlink(lock)

def vscode(name, text):  # in place: open without O_TRUNC, truncate, write
    fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(fd, 0); os.pwrite(fd, text.encode(), 0); os.fdatasync(fd); os.close(fd)

def tmpfile(name, text):  # O_TMPFILE, a name when it is whole, and rename
    fd = os.open('.', os.O_WRONLY | os.O_TMPFILE, 0o644)
    os.write(fd, text.encode()); os.fsync(fd)
    linkat(-100, f'/proc/self/fd/{fd}'.encode(), -100, (name + '.new').encode(), 0x400); os.close(fd)
    os.rename(name + '.new', name)

def nano(name, text):  # in place with O_TRUNC, no sync
    write(name, text, sync=False)

def exchange(name, text):  # renameat2 with RENAME_EXCHANGE, as dpkg-like tools do
    write(name + '.x', text)
    if not os.path.exists(name): os.rename(name + '.x', name); return
    renameat2(-100, (name + '.x').encode(), -100, name.encode(), 2)
    os.unlink(name + '.x')

for save in libreoffice, glib, backup_and_rename, emacs, vscode, tmpfile, nano, exchange:
    name = save.__name__ + '.txt'
    for version in range(8):
        text = f'{name} {version} ' + 'x' * (5000 * ((version * 3) % 5))
        save(name, text)
        if read(name) != text or os.stat(name).st_size != len(text): raise SystemExit(f'{name}: version {version} is not there')
left = [n for n in os.listdir('.') if n.startswith(('.~lock', '.goutput', '.#', 'lu'))]
if left: raise SystemExit(f'left behind: {left}')
PYTHON
}

vim_saves() {
  printf 'first\n' > "$1"
  for i in 1 2 3; do
    vim.tiny -es -u NONE -N -c "$2" -c "%s/\$/ $i/" -c "normal Goline $i" -c wq "$1" < /dev/null || die "vim: $1"
  done
  same "$1" "$(wc -l < "$1")" 4
  ls -A | grep -q '\.sw.$' && die "a swap file is left" || true
}

again() {
  for copy in yes no auto; do same "vim-$copy" "$(tail -1 "vim-$copy")" "line 3"; same "vim-$copy" "$(head -1 "vim-$copy")" "first 1 2 3"; done
  for name in libreoffice glib backup_and_rename emacs vscode tmpfile nano exchange; do
    same $name.txt "$(head -c $((${#name} + 6)) $name.txt)" "$name.txt 7"
  done
}
