package ui

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// Style is a colour or weight of text.
type Style string

// The styles, with the numbers that ECMA-48 gives them (select graphic
// rendition).
const (
	Normal Style = ""
	Bold   Style = "1"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
)

// Paint returns text in style s for stdout, or as it is where stdout has no
// colours.
func (u *UI) Paint(s Style, text string) string { return u.out.paint(s, text) }

func (st stream) paint(s Style, text string) string {
	if !st.colour || s == Normal || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// Clean returns s with control characters and bytes that are not UTF-8 shown as
// escapes, so that a name cannot change what a terminal shows.
func Clean(s string) string {
	if !strings.ContainsFunc(s, hidden) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case hidden(r):
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// hidden reports whether r shows nothing of its own or changes its neighbours:
// control characters, and those that turn the direction of text.
func hidden(r rune) bool {
	return r != ' ' && !unicode.IsGraphic(r)
}

// Plural returns n and what there are so many of: "1 file", "2 files".
func Plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(int64(n), 10) + " " + many
}

// Size returns n bytes in words of at most three digits, as in "1.3 GiB".
func Size(n int64) string {
	if n < 0 {
		return "-" + humanize.IBytes(uint64(-n))
	}
	return humanize.IBytes(uint64(n))
}

// ParseSize reads a size in bytes as people write it: "512", "20G" and "20 GB"
// are powers of 1000, "20GiB" and "20Gi" of 1024.
func ParseSize(s string) (int64, error) {
	n, err := humanize.ParseBytes(s)
	if err != nil || n > math.MaxInt64 {
		return 0, fmt.Errorf("size %q: want a number and a unit, such as 20GiB", s)
	}
	return int64(n), nil
}

// sizeUnits are the units of sizePair, each 1024 of the one before.
var sizeUnits = [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

// sizePair returns done and total bytes in the unit of total: "1.3/4.0 GiB".
func sizePair(done, total int64) string {
	unit, scale := 0, 1.0
	for float64(total)/scale >= 1000 && unit < len(sizeUnits)-1 {
		unit, scale = unit+1, scale*1024
	}
	digits := func(n int64) string {
		v := float64(n) / scale
		if unit > 0 && v < 9.95 {
			return strconv.FormatFloat(v, 'f', 1, 64)
		}
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return digits(done) + "/" + digits(total) + " " + sizeUnits[unit]
}

// Duration returns d with its two largest units, as in "1m12s" or "3d4h".
func Duration(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%dm", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%dd%dh", s/86400, s%86400/3600)
}
