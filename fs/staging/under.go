package staging

// under says which versions of the published content show the same through the
// blocks that staging does not hold. By that a new index can tell whether what it
// has is what was there before; the map is all that is left then. Zeros: it is
// not known.
type under struct {
	oldest, newest uint64
}

// underPacked returns what shows through once a Pack is published. The version
// before shows the same unless the file was cut off, or has grown by what nobody
// wrote: that was published content, and now is a hole. The caller holds f.mu,
// and has not changed the base yet.
func (f *File) underPacked(p *Pack) under {
	end := min(p.base, f.size)
	from, to := p.Base/BlockSize, blocksFor(end)
	if f.under.newest == 0 || f.whole || end > p.Base && f.blocks.next(from, to, absent) < to {
		return under{p.Version, p.Version}
	}
	return under{f.under.oldest, p.Version}
}

// Under reports whether the content of a published version is what shows, or
// would show, through the blocks that staging does not hold. No may mean that
// nothing tells.
func (f *File) Under(version uint64) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return version != 0 && f.under.oldest <= version && version <= f.under.newest && f.under.oldest != 0
}

// IsCopyOf reports whether all that staging holds of a file is what a published version
// has there, and nothing else is here. No may mean that nothing tells.
func (f *File) IsCopyOf(version uint64) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	end := f.blocks.end()
	return version != 0 && f.under.newest == version && f.base == f.size && !f.plain && f.pack == nil && !f.lent.Load() &&
		f.blocks.next(0, end, dirty) == end && f.blocks.next(0, end, packed) == end
}

// SetUnder tells which version shows through, of a file that has a map.
func (f *File) SetUnder(version uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.under = under{version, version}
	return f.writeHeader()
}
