package walrus_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/walfs/walfs/blobstore/walrus"
)

func TestParseBlobID(t *testing.T) {
	for _, m := range read[messages](t, "messages.json").Messages {
		if m.BlobID == "" {
			continue
		}
		got, err := walrus.ParseBlobID(m.BlobID)
		if err != nil || got != walrus.BlobID(unhex(t, m.BlobIDHex)) || got.String() != m.BlobID {
			t.Errorf("%s: got %x, %v", m.BlobID, got, err)
		}
	}
	good := walrus.BlobID{31: 1}.String()
	bad := map[string]string{
		"empty": "", "short": good[:42], "long": good + "A", "padded": good + "=", "standard alphabet": strings.Repeat("/", 43),
		"stray bits": good[:42] + "F", "newline": good[:20] + "\n" + good[20:], "newline at the end": good + "\n",
	}
	for name, s := range bad {
		if got, err := walrus.ParseBlobID(s); err == nil {
			t.Errorf("%s: %q gives %s", name, s, got)
		}
	}
}

func FuzzParseBlobID(f *testing.F) {
	for _, m := range read[messages](f, "messages.json").Messages {
		f.Add(m.BlobID)
	}
	f.Add(base64.RawURLEncoding.EncodeToString(make([]byte, 32)) + "\n")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := walrus.ParseBlobID(s)
		if err == nil && b.String() != s {
			t.Errorf("%q comes back as %q", s, b)
		}
	})
}

func TestParseObjectID(t *testing.T) {
	long := "0x" + strings.Repeat("0", 62) + "b1"
	for _, s := range []string{"0xb1", "0x0b1", "0xB1", long} {
		got, err := walrus.ParseObjectID(s)
		if err != nil || got != (walrus.ObjectID{31: 0xb1}) || got.String() != long {
			t.Errorf("%q: got %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0x", "b1", "0xg1", "0x" + strings.Repeat("0", 65), " 0xb1"} {
		if got, err := walrus.ParseObjectID(s); err == nil {
			t.Errorf("%q gives %s", s, got)
		}
	}
}
