package pagesum

import (
	"bytes"
	"encoding/binary"
)

// The log of SQLite. Source: SQLite, "WAL-mode file format".
const (
	walHeader = 32
	walMagic  = 0x377f0682 // and 1 more where its checksums are of big-endian words
	walSalts  = 16         // where they are in the header
	walFrame  = 24 + PageSize
)

// WholeLog reports whether everything that was written to a log of SQLite can be read from it: SQLite stops at
// the first frame whose checksum is not right, and takes what is before it for the newest there is, also where
// the rest has been copied into the database. What a kill leaves of a frame is not there to SQLite, and is none that is damaged.
func WholeLog(b []byte) bool {
	if len(b) < walHeader+walFrame {
		return true // no frame was ever written whole
	}
	sum := walSum{order: binary.LittleEndian}
	if b[3]&1 != 0 {
		sum.order = binary.BigEndian
	}
	sum.add(b[:24])
	if binary.BigEndian.Uint32(b)&^1 != walMagic || binary.BigEndian.Uint32(b[8:]) != PageSize || !sum.is(b[24:]) {
		return false
	}
	salts := b[walSalts:][:8]
	for b = b[walHeader:]; len(b) >= walFrame; b = b[walFrame:] {
		sum.add(b[:8])
		sum.add(b[24:walFrame])
		ours, whole := bytes.Equal(b[8:16], salts), sum.is(b[16:])
		if !ours && !whole {
			return true // the rest is of an earlier round
		}
		if !ours || !whole {
			return false
		}
	}
	return true
}

// walSum is the running checksum of a log.
type walSum struct {
	order  binary.ByteOrder
	s0, s1 uint32
}

func (c *walSum) add(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		c.s0 += c.order.Uint32(b) + c.s1
		c.s1 += c.order.Uint32(b[4:]) + c.s0
	}
}

func (c *walSum) is(b []byte) bool {
	return binary.BigEndian.Uint32(b) == c.s0 && binary.BigEndian.Uint32(b[4:]) == c.s1
}
