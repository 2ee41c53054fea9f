package contract

import (
	"testing"

	"github.com/walfs/walfs/chain/move"
)

// FuzzMessages reads what committees sign: any bytes are a message, or an abort of the contract.
func FuzzMessages(f *testing.F) {
	for kind, length := range map[uint8]int{blobCertificate: 33, denyListUpdate: 80} {
		head, err := move.Marshal(&message{kind: kind, version: intentVersion, app: appID, epoch: 3})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(head)
		f.Add(append(head, make([]byte, length)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, body, err := parseHeader(b, 3)
		if err != nil {
			return
		}
		if len(body) >= len(b) {
			t.Errorf("a body of %d bytes in a message of %d", len(body), len(b))
		}
		if c, err := parseCertificate(kind, body); err == nil && !c.persistence.deletable && c.persistence.object != (move.ID{}) {
			t.Errorf("a permanent blob of an object: %+v", c)
		}
		_, _ = parseBlobID(kind, body, kind, "f")
		_, _ = parseDenyList(kind, body)
		_, _ = parseProtocol(kind, body)
	})
}
