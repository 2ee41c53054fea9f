package index

import "sync"

// Programs ask for the same few attributes of each file that they list, open for writing
// or copy: labels, capabilities, ACLs. Most drives have none of them. So it is
// remembered which names there are at all.

// attrNamesLook is how many attributes are looked at when an index is opened. If it
// has more, any name counts as one that there is.
const attrNamesLook = 1024

// attrNames is the names of extended attributes that some inode may have. A name
// that nobody has any more stays one of them until the next start.
type attrNames struct {
	mu    sync.RWMutex // guards the fields below
	names map[string]struct{}
	any   bool // there may be others
}

// load learns the names that there are.
func (a *attrNames) load(c *conn) error {
	rows := 0
	err := c.query(`SELECT name FROM xattrs LIMIT ?`, func(r row) error {
		a.add(string(r.bytes(0)))
		rows++
		return nil
	}, attrNamesLook)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.any = rows == attrNamesLook
	return err
}

// add notes a name, before an inode gets an attribute of it.
func (a *attrNames) add(name string) {
	if a.used(name) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.names == nil {
		a.names = map[string]struct{}{}
	}
	if a.any = a.any || len(a.names) >= attrNamesLook; !a.any {
		a.names[name] = struct{}{}
	}
}

// used reports whether some inode may have an attribute of that name.
func (a *attrNames) used(name string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	_, ok := a.names[name]
	return ok || a.any
}

// none reports whether no inode has an attribute.
func (a *attrNames) none() bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return len(a.names) == 0 && !a.any
}
