package cache_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walfs/walfs/blobstore/walrus"
	"github.com/walfs/walfs/cache"
)

const block = 4096 // what files are counted in

// sliverID returns the i-th ID of the tests.
func sliverID(i int) walrus.SliverID {
	id := walrus.SliverID{Axis: walrus.Axis(i % 2), Index: uint16(i)}
	binary.BigEndian.PutUint32(id.Blob[:], uint32(i)*0x9e3779b1)
	return id
}

// sliver returns size bytes that belong to i.
func sliver(i, size int) []byte {
	b := make([]byte, size)
	rng := rand.New(rand.NewPCG(uint64(i), 5))
	for j := range b {
		b[j] = byte(rng.Uint32())
	}
	return b
}

func open(t *testing.T, cfg cache.Config) *cache.Cache {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.MinFree == 0 {
		cfg.MinFree = -1
	}
	c, err := cache.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

func put(t *testing.T, c *cache.Cache, i, size int) {
	t.Helper()
	if err := c.Put(t.Context(), sliverID(i), sliver(i, size)); err != nil {
		t.Fatalf("Put %d: %v", i, err)
	}
}

// noFill fails the test when the cache asks for what it should have.
func noFill(t *testing.T) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		t.Error("fill was called for what should be cached")
		return nil, errors.New("not cached")
	}
}

func filler(b []byte, calls *atomic.Int64) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		calls.Add(1)
		return b, nil
	}
}

// files returns the files below dir with their sizes.
func files(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err == nil {
			found[path] = st.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// waitFor waits until ok is true.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

func TestGetFillsOnce(t *testing.T) {
	dir := t.TempDir()
	c := open(t, cache.Config{Dir: dir, Budget: 1 << 20})
	want := sliver(1, 10000)
	var calls atomic.Int64
	got, err := c.Get(t.Context(), sliverID(1), filler(want, &calls))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("first Get: %d bytes, %v", len(got), err)
	}
	waitFor(t, "the file", func() bool { return c.Has(sliverID(1)) })
	for range 3 {
		if got, err = c.Get(t.Context(), sliverID(1), noFill(t)); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("second Get: %d bytes, %v", len(got), err)
		}
	}
	if s := c.Stats(); calls.Load() != 1 || s.Hits != 3 || s.Misses != 1 {
		t.Errorf("%d fills, stats %+v, want 1 fill, 3 hits, 1 miss", calls.Load(), s)
	}
	if c.Has(sliverID(2)) {
		t.Error("Has of what was never stored")
	}
}

// TestFormat checks the file byte by byte against the table in the package comment.
func TestFormat(t *testing.T) {
	dir := t.TempDir()
	c := open(t, cache.Config{Dir: dir, Budget: 1 << 20})
	var blob walrus.BlobID
	for i := range blob {
		blob[i] = byte(0xa0 + i)
	}
	data := []byte("sliver bytes")
	for _, id := range []walrus.SliverID{{Blob: blob, Axis: walrus.Secondary, Index: 513}, cache.MetadataID(blob)} {
		if err := c.Put(t.Context(), id, data); err != nil {
			t.Fatal(err)
		}
	}
	h := "WSLC\x01\x00\x00\x00\x0c\x00\x00\x00"
	want := string(binary.LittleEndian.AppendUint32([]byte(h), crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))) + string(data)
	for _, name := range []string{"-1-513", "-2-0"} {
		path := filepath.Join(dir, "a0", fmt.Sprintf("%x", blob[:])+name)
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", path, got, err, want)
		}
		if st, err := os.Stat(path); err != nil || st.Mode() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", path, st.Mode(), err)
		}
	}
	golden, err := os.ReadFile("testdata/sliver.wslc")
	if err != nil || string(golden) != want {
		t.Errorf("golden file is %q, %v, want %q", golden, err, want)
	}
}

