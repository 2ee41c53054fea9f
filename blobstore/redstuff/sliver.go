package redstuff

// MarshalSliver returns the BCS form of SliverData.
func MarshalSliver(symbolSize, index int, data []byte) []byte { return nil }

// ParseSliver reads the BCS form of SliverData. Data is part of b. It returns
// ErrSliver for bytes that are not exactly one such value with a symbol size
// that is even, not zero and divides the length of data.
func ParseSliver(b []byte) (data []byte, symbolSize, index int, err error) {
	return nil, 0, 0, errStub
}
