package localnet

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/chain"
)

// soak tells whether the long forms of tests are wanted.
func soak() bool { return os.Getenv("WALFS_SOAK") == "1" }

// TestOwnedPlans asks SQLite how it finds a few objects among many: it must
// not walk through all of them, nor through all that the owner has.
func TestOwnedPlans(t *testing.T) {
	g, _ := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g})
	id := []any{alice[:], bob[:]}
	for name, c := range map[string]struct {
		listing listing
		uses    string
	}{
		"by object":    {listing{column: "o.id", values: id}, "sqlite_autoindex_objects_1"},
		"by blob":      {listing{column: "o.blob", values: id}, "objects_by_blob"},
		"by attribute": {listing{key: "mark"}, "attributes_by_key"},
		"both":         {listing{column: "o.blob", values: id, key: "mark"}, "attributes_by_key"},
		"all":          {listing{}, "objects_by_owner"},
	} {
		query, args := c.listing.query(alice, 1, 2)
		rows, err := n.store.reader.Query("EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var a, b, skip int
			var step string
			if err := rows.Scan(&a, &b, &skip, &step); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, step)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(plan, "; ")
		walks := strings.Contains(text, "SEARCH o USING INDEX objects_by_owner")
		if strings.Contains(text, "SCAN") || !strings.Contains(text, c.uses) || walks != (name == "all") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// TestOwnedAmongMany looks for a few of many objects, and says how long it takes.
func TestOwnedAmongMany(t *testing.T) {
	ctx := context.Background()
	objects := 2_000
	if soak() {
		objects = 100_000
	}
	g, _ := newGenesis(t, 4, 10)
	n := openNet(t, Config{Dir: t.TempDir(), Genesis: g})
	fund(t, n, chain.TxID{1}, alice, 1e18)
	ledger := n.Ledger(alice)
	var sample chain.OwnedQuery
	registered := 0
	for i := 0; registered < objects; i++ {
		batch := numberedBlobs(i, chain.MaxBatch)
		if i%10 == 0 {
			batch[0].Attributes = []chain.Attribute{{Key: "mark", Value: "x"}}
		}
		out, err := ledger.Register(ctx, numbered('t', i), batch)
		if err != nil {
			t.Fatal(err)
		}
		registered += len(batch)
		if i%10 == 5 {
			sample.Blobs = append(sample.Blobs, batch[7].Blob)
			sample.Objects = append(sample.Objects, out.Registered[7].Object)
		}
	}
	timed := func(name string, q chain.OwnedQuery, want int) {
		start := time.Now()
		got, err := ledger.Owned(ctx, q)
		took := time.Since(start)
		if err != nil || len(got) != want {
			t.Errorf("%s: got %d objects, %v, want %d", name, len(got), err, want)
		}
		t.Logf("%s: %d of %d objects in %s", name, len(got), registered, took)
	}
	timed("all", chain.OwnedQuery{}, registered)
	timed("by blob", chain.OwnedQuery{Blobs: sample.Blobs}, len(sample.Blobs))
	timed("by object", chain.OwnedQuery{Objects: sample.Objects}, len(sample.Objects))
	timed("by object and blob", chain.OwnedQuery{Objects: sample.Objects, Blobs: sample.Blobs[:1]}, 1)
	timed("by attribute", chain.OwnedQuery{Key: "mark"}, (registered/chain.MaxBatch+9)/10)
	timed("reservations", chain.OwnedQuery{Storage: true}, 0)
	// More names than one statement takes.
	var blobs []walrus.BlobID
	for i := range 20 {
		for _, r := range numberedBlobs(i, chain.MaxBatch) {
			blobs = append(blobs, r.Blob)
		}
	}
	timed("many blobs", chain.OwnedQuery{Blobs: blobs}, min(len(blobs), registered))
}
