package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// coin is one of the two currencies that an owner pays with.
type coin string

// The currencies, as --json has them.
const (
	coinWAL coin = "WAL"
	coinSUI coin = "SUI"
)

// coinDecimals is how many decimals both currencies have. Source: modules wal and sui.
const coinDecimals = 9

// amountUnits are what amounts are written in, and how many decimals of the currency each has.
var amountUnits = []struct {
	name     string
	coin     coin
	decimals int
}{{"WAL", coinWAL, coinDecimals}, {"FROST", coinWAL, 0}, {"SUI", coinSUI, coinDecimals}, {"MIST", coinSUI, 0}}

// parseAmount reads an amount with its unit, as 1.5WAL, "1.5 WAL" or 1500000000FROST, and
// returns it in FROST or MIST. There are no signs, exponents, separators, or decimals that
// the currency does not have; zero is no amount.
func parseAmount(text string) (uint64, coin, error) {
	number := strings.TrimRight(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	name := text[len(number):]
	number = strings.TrimSuffix(number, " ")
	for _, u := range amountUnits {
		if u.name != name {
			continue
		}
		n, err := parseDecimal(number, u.decimals)
		if err == nil && n == 0 {
			err = errors.New("it is nothing")
		}
		if err != nil {
			return 0, "", usagef("amount %q: %w", text, err)
		}
		return n, u.coin, nil
	}
	return 0, "", usagef("amount %q: want a number and a unit, as 1.5WAL, 20FROST, 1.5SUI or 20MIST", text)
}

// parseWAL reads an amount of WAL, in FROST.
func parseWAL(text string) (uint64, error) {
	n, kind, err := parseAmount(text)
	if err == nil && kind != coinWAL {
		err = usagef("amount %q: want WAL or FROST", text)
	}
	return n, err
}

// parseDecimal reads a number with at most so many decimals, times ten to the power of that.
func parseDecimal(text string, decimals int) (uint64, error) {
	whole, fraction, point := strings.Cut(text, ".")
	digits := whole + fraction
	switch {
	case whole == "" || point && fraction == "" || strings.Trim(digits, "0123456789") != "":
		return 0, errors.New("want digits, with a point between them at most")
	case len(fraction) > decimals:
		return 0, fmt.Errorf("there are %d decimals at most", decimals)
	}
	n, err := strconv.ParseUint(digits+strings.Repeat("0", decimals-len(fraction)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("there is not so much: want at most %d of the smallest unit", uint64(math.MaxUint64))
	}
	return n, nil
}

// wal writes an amount of FROST in WAL.
func wal(frost uint64) string { return formatAmount(frost, coinWAL) }

// suis writes an amount of MIST in SUI.
func suis(mist uint64) string { return formatAmount(mist, coinSUI) }

// formatAmount writes an amount in full, without zeros at its end, and the currency.
func formatAmount(n uint64, c coin) string {
	text := fmt.Sprintf("%0*d", coinDecimals+1, n)
	at := len(text) - coinDecimals
	return strings.TrimSuffix(text[:at]+"."+strings.TrimRight(text[at:], "0"), ".") + " " + string(c)
}

// formatChange is formatAmount for what came, or went.
func formatChange(n int64, c coin) string {
	if n < 0 {
		return "-" + formatAmount(uint64(-n), c)
	}
	return formatAmount(uint64(n), c)
}
