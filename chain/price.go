package chain

// unitBytes is what storage is priced by, in bytes of encoded size. Source:
// module system_state_inner, BYTES_PER_UNIT_SIZE.
const unitBytes = 1 << 20

// units returns how many units a size takes.
func units(encoded uint64) uint64 { return encoded/unitBytes + min(1, encoded%unitBytes) }

// RegisterPrice returns what it costs in FROST to store a blob of an encoded
// size, in bytes, for a number of epochs.
func (s *State) RegisterPrice(encoded uint64, epochs uint32) uint64 {
	return units(encoded)*s.WritePrice + s.ExtendPrice(encoded, epochs)
}

// ExtendPrice returns what it costs in FROST to store a blob of an encoded
// size, in bytes, for some epochs more.
func (s *State) ExtendPrice(encoded uint64, epochs uint32) uint64 {
	return units(encoded) * s.StoragePrice * uint64(epochs)
}
