package fs

import "time"

// NeverFlush lets what nobody syncs wait for good: a slow machine comes to no flush
// where a test wants none. It is called before Mount.
func (fs *FS) NeverFlush() { fs.rest = 1000 * time.Hour }
