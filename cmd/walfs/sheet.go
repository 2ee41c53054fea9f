package main

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// A recovery sheet is text for a printer. Of it count the lines "LABEL: GROUPS" whose label is
// drive, key-N-a, key-N-b, wallet-a, wallet-b or all. The groups, joined, are Crockford's base32
// of 16 bytes and their check; those of "all" are a check alone. A 32-byte secret takes two
// lines, a and b. A check is the start of the SHA-256 of sheetMagic, a newline, the drive ID,
// label, a zero byte and what is checked: for "all" the text of a key file and the wallet's seed.
const (
	sheetMagic = "walfs recovery sheet 1"
	lineBytes  = 16 // that one line holds
	lineCheck  = 4  // bytes of its check
	allCheck   = 5  // bytes of the check of all
	groupSize  = 4  // characters
)

// sheetDigits is base32 without letters that look like digits. Source: Crockford.
var sheetDigits = base32.NewEncoding(sheetLetters).WithPadding(base32.NoPadding)

const sheetLetters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// sheetLine finds the lines that count.
var sheetLine = regexp.MustCompile(`(?i)^\s*(drive|key-[\doil]+-[ab]|wallet-[ab]|all):(.*)$`)

// sheetText returns the lines of the sheet that hold k.
func sheetText(k keys) []byte {
	var b []byte
	put := func(label string, data []byte) {
		b = fmt.Appendf(b, "    %-10s", label+":")
		for group := range slices.Chunk([]byte(sheetDigits.EncodeToString(data)), groupSize) {
			b = fmt.Appendf(b, " %s", group)
		}
		b = append(b, '\n')
	}
	line := func(label string, data []byte) {
		sum := sheetSum(k.drive, label, data)
		put(label, append(slices.Clone(data), sum[:lineCheck]...))
	}
	halves := func(label string, secret [2 * lineBytes]byte) {
		line(label+"-a", secret[:lineBytes])
		line(label+"-b", secret[lineBytes:])
		clear(secret[:])
	}
	line("drive", k.drive[:])
	all := k.ring.Keys()
	for _, number := range slices.Sorted(maps.Keys(all)) {
		halves(fmt.Sprintf("key-%d", number), all[number])
	}
	halves("wallet", k.wallet.Seed())
	sum := sheetSum(k.drive, "all", sheetAll(k.file(), k.wallet))
	put("all", sum[:allCheck])
	return b
}

// sheetAll is what the check of all is over.
func sheetAll(file seal.KeyFile, wallet *sui.Wallet) []byte {
	seed := wallet.Seed()
	return append(file.Encode(), seed[:]...)
}

func sheetSum(drive [16]byte, label string, data []byte) [sha256.Size]byte {
	text := append([]byte(sheetMagic+"\n"), drive[:]...)
	text = append(append(text, label...), 0)
	return sha256.Sum256(append(text, data...))
}

// readSheet returns the keys on a sheet, as a person has typed it: case and blanks do not
// matter, nor do O for 0 and I or L for 1. What is wrong is named by its line.
func readSheet(text []byte) (keys, error) {
	lines := map[string]string{}
	for row := range strings.Lines(string(text)) {
		m := sheetLine.FindStringSubmatch(strings.TrimRight(row, "\r\n"))
		if m == nil {
			continue
		}
		label := sheetLabel(m[1])
		if _, twice := lines[label]; twice {
			return keys{}, sheetError("line %q is there twice", label)
		}
		lines[label] = m[2]
	}
	k := keys{}
	drive, err := typed(lines, k.drive, "drive")
	if err != nil {
		return k, err
	}
	k.drive = [16]byte(drive)
	if err := typedKeys(lines, &k); err != nil {
		return keys{}, err
	}
	seed, err := typedHalves(lines, k.drive, "wallet")
	if err != nil {
		return keys{}, err
	}
	defer clear(seed[:])
	if k.wallet, err = sui.WalletFromSeed(seed); err != nil {
		return keys{}, err
	}
	sum := sheetSum(k.drive, "all", sheetAll(k.file(), k.wallet))
	if got, err := typedDigits(lines["all"]); err != nil || string(got) != string(sum[:allCheck]) {
		return keys{}, sheetError("line \"all\" does not fit: it is mistyped, or a line is missing")
	}
	return k, nil
}