func TestBudgetIsHard(t *testing.T) {
	dir := t.TempDir()
	const budget = 10 * block
	c := open(t, cache.Config{Dir: dir, Budget: budget})
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 150 {
		put(t, c, i, rng.IntN(3*block))
		var sum int64
		for _, size := range files(t, dir) {
			sum += (size + block - 1) / block * block
		}
		if used := c.Used(); sum > budget || sum != used {
			t.Fatalf("after %d: %d bytes in files, %d used, budget %d", i, sum, used, budget)
		}
	}
	if !c.Has(sliverID(149)) || c.Stats().Evicted < 50 {
		t.Errorf("newest there: %v, stats %+v", c.Has(sliverID(149)), c.Stats())
	}
	put(t, c, 1000, budget) // with its header it is too large
	if c.Has(sliverID(1000)) || c.Used() == 0 {
		t.Errorf("a sliver above the budget: cached %v, %d bytes used", c.Has(sliverID(1000)), c.Used())
	}
}

func TestSetBudget(t *testing.T) {
	dir := t.TempDir()
	c := open(t, cache.Config{Dir: dir, Budget: 1 << 30})
	for i := range 200 {
		put(t, c, i, 100)
	}
	c.SetBudget(5 * block)
	if c.Used() != 5*block || c.Budget() != 5*block || len(files(t, dir)) != 5 {
		t.Errorf("used %d, budget %d, %d files, want 5 blocks", c.Used(), c.Budget(), len(files(t, dir)))
	}
	for i := range 200 {
		if got, want := c.Has(sliverID(i)), i >= 195; got != want {
			t.Errorf("Has(%d) = %v, want %v", i, got, want)
		}
	}
	c.SetBudget(-1)
	if c.Used() != 0 || c.Budget() != 0 || len(files(t, dir)) != 0 {
		t.Errorf("without a budget: used %d, %d files", c.Used(), len(files(t, dir)))
	}
	var calls atomic.Int64
	for range 2 {
		if _, err := c.Get(t.Context(), sliverID(1), filler(sliver(1, 10), &calls)); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the fill to land", func() bool { return calls.Load() > 0 })
	}
	if c.Has(sliverID(1)) {
		t.Error("cached without a budget")
	}
}

// TestScanResistance reads a few slivers often and then many once: the few stay.
func TestScanResistance(t *testing.T) {
	c := open(t, cache.Config{Budget: 20 * block})
	for i := range 5 {
		put(t, c, i, 100)
		if _, err := c.Get(t.Context(), sliverID(i), noFill(t)); err != nil {
			t.Fatal(err)
		}
	}
	for i := 100; i < 400; i++ {
		put(t, c, i, 100)
	}
	for i := range 5 {
		if !c.Has(sliverID(i)) {
			t.Errorf("sliver %d, asked for twice, was pushed out by slivers asked for once", i)
		}
	}
	if !c.Has(sliverID(399)) || c.Has(sliverID(380)) {
		t.Errorf("newest there: %v, one too many ago: %v", c.Has(sliverID(399)), c.Has(sliverID(380)))
	}
}

// TestProtectedShare asks for everything twice: new slivers must still get in.
func TestProtectedShare(t *testing.T) {
	c := open(t, cache.Config{Budget: 20 * block})
	for i := range 100 {
		put(t, c, i, 100)
		if _, err := c.Get(t.Context(), sliverID(i), noFill(t)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, c, 1000, 100)
	put(t, c, 1001, 100)
	for _, i := range []int{99, 1000, 1001} {
		if !c.Has(sliverID(i)) {
			t.Errorf("sliver %d is not there", i)
		}
	}
	if c.Has(sliverID(79)) || !c.Has(sliverID(85)) {
		t.Errorf("oldest there: %v, newer there: %v", c.Has(sliverID(79)), c.Has(sliverID(85)))
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	c := open(t, cache.Config{Dir: dir, Budget: 1 << 20})
	start := time.Now().Add(-time.Hour)
	for i := range 10 {
		put(t, c, i, 100+i)
	}
	used := c.Used()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	for i := range 10 { // 0 was used last, 9 longest ago
		id := sliverID(i)
		path := filepath.Join(dir, fmt.Sprintf("%x", id.Blob[:1]), fmt.Sprintf("%x-%d-%d", id.Blob[:], id.Axis, id.Index))
		when := start.Add(-time.Duration(i) * time.Minute)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	foreign := filepath.Join(dir, "aa")
	if err := os.MkdirAll(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tmp-ABC", "notes.txt", strings.Repeat("ab", 32) + "-0-1", strings.Repeat("aa", 32) + "-3-1",
		strings.Repeat("aa", 32) + "-0-01", strings.Repeat("AA", 32) + "-0-1", strings.Repeat("aa", 32) + "-0-65536"} {
		if err := os.WriteFile(filepath.Join(foreign, name), make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c = open(t, cache.Config{Dir: dir, Budget: 1 << 20})
	if c.Used() != used {
		t.Errorf("used %d after reopening, want %d", c.Used(), used)
	}
	if _, err := os.Stat(filepath.Join(foreign, "tmp-ABC")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("leftover of a cut write: %v", err)
	}
	if _, err := os.Stat(filepath.Join(foreign, "notes.txt")); err != nil {
		t.Errorf("file of somebody else: %v", err)
	}
	for i := range 10 {
		if got, err := c.Get(t.Context(), sliverID(i), noFill(t)); err != nil || !bytes.Equal(got, sliver(i, 100+i)) {
			t.Errorf("sliver %d after reopening: %v", i, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReopenKeepsOrder(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Add(-24 * time.Hour)
	clock := func() time.Time { return now }
	c := open(t, cache.Config{Dir: dir, Budget: 1 << 20, Now: clock})
	for i := range 10 {
		put(t, c, i, 100)
	}
	for i := 9; i >= 0; i-- { // a hit renews the time of an old file
		now = now.Add(time.Hour)
		if _, err := c.Get(t.Context(), sliverID(i), noFill(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = open(t, cache.Config{Dir: dir, Budget: 3 * block})
	for i := range 10 {
		if got, want := c.Has(sliverID(i)), i < 3; got != want {
			t.Errorf("Has(%d) = %v after reopening with less budget, want %v", i, got, want)
		}
	}
}

func TestDamagedFile(t *testing.T) {
	edit := func(f func(b []byte) []byte) func(string) error {
		return func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, f(b), 0o600)
		}
	}
	flip := func(off int) func(string) error {
		return edit(func(b []byte) []byte { b[off] ^= 8; return b })
	}
	cases := map[string]struct {
		damage  func(path string) error
		corrupt uint64
	}{
		"data":     {flip(500), 1},
		"magic":    {flip(0), 1},
		"version":  {flip(4), 1},
		"length":   {flip(8), 1},
		"checksum": {flip(15), 1},
		"cut":      {edit(func(b []byte) []byte { return b[:200] }), 1},
		"longer":   {edit(func(b []byte) []byte { return append(b, 0) }), 1},
		"empty":    {edit(func([]byte) []byte { return nil }), 1},
		"zeros":    {edit(func(b []byte) []byte { clear(b); return b }), 1},
		"gone":     {os.Remove, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := open(t, cache.Config{Dir: dir, Budget: 1 << 20})
			put(t, c, 1, 1000)
			for path := range files(t, dir) {
				if err := tc.damage(path); err != nil {
					t.Fatal(err)
				}
			}
			var calls atomic.Int64
			want := sliver(1, 1000)
			got, err := c.Get(t.Context(), sliverID(1), filler(want, &calls))
			if err != nil || !bytes.Equal(got, want) || calls.Load() != 1 {
				t.Fatalf("Get: %v after %d fills", err, calls.Load())
			}
			waitFor(t, "the new file", func() bool { return c.Has(sliverID(1)) })
			if got, err := c.Get(t.Context(), sliverID(1), noFill(t)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("second Get: %v", err)
			}
			if s := c.Stats(); s.Corrupt != tc.corrupt || s.Misses != 1 || s.Hits != 1 || c.Used() != block {
				t.Errorf("stats %+v, used %d", s, c.Used())
			}
		})
	}
}

// TestMemory reads slivers whose files are changed behind the cache: those just
// read come from memory, others are found damaged, and the limit is kept.
func TestMemory(t *testing.T) {
	const size = 1000
	for _, tc := range []struct {
		name   string
		memory int64
		kept   int
	}{{"none", -1, 0}, {"two and a half slivers", 2500, 2}, {"less than one", 999, 0}, {"default", 0, 10}} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			c := open(t, cache.Config{Dir: dir, Budget: 1 << 20, Memory: tc.memory})
			for i := range 10 {
				put(t, c, i, size)
				if _, err := c.Get(t.Context(), sliverID(i), noFill(t)); err != nil {
					t.Fatal(err)
				}
			}
			for path := range files(t, dir) {
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var calls atomic.Int64
			for i := 9; i >= 0; i-- {
				want := sliver(i, size)
				if got, err := c.Get(t.Context(), sliverID(i), filler(want, &calls)); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("Get %d: %v", i, err)
				}
			}
			if calls.Load() != int64(10-tc.kept) || c.Stats().Corrupt != uint64(10-tc.kept) {
				t.Errorf("%d fills, stats %+v, want %d from memory", calls.Load(), c.Stats(), tc.kept)
			}
			c.SetBudget(0)
			// A fill that is still being written down may answer once more.
			waitFor(t, "a fill, since memory holds nothing that is not on disk", func() bool {
				_, err := c.Get(t.Context(), sliverID(9), filler(sliver(9, size), &calls))
				return err == nil && calls.Load() == int64(11-tc.kept)
			})
		})
	}
}

func TestClear(t *testing.T) {
	dir := t.TempDir()
	c := open(t, cache.Config{Dir: dir, Budget: 1 << 20})
	for i := range 150 {
		put(t, c, i, 10)
	}
	if err := c.Clear(); err != nil {
		t.Fatal(err)
	}
	if n := len(files(t, dir)); c.Used() != 0 || n != 0 || c.Has(sliverID(3)) {
		t.Errorf("after Clear: %d used, %d files", c.Used(), n)
	}
	put(t, c, 3, 10)
	if !c.Has(sliverID(3)) {
		t.Error("nothing is cached after Clear")
	}
}

func TestFillErrors(t *testing.T) {
	c := open(t, cache.Config{Budget: 1 << 20})
	broken := errors.New("no node answers")
	if _, err := c.Get(t.Context(), sliverID(1), func(context.Context) ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want the error of fill", err)
	}
	var calls atomic.Int64
	if _, err := c.Get(t.Context(), sliverID(1), filler([]byte("x"), &calls)); err != nil || calls.Load() != 1 {
		t.Errorf("an error was remembered: %v, %d fills", err, calls.Load())
	}
}

func TestSingleFlight(t *testing.T) {
	c := open(t, cache.Config{Budget: 1 << 20})
	var calls atomic.Int64
	release := make(chan struct{})
	fill := func(context.Context) ([]byte, error) {
		calls.Add(1)
		<-release
		return []byte("once"), nil
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := c.Get(context.Background(), sliverID(1), fill); err != nil || string(got) != "once" {
				t.Errorf("Get: %q, %v", got, err)
			}
		})
	}
	waitFor(t, "all to wait", func() bool { return c.Stats().Misses == 20 })
	close(release)
	wg.Wait()
	if calls.Load() != 1 {
		t.Errorf("%d fills, want 1", calls.Load())
	}
}

// TestWaiterGivesUp cancels the one who started the fill: the other still gets it.
func TestWaiterGivesUp(t *testing.T) {
	c := open(t, cache.Config{Budget: 1 << 20})
	release := make(chan struct{})
	fill := func(ctx context.Context) ([]byte, error) {
		select {
		case <-release:
			return []byte("for the patient"), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	hasty, cancel := context.WithCancel(context.Background())
	gaveUp := make(chan error, 1)
	go func() {
		_, err := c.Get(hasty, sliverID(1), fill)
		gaveUp <- err
	}()
	waitFor(t, "the first", func() bool { return c.Stats().Misses == 1 })
	patient := make(chan error, 1)
	go func() {
		got, err := c.Get(context.Background(), sliverID(1), fill)
		if string(got) != "for the patient" {
			err = errors.Join(err, fmt.Errorf("got %q", got))
		}
		patient <- err
	}()
	waitFor(t, "the second", func() bool { return c.Stats().Misses == 2 })
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up got %v", err)
	}
	close(release)
	if err := <-patient; err != nil {
		t.Errorf("who waited got %v", err)
	}
}

// TestAllGiveUp cancels everybody: the fill ends, and who comes then starts anew.
func TestAllGiveUp(t *testing.T) {
	c := open(t, cache.Config{Budget: 1 << 20})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		_, err := c.Get(ctx, sliverID(1), func(ctx context.Context) ([]byte, error) {
			defer close(ended)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		result <- err
	}()
	waitFor(t, "the fill", func() bool { return c.Stats().Misses == 1 })
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	var calls atomic.Int64
	if got, err := c.Get(context.Background(), sliverID(1), filler([]byte("anew"), &calls)); err != nil || string(got) != "anew" {
		t.Errorf("who came next got %q, %v", got, err)
	}
	<-ended
}

func TestClose(t *testing.T) {
	c := open(t, cache.Config{Budget: 1 << 20})
	result := make(chan error, 1)
	go func() {
		_, err := c.Get(context.Background(), sliverID(1), func(ctx context.Context) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		result <- err
	}()
	waitFor(t, "the fill", func() bool { return c.Stats().Misses == 1 })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, cache.ErrClosed) {
		t.Errorf("Get during Close: %v, want ErrClosed", err)
	}
	if _, err := c.Get(context.Background(), sliverID(2), noFill(t)); !errors.Is(err, cache.ErrClosed) {
		t.Errorf("Get after Close: %v, want ErrClosed", err)
	}
	if err := c.Put(t.Context(), sliverID(2), nil); !errors.Is(err, cache.ErrClosed) {
		t.Errorf("Put after Close: %v, want ErrClosed", err)
	}
}

// TestTogether lets readers, writers, a clearer and a changing budget loose on
// one cache. Nobody may see wrong bytes, and the books must balance at the end.
func TestTogether(t *testing.T) {
	dir := t.TempDir()
	c := open(t, cache.Config{Dir: dir, Budget: 30 * block})
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(11, uint64(g)))
			for range 150 {
				i := rng.IntN(60)
				want := sliver(i, 50+97*i)
				got, err := c.Get(context.Background(), sliverID(i), func(context.Context) ([]byte, error) { return want, nil })
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("Get %d: %d bytes, %v", i, len(got), err)
				}
				if err := c.Put(t.Context(), sliverID(i+1), sliver(i+1, 50+97*(i+1))); err != nil {
					t.Errorf("Put: %v", err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 40 {
			c.SetBudget(int64(i%5) * 10 * block)
			if i%10 == 0 {
				if err := c.Clear(); err != nil {
					t.Errorf("Clear: %v", err)
				}
			}
			time.Sleep(time.Millisecond)
		}
		c.SetBudget(30 * block)
	})
	wg.Wait()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	var sum int64
	for path, size := range files(t, dir) {
		sum += (size + block - 1) / block * block
		if strings.Contains(path, "tmp-") {
			t.Errorf("temporary file %s is left", path)
		}
	}
	if used := c.Used(); used != sum || used > c.Budget() {
		t.Errorf("used %d, %d bytes in files, budget %d", used, sum, c.Budget())
	}
}

func BenchmarkGet(b *testing.B) {
	c, err := cache.Open(cache.Config{Dir: b.TempDir(), Budget: 1 << 30, MinFree: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for _, size := range []int{256 << 10, 1 << 20} {
		const count = 100 // with 256 KiB more than memory holds
		for i := range count {
			if err := c.Put(b.Context(), sliverID(size+i), sliver(1, size)); err != nil {
				b.Fatal(err)
			}
		}
		for name, step := range map[string]int{"disk": 1, "memory": 0} {
			b.Run(fmt.Sprintf("%dKiB/%s", size>>10, name), func(b *testing.B) {
				b.SetBytes(int64(size))
				for i := 0; b.Loop(); i += step {
					if _, err := c.Get(b.Context(), sliverID(size+i%count), nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkPut(b *testing.B) {
	c, err := cache.Open(cache.Config{Dir: b.TempDir(), Budget: 64 << 20, MinFree: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	data := sliver(1, 256<<10)
	b.SetBytes(int64(len(data)))
	for i := 0; b.Loop(); i++ {
		if err := c.Put(b.Context(), sliverID(i), data); err != nil {
			b.Fatal(err)
		}
	}
}
