#include <string.h>

#include "vfs.h"
#include "_cgo_export.h"

// The library that is linked in has them; alone this package does without.
extern sqlite3_vfs *sqlite3_vfs_find(const char *) __attribute__((weak));
extern int sqlite3_vfs_register(sqlite3_vfs *, int) __attribute__((weak));

// Source: sqlite3.h.
enum {
	SQLITE_OK = 0,
	SQLITE_ERROR = 1,
	SQLITE_IOERR = 10,
	SQLITE_IOERR_WRITE = SQLITE_IOERR | 3 << 8,
	SQLITE_IOERR_SHORT_READ = SQLITE_IOERR | 2 << 8,
	SQLITE_CORRUPT = 11,
	SQLITE_OPEN_MAIN_DB = 0x100,
};

enum { PAGE = 4096 };

// summed is a database file; real is SQLite's own, which stands behind it in memory.
typedef struct {
	sqlite3_file base;
	sqlite3_file *real;
} summed;

static sqlite3_file *real(sqlite3_file *f) { return ((summed *)f)->real; }

static int x_close(sqlite3_file *f) { return real(f)->pMethods->xClose(real(f)); }

// x_read reads the pages in which the bytes lie, however few of them are asked for.
static int x_read(sqlite3_file *f, void *to, int n, sqlite3_int64 off) {
	char page[PAGE];
	char *at = to;
	while (n > 0) {
		sqlite3_int64 start = off - off % PAGE;
		int skip = off - start, part = PAGE - skip < n ? PAGE - skip : n;
		int rc = real(f)->pMethods->xRead(real(f), page, PAGE, start);
		if (rc == SQLITE_IOERR_SHORT_READ) {
			// SQLite reads an empty file, and behind the end of one.
			sqlite3_int64 size;
			int failed = real(f)->pMethods->xFileSize(real(f), &size);
			if (failed) return failed;
			if (size > start) return SQLITE_CORRUPT;
			memset(at, 0, n);
			return rc;
		}
		if (rc != SQLITE_OK) return rc;
		if (!pagesumGood(page, start / PAGE + 1)) return SQLITE_CORRUPT;
		memcpy(at, page + skip, part);
		at += part, off += part, n -= part;
	}
	return SQLITE_OK;
}

static int x_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 off) {
	char page[PAGE];
	if (n != PAGE || off % PAGE != 0) return SQLITE_IOERR_WRITE;
	memcpy(page, from, PAGE);
	pagesumSet(page, off / PAGE + 1);
	return real(f)->pMethods->xWrite(real(f), page, PAGE, off);
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size) { return real(f)->pMethods->xTruncate(real(f), size); }
static int x_sync(sqlite3_file *f, int flags) { return real(f)->pMethods->xSync(real(f), flags); }
static int x_file_size(sqlite3_file *f, sqlite3_int64 *size) { return real(f)->pMethods->xFileSize(real(f), size); }
static int x_lock(sqlite3_file *f, int lock) { return real(f)->pMethods->xLock(real(f), lock); }
static int x_unlock(sqlite3_file *f, int lock) { return real(f)->pMethods->xUnlock(real(f), lock); }
static int x_check_reserved_lock(sqlite3_file *f, int *out) { return real(f)->pMethods->xCheckReservedLock(real(f), out); }
static int x_file_control(sqlite3_file *f, int op, void *arg) { return real(f)->pMethods->xFileControl(real(f), op, arg); }
static int x_sector_size(sqlite3_file *f) { return real(f)->pMethods->xSectorSize(real(f)); }

static int x_shm_map(sqlite3_file *f, int region, int size, int extend, void volatile **to) {
	return real(f)->pMethods->xShmMap(real(f), region, size, extend, to);
}
static int x_shm_lock(sqlite3_file *f, int off, int n, int flags) { return real(f)->pMethods->xShmLock(real(f), off, n, flags); }
static void x_shm_barrier(sqlite3_file *f) { real(f)->pMethods->xShmBarrier(real(f)); }
static int x_shm_unmap(sqlite3_file *f, int delete) { return real(f)->pMethods->xShmUnmap(real(f), delete); }

// x_device_characteristics promises nothing: a part of a page is never read or written alone.
static int x_device_characteristics(sqlite3_file *f) {
	(void)f;
	return 0;
}

// The methods of version 2: without those of version 3 no file is mapped into memory, past x_read.
static const sqlite3_io_methods methods = {
	2, x_close, x_read, x_write, x_truncate, x_sync, x_file_size, x_lock, x_unlock, x_check_reserved_lock, x_file_control,
	x_sector_size, x_device_characteristics, x_shm_map, x_shm_lock, x_shm_barrier, x_shm_unmap,
};

static sqlite3_vfs *system_vfs; // SQLite's own
static sqlite3_vfs vfs;

// x_open opens a database to be read and written by pages; the log and the rest are SQLite's alone.
static int x_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out) {
	summed *s = (summed *)f;
	(void)v;
	if (!(flags & SQLITE_OPEN_MAIN_DB)) return system_vfs->xOpen(system_vfs, name, f, flags, out);
	memset(s, 0, vfs.szOsFile);
	s->real = (sqlite3_file *)(s + 1);
	int rc = system_vfs->xOpen(system_vfs, name, s->real, flags, out);
	if (s->real->pMethods) s->base.pMethods = &methods; // so that it is closed, too
	return rc;
}

int pagesum_register(const char *name) {
	if (!sqlite3_vfs_find || !sqlite3_vfs_register) return SQLITE_ERROR;
	system_vfs = sqlite3_vfs_find(0);
	if (!system_vfs) return SQLITE_ERROR;
	vfs = *system_vfs;
	vfs.zName = name;
	vfs.pNext = 0;
	vfs.szOsFile = sizeof(summed) + system_vfs->szOsFile;
	vfs.xOpen = x_open;
	return sqlite3_vfs_register(&vfs, 0);
}
