package main

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
)

// span is a duration that a person gives, in settings and flags alike: "30s", "7d", "1w2d", "1d12h".
type span time.Duration

// longUnits are days and weeks, which time.ParseDuration does not know; they come first.
var longUnits = regexp.MustCompile(`^([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([dw])`)

// parseSpan reads the text form. Days have 24 hours, and weeks seven days.
func parseSpan(text string) (time.Duration, error) {
	hours, rest := 0.0, text
	for {
		found := longUnits.FindStringSubmatch(rest)
		if found == nil {
			break
		}
		n, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			return 0, fmt.Errorf("%q is no time", text)
		}
		if hours, rest = hours+n*24, rest[len(found[0]):]; found[2] == "w" {
			hours += n * 6 * 24
		}
	}
	if rest == "" && text != "" {
		rest = "0"
	}
	// Hours in its own words, so that what does not fit is refused.
	long, err := time.ParseDuration(strconv.FormatFloat(hours, 'f', -1, 64) + "h")
	if err == nil {
		var short time.Duration
		if short, err = time.ParseDuration(rest); err == nil && short <= math.MaxInt64-long {
			return long + short, nil
		}
	}
	return 0, fmt.Errorf("%q is no time such as 30s, 12h, 3d or 2w", text)
}

// UnmarshalText reads the text form.
func (s *span) UnmarshalText(text []byte) error {
	d, err := parseSpan(string(text))
	*s = span(d)
	return err
}

// Set reads the text form from a flag.
func (s *span) Set(text string) error { return s.UnmarshalText([]byte(text)) }

func (s *span) Type() string { return "TIME" }

func (s *span) String() string {
	if *s == 0 {
		return "0" // as pflag knows what is no default
	}
	return time.Duration(*s).String()
}

// MarshalText writes the text form.
func (s span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }
