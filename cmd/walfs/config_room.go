package main

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/ui"
	drivefs "github.com/walfs/walfs/fs"
)

// share is a size in bytes, or a part of a disk in percent: "2GiB" or "5%" in text.
type share struct {
	bytes   byteSize
	percent float64
}

// UnmarshalText reads the text form.
func (s *share) UnmarshalText(text []byte) error {
	number, isShare := strings.CutSuffix(string(text), "%")
	if !isShare {
		*s = share{}
		return s.bytes.UnmarshalText(text)
	}
	percent, err := strconv.ParseFloat(number, 64)
	if err != nil || !(percent >= 0 && percent <= 100) {
		return fmt.Errorf("%q is no size and no part from 0%% to 100%%", text)
	}
	*s = share{percent: percent}
	return nil
}

// MarshalText writes the text form.
func (s share) MarshalText() ([]byte, error) {
	if s.percent > 0 {
		return []byte(strconv.FormatFloat(s.percent, 'f', -1, 64) + "%"), nil
	}
	return s.bytes.MarshalText()
}

// Set reads the text form from the environment.
func (s *share) Set(text string) error { return s.UnmarshalText([]byte(text)) }

// of returns the bytes that a share of a disk with total bytes is.
func (s share) of(total int64) int64 {
	if s.percent > 0 {
		return int64(s.percent / 100 * float64(total))
	}
	return int64(s.bytes)
}

// floor returns how many bytes slivers and clean copies leave free on the disk of dir:
// the setting, or what draining keeps in reserve there.
func (c *config) floor(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("room for the cache: %w", err)
	}
	total := int64(st.Blocks) * st.Bsize
	if c.MinFree != nil {
		return max(1, c.MinFree.of(total)), nil // 0 means a default to the cache
	}
	return reserveOf(total), nil
}

// readers is what programs in the background may fetch, by name.
type readers string

// readerModes are the names; none is the first.
var readerModes = map[readers]drivefs.Background{
	"": drivefs.SlowBackground, "slow": drivefs.SlowBackground, "allow": drivefs.AllowBackground, "deny": drivefs.DenyBackground,
}

// UnmarshalText reads the name.
func (r *readers) UnmarshalText(text []byte) error {
	if _, ok := readerModes[readers(text)]; !ok {
		return fmt.Errorf("%q is not slow, allow or deny", text)
	}
	*r = readers(text)
	return nil
}

// Set reads the name from the environment.
func (r *readers) Set(text string) error { return r.UnmarshalText([]byte(text)) }

// checkRoom refuses limits that no drive can have.
func (c *config) checkRoom(h home) error {
	for name, n := range map[string]byteSize{"cache_budget": c.CacheBudget, "staging_limit": c.StagingLimit, "readahead": c.Readahead, "quota": c.Quota} {
		if n < 0 {
			return ui.Errorf(ui.Usage, "%s: %s cannot be negative", h.config(), name)
		}
	}
	if _, ok := readerModes[c.Readers]; !ok { // the decoder takes any text for it
		return ui.Errorf(ui.Usage, "%s: background_readers: %q is not slow, allow or deny", h.config(), string(c.Readers))
	}
	return nil
}
