package move

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Address names an account, a package or an object.
type Address [32]byte

// ID names an object. Move's ID and UID have the same bytes as an address.
type ID = Address

// String returns 0x and 64 hex digits.
func (a Address) String() string { return "0x" + hex.EncodeToString(a[:]) }

// IsZero reports whether a is 0x0.
func (a Address) IsZero() bool { return a == Address{} }

// SmallAddress returns the address 0x…n, as the packages of the framework have.
func SmallAddress(n byte) Address { return Address{31: n} }

// Addresses that are the same on every Sui network.
var (
	Framework = SmallAddress(2)
	ClockID   = SmallAddress(6)
)

// ParseAddress reads 0x and up to 64 hex digits.
func ParseAddress(s string) (Address, error) {
	var a Address
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok || digits == "" || len(digits) > 2*len(a) {
		return a, fmt.Errorf("parse address %q: want 0x and up to 64 hex digits", s)
	}
	raw, err := hex.DecodeString(strings.Repeat("0", 2*len(a)-len(digits)) + digits)
	if err != nil {
		return a, fmt.Errorf("parse address %q: %w", s, err)
	}
	copy(a[:], raw)
	return a, nil
}

// U128 is an unsigned integer of 128 bits.
type U128 struct{ Lo, Hi uint64 }

// U256 is an unsigned integer of 256 bits in little-endian order. A blob ID
// goes through Move as the U256 with the same bytes.
type U256 [32]byte

// String returns the number in decimal.
func (u U256) String() string {
	b := slices.Clone(u[:])
	slices.Reverse(b)
	return new(big.Int).SetBytes(b).String()
}
