package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
)

// The file "order" holds when slivers were used last. It only says in which
// order they go: one that is missing, old or damaged costs nothing else.
//
//	off len field
//	  0   4 magic "WSLO"
//	  4   4 version 1
//	  8  .. 48 bytes for each sliver: blob ID (32), axis (1), protected (1), zero (2), index (4),
//	        time of the last use in Unix nanoseconds (8)
//	 end  4 CRC32C of all before
const (
	orderName    = "order"
	orderMagic   = "WSLO"
	orderVersion = 1
	orderHeader  = 8
	orderEntry   = 48
)

// lastUse is what is remembered of a sliver.
type lastUse struct {
	used      time.Time
	protected bool
}

// orderShare is the part of the budget, in percent, that the file may take.
const orderShare = 1

// saveOrder writes the order, when nothing is added any more. Slivers give way
// to it, as it counts too.
func (c *Cache) saveOrder() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.encodeOrder()
	size := cost(int64(len(b)))
	if size > c.limit()/100*orderShare {
		return nil
	}
	c.used += size
	for c.evict(evictStep) {
	}
	return c.root.WriteFile(orderName, b, 0o600)
}

// encodeOrder returns the bytes of the file. The caller holds mu.
func (c *Cache) encodeOrder() []byte {
	b := make([]byte, orderHeader, orderHeader+orderEntry*len(c.lists.entries)+4)
	copy(b, orderMagic)
	binary.LittleEndian.PutUint32(b[4:], orderVersion)
	for id, e := range c.lists.entries {
		b = append(b, id.Blob[:]...)
		protected := byte(0)
		if e.protected {
			protected = 1
		}
		b = append(b, byte(id.Axis), protected, 0, 0)
		b = binary.LittleEndian.AppendUint32(b, uint32(id.Index))
		b = binary.LittleEndian.AppendUint64(b, uint64(e.used.UnixNano()))
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// takeOrder returns what saveOrder wrote, or nothing, and removes the file.
func (c *Cache) takeOrder() map[walrus.SliverID]lastUse {
	b, err := c.root.ReadFile(orderName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err = errors.Join(err, c.root.Remove(orderName)); err != nil {
		c.log.Warn("order of cached slivers", "err", err)
	}
	order, ok := parseOrder(b)
	if !ok {
		c.log.Warn("order of cached slivers is damaged; that of the files' times serves")
	}
	return order
}

// parseOrder reads the format of saveOrder.
func parseOrder(b []byte) (map[walrus.SliverID]lastUse, bool) {
	if len(b) < orderHeader+4 || (len(b)-orderHeader-4)%orderEntry != 0 || !bytes.HasPrefix(b, []byte(orderMagic)) ||
		binary.LittleEndian.Uint32(b[4:]) != orderVersion ||
		binary.LittleEndian.Uint32(b[len(b)-4:]) != crc32.Checksum(b[:len(b)-4], castagnoli) {
		return nil, false
	}
	order := map[walrus.SliverID]lastUse{}
	for b = b[orderHeader : len(b)-4]; len(b) > 0; b = b[orderEntry:] {
		id := walrus.SliverID{Axis: walrus.Axis(b[32]), Index: uint16(binary.LittleEndian.Uint32(b[36:]))}
		copy(id.Blob[:], b)
		order[id] = lastUse{used: time.Unix(0, int64(binary.LittleEndian.Uint64(b[40:]))), protected: b[33] != 0}
	}
	return order, true
}
