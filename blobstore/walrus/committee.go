package walrus

// Member is one storage node of a committee.
type Member struct {
	Name      string
	ID        NodeID
	Address   string   // host:port
	PublicKey [48]byte // compressed, in G1
	Shards    []uint16 // the shards it holds in the committee's epoch
}

// Committee is the nodes that serve in an epoch. The order of Members is that
// of the ledger, and the order of bits in a certificate's bitmap.
type Committee struct {
	Epoch   Epoch
	Shards  int // in all
	Members []Member
}

// Geometry returns the shape of the blobs that the committee stores.
func (c *Committee) Geometry() Geometry { return Geometry{Shards: c.Shards} }

// Weight returns the number of shards that a member holds, 0 if there is no such member.
func (c *Committee) Weight(member int) int {
	if member < 0 || member >= len(c.Members) {
		return 0
	}
	return len(c.Members[member].Shards)
}

// Holder returns the index of the member that stores a sliver pair of a blob,
// or -1 if no member does.
func (c *Committee) Holder(blob BlobID, pair int) int {
	if pair < 0 || pair >= c.Shards {
		return -1
	}
	want := uint16(c.Geometry().Shard(blob, pair))
	for i := range c.Members {
		for _, shard := range c.Members[i].Shards {
			if shard == want {
				return i
			}
		}
	}
	return -1
}