// sheetLabel returns a label as it stands on the sheet. Only a key's has digits.
func sheetLabel(text string) string {
	label := strings.ToLower(text)
	if number, ok := strings.CutPrefix(label, "key-"); ok {
		label = "key-" + readable.Replace(strings.ToUpper(number[:len(number)-len("-a")])) + number[len(number)-len("-a"):]
	}
	return label
}

// typedKeys reads all drive keys.
func typedKeys(lines map[string]string, k *keys) error {
	file := seal.KeyFile{Drive: k.drive, Keys: map[uint32]seal.Key{}}
	for label := range lines {
		digits, ok := strings.CutPrefix(label, "key-")
		if !ok {
			continue
		}
		number, err := strconv.ParseUint(digits[:len(digits)-len("-a")], 10, 32)
		if err != nil {
			return sheetError("line %q has no such number", label)
		}
		secret, err := typedHalves(lines, k.drive, fmt.Sprintf("key-%d", number))
		if err != nil {
			return err
		}
		file.Keys[uint32(number)] = secret
	}
	if len(file.Keys) == 0 {
		return sheetError("there is no line \"key-1-a\"")
	}
	ring, err := file.Keyring()
	k.ring = ring
	return err
}

func typedHalves(lines map[string]string, drive [16]byte, label string) (secret [2 * lineBytes]byte, err error) {
	for i, half := range []string{"-a", "-b"} {
		data, err := typed(lines, drive, label+half)
		if err != nil {
			return secret, err
		}
		copy(secret[i*lineBytes:], data)
		clear(data)
	}
	return secret, nil
}

// typed reads one line. That of the drive is checked with the ID that stands in it.
func typed(lines map[string]string, drive [16]byte, label string) ([]byte, error) {
	text, ok := lines[label]
	if !ok {
		return nil, sheetError("there is no line %q", label)
	}
	line, err := typedDigits(text)
	if at := (base32.CorruptInputError)(0); errors.As(err, &at) {
		if digits := []rune(strings.ToUpper(dense.Replace(text))); int(at) < len(digits) && !strings.ContainsRune(sheetLetters, digits[at]) {
			return nil, sheetError("line %q: %q, in group %d, is on no sheet", label, digits[at], int(at)/groupSize+1)
		}
	}
	if err != nil || len(line) != lineBytes+lineCheck {
		return nil, sheetError("line %q: there are %d characters, and on the paper 8 groups of 4", label, len([]rune(dense.Replace(text))))
	}
	if label == "drive" {
		drive = [16]byte(line)
	}
	sum := sheetSum(drive, label, line[:lineBytes])
	if string(line[lineBytes:]) != string(sum[:lineCheck]) {
		return nil, sheetError("line %q is mistyped, or from the sheet of another drive", label)
	}
	return line[:lineBytes], nil
}

// readable puts what people take for one another right; dense drops what only helps the eye.
var (
	readable = strings.NewReplacer("O", "0", "I", "1", "L", "1")
	dense    = strings.NewReplacer(" ", "", "\t", "", "-", "")
)

func typedDigits(text string) ([]byte, error) {
	return sheetDigits.DecodeString(readable.Replace(strings.ToUpper(dense.Replace(text))))
}

func sheetError(format string, args ...any) error {
	return ui.Errorf(ui.WrongKey, "recovery sheet: "+format, args...).WithHint("compare that line with the paper")
}

// sheetPage is the whole sheet, with what to do with it.
func sheetPage(k keys, network, self, date string) []byte {
	page := fmt.Appendf(nil, `%s

This sheet opens a walfs drive: who has it can read all that is in the drive, and
spend what its wallet holds. Keep it where only you can get at it, and not with the
machine that the drive is on.

    drive ID    %s
    network     %s
    made on     %s

`, sheetMagic, hex.EncodeToString(k.drive[:]), ui.Clean(network), date)
	page = append(page, sheetText(k)...)
	return fmt.Appendf(page, `
To get the drive back:
 1. Type the lines with a colon above into a text file, each with its label. Upper or
    lower case, blanks, and O for 0 or I and L for 1 do not matter. Each line carries a
    check of its own, so that a mistake is found by its line.
 2. chmod 600 FILE
 3. %s --home NEW-FOLDER restore --network NETWORK-FOLDER --sheet FILE
    The network folder holds the ledger and the nodes; the sheet does not replace it. If
    that folder is lost and node folders are left: --node-dir FOLDER for each of them, in
    place of --network.
 4. Delete the file.
`, self)
}
