package main

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/chain/sui"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// sheetKeys are keys that are the same in every run.
func sheetKeys(t *testing.T) keys {
	t.Helper()
	secret := func(first byte) (s [32]byte) {
		for i := range s {
			s[i] = first + byte(i)
		}
		return s
	}
	wallet, err := sui.WalletFromSeed(secret(0x80))
	if err != nil {
		t.Fatal(err)
	}
	ring := seal.NewKeyring(1, secret(0x20))
	if err := ring.Add(2, secret(0x40)); err != nil {
		t.Fatal(err)
	}
	return keys{drive: [16]byte{0xab, 0xcd, 15: 0xef}, ring: ring, wallet: wallet}
}

func sameKeys(a, b keys) bool {
	return string(a.file().Encode()) == string(b.file().Encode()) && a.wallet.Text() == b.wallet.Text()
}

// TestSheetGolden holds the format: a sheet that was printed once has to be read for ever.
func TestSheetGolden(t *testing.T) {
	golden, err := os.ReadFile("testdata/sheet.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(sheetText(sheetKeys(t))); got != string(golden) {
		t.Errorf("got\n%s\nwant\n%s", got, golden)
	}
	if k, err := readSheet(golden); err != nil || !sameKeys(k, sheetKeys(t)) {
		t.Errorf("read back: %v", err)
	}
}

func TestSheet(t *testing.T) {
	want := sheetKeys(t)
	page := string(sheetPage(want, "/home/ada/network", "walfs", "2026-08-01"))
	body := strings.NewReplacer("0", "o", "1", "l")
	tests := map[string]string{
		"as printed":    page,
		"lines alone":   string(sheetText(want)),
		"lower case":    strings.ToLower(page),
		"look-alikes":   retype(page, body.Replace),
		"without gaps":  retype(page, func(s string) string { return strings.ReplaceAll(s, " ", "") }),
		"with dashes":   retype(page, func(s string) string { return strings.ReplaceAll(s, " ", "-") }),
		"windows":       strings.ReplaceAll(page, "\n", "\r\n"),
		"another order": reversed(page),
		"such labels":   strings.NewReplacer("key-1-a", "key-l-a", "key-1-b", "Key-I-B").Replace(page),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := readSheet([]byte(text))
			if err != nil || !sameKeys(got, want) {
				t.Errorf("got %v, %v\n%s", got.drive, err, text)
			}
		})
	}
}

// retype changes what stands behind the labels.
func retype(page string, change func(string) string) string {
	var b strings.Builder
	for line := range strings.Lines(page) {
		if m := sheetLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			line = m[1] + ":" + change(m[2]) + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

func reversed(page string) string {
	lines := strings.Split(page, "\n")
	slices.Reverse(lines)
	return strings.Join(lines, "\n")
}

// TestSheetMistakes changes every character of every line, and leaves out every line.
func TestSheetMistakes(t *testing.T) {
	text := string(sheetText(sheetKeys(t)))
	refused := func(what, text, names string) {
		t.Helper()
		_, err := readSheet([]byte(text))
		var failed *ui.Error
		if !errors.As(err, &failed) || failed.Code != ui.WrongKey || !strings.Contains(failed.Error(), names) {
			t.Errorf("%s: %v, want an error that names %s", what, err, names)
		}
	}
	lines := slices.Collect(strings.Lines(text))
	for i, line := range lines {
		label, digits, _ := strings.Cut(line, ":")
		label = strings.TrimSpace(label)
		without := strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "")
		refused("without "+label, without, label)
		refused("twice "+label, text+line, label)
		for at, c := range digits {
			other := 'Z'
			if c == other {
				other = 'Y'
			}
			if strings.ContainsRune(" \n", c) {
				continue
			}
			wrong := line[:len(line)-len(digits)] + digits[:at] + string(other) + digits[at+1:]
			refused("mistyped "+label, strings.Replace(text, line, wrong, 1), label)
		}
	}
	digits := strings.SplitN(lines[2], ":", 2)[1]
	unknown := strings.TrimRight(digits, "\n")
	refused("a letter that is on no sheet", strings.Replace(text, digits, unknown[:12]+"u"+unknown[13:]+"\n", 1), `'U', in group `)
	refused("a letter too few", strings.Replace(text, digits, unknown[:len(unknown)-1]+"\n", 1), "there are 31 characters")
	other := sheetKeys(t)
	other.drive[0]++
	mixed := strings.Replace(text, lines[1], strings.SplitAfter(string(sheetText(other)), "\n")[1], 1)
	refused("a line of another drive", mixed, "key-1-a")
	var fewer []string // a whole key is left out
	for _, line := range lines {
		if !strings.Contains(line, "key-2") {
			fewer = append(fewer, line)
		}
	}
	refused("without key 2", strings.Join(fewer, ""), "all")
	refused("nothing", "", "drive")
}

func FuzzReadSheet(f *testing.F) {
	golden, err := os.ReadFile("testdata/sheet.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte("drive: 0000\nkey-99999999999-a:\nall: U\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := readSheet(text)
		if err != nil {
			return
		}
		again, err := readSheet(sheetText(k))
		if err != nil || !sameKeys(again, k) {
			t.Errorf("what was read is not what is written: %v", err)
		}
	})
}
