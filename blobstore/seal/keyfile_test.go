package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/blobstore/seal"
)

func testKeyFile() seal.KeyFile {
	f := seal.KeyFile{Keys: map[uint32]seal.Key{
		1: seal.Key(bytes.Repeat([]byte{0x11}, 32)),
		2: seal.Key(bytes.Repeat([]byte{0x22}, 32)),
	}}
	for i := range f.Drive {
		f.Drive[i] = byte(i)
	}
	return f
}

func sameKeyFile(a, b seal.KeyFile) bool { return bytes.Equal(a.Encode(), b.Encode()) }

// newIdentity makes an identity file in a folder of its own.
func newIdentity(t *testing.T) (string, []age.Recipient, []age.Identity) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "identity")
	r, err := seal.NewIdentityFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := seal.ReadIdentityFile(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return path, []age.Recipient{r}, ids
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.age")
	idPath, recipients, ids := newIdentity(t)
	want := testKeyFile()
	if err := seal.WriteKeyFile(path, want, recipients); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, idPath} {
		st, err := os.Lstat(p)
		if err != nil || st.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v, want 0600", p, st.Mode(), err)
		}
	}
	got, err := seal.ReadKeyFile(path, ids)
	if err != nil || !sameKeyFile(got, want) {
		t.Errorf("ReadKeyFile: %v, %v", got, err)
	}
	if raw, _ := os.ReadFile(path); bytes.Contains(raw, []byte("1111")) || !bytes.HasPrefix(raw, []byte("age-encryption.org/v1")) {
		t.Error("the key file is not an age file, or shows a key")
	}
	_, _, strangers := newIdentity(t)
	for name, ids := range map[string][]age.Identity{"another identity": strangers, "no identity": nil} {
		if _, err := seal.ReadKeyFile(path, ids); !errors.Is(err, seal.ErrWrongKey) {
			t.Errorf("%s: %v, want ErrWrongKey", name, err)
		}
	}
}

func TestGoldenKeyFile(t *testing.T) {
	// A checkout gives the mode that the umask allows; the test needs 0600.
	dir := t.TempDir()
	for _, name := range []string{"key.age", "identity.txt"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ids, err := seal.ReadIdentityFile(filepath.Join(dir, "identity.txt"), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := seal.ReadKeyFile(filepath.Join(dir, "key.age"), ids)
	if err != nil || !sameKeyFile(got, testKeyFile()) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestPassphrase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key-passphrase.age")
	r, err := seal.PassphraseRecipient("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	r.(*age.ScryptRecipient).SetWorkFactor(10) // 2^18 as in earnest takes a second
	if err := seal.WriteKeyFile(path, testKeyFile(), []age.Recipient{r}); err != nil {
		t.Fatal(err)
	}
	right, err := seal.PassphraseIdentity("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := seal.PassphraseIdentity("battery staple")
	if err != nil {
		t.Fatal(err)
	}
	_, recipients, ids := newIdentity(t)
	if got, err := seal.ReadKeyFile(path, append(ids, right)); err != nil || !sameKeyFile(got, testKeyFile()) {
		t.Errorf("right passphrase: %v", err)
	}
	if _, err := seal.ReadKeyFile(path, append(ids, wrong)); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("wrong passphrase: %v, want ErrWrongKey", err)
	}
	if err := seal.WriteKeyFile(path+"2", testKeyFile(), append(recipients, r)); err == nil {
		t.Error("a passphrase was mixed with another recipient")
	}
	if _, err := seal.PassphraseRecipient(""); err == nil {
		t.Error("empty passphrase as a recipient")
	}
	if _, err := seal.PassphraseIdentity(""); err == nil {
		t.Error("empty passphrase as an identity")
	}
}

func TestWriteKeepsOldFile(t *testing.T) {
	dir := t.TempDir()
	_, recipients, ids := newIdentity(t)
	target := filepath.Join(dir, "target")
	planted := filepath.Join(dir, "planted")
	if err := os.Symlink(target, planted); err != nil {
		t.Fatal(err)
	}
	first := filepath.Join(dir, "first")
	if err := seal.WriteSecret(first, []byte("one"), recipients); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{planted, first, dir} {
		if err := seal.WriteSecret(path, []byte("two"), recipients); !errors.Is(err, fs.ErrExist) {
			t.Errorf("WriteSecret over %s: %v, want ErrExist", path, err)
		}
		if _, err := seal.NewIdentityFile(path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("NewIdentityFile over %s: %v, want ErrExist", path, err)
		}
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a planted link was followed: %v", err)
	}
	if got, err := seal.ReadSecret(first, ids); err != nil || string(got) != "one" {
		t.Errorf("old file reads %q, %v", got, err)
	}
	if err := seal.ReplaceSecret(planted, []byte("three"), recipients); err != nil {
		t.Fatal(err)
	}
	if err := seal.ReplaceKeyFile(first, testKeyFile(), recipients); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Replace followed a planted link: %v", err)
	}
	if got, err := seal.ReadKeyFile(first, ids); err != nil || !sameKeyFile(got, testKeyFile()) {
		t.Errorf("replaced file: %v", err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*.tmp-*"))
	if len(names) > 0 {
		t.Errorf("temporary files are left: %v", names)
	}
}

func TestPermissions(t *testing.T) {
	dir := t.TempDir()
	idPath, recipients, ids := newIdentity(t)
	path := filepath.Join(dir, "secret")
	if err := seal.WriteSecret(path, []byte("x"), recipients); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o601, 0o620} {
		for _, p := range []string{path, idPath} {
			if err := os.Chmod(p, mode); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := seal.ReadSecret(path, ids); !errors.Is(err, seal.ErrPermissions) {
			t.Errorf("mode %o: %v, want ErrPermissions", mode, err)
		}
		if _, err := seal.ReadIdentityFile(idPath, nil); !errors.Is(err, seal.ErrPermissions) {
			t.Errorf("identity of mode %o: %v, want ErrPermissions", mode, err)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.ReadSecret(path, ids); err != nil {
		t.Errorf("mode 0400: %v", err)
	}
	if _, err := seal.ReadSecret(filepath.Join(dir, "none"), ids); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v, want ErrNotExist", err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{fifo, dir} {
		if _, err := seal.ReadSecret(p, ids); err == nil {
			t.Errorf("%s was read as a secret", p)
		}
	}
}

func TestDamagedSecret(t *testing.T) {
	dir := t.TempDir()
	_, recipients, ids := newIdentity(t)
	path := filepath.Join(dir, "secret")
	if err := seal.WriteSecret(path, []byte("the wallet"), recipients); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 4
		cut := good[:i]
		for name, b := range map[string][]byte{"flip": bad, "cut": cut} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := seal.ReadSecret(path, ids); !errors.Is(err, seal.ErrCorrupt) && !errors.Is(err, seal.ErrWrongKey) {
				t.Fatalf("%s at %d: %q, %v", name, i, got, err)
			}
		}
	}
	if err := os.WriteFile(path, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.ReadSecret(path, ids); !errors.Is(err, seal.ErrCorrupt) {
		t.Errorf("3 MiB of zeros: %v, want ErrCorrupt", err)
	}
	if err := seal.WriteSecret(path+"2", make([]byte, 2<<20), recipients); err == nil {
		t.Error("a secret of 2 MiB was written, which could not be read again")
	}
	if err := seal.WriteSecret(path+"2", nil, nil); err == nil {
		t.Error("a secret without recipients was written")
	}
}

func TestIdentityFileErrorsHideText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity")
	const secret = "AGE-SECRET-KEY-1NOTAKEYBUTSECRET"
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := seal.ReadIdentityFile(path, nil)
	if !errors.Is(err, seal.ErrCorrupt) || strings.Contains(err.Error(), "NOTAKEY") {
		t.Errorf("got %v, want ErrCorrupt without the text of the file", err)
	}
}

func TestRecipients(t *testing.T) {
	_, recipients, ids := newIdentity(t)
	text := fmt.Sprint(recipients[0])
	parsed, err := seal.ParseRecipient(text)
	if err != nil || fmt.Sprint(parsed) != text {
		t.Errorf("ParseRecipient(%q) = %v, %v", text, parsed, err)
	}
	of, err := seal.RecipientOf(ids[0])
	if err != nil || fmt.Sprint(of) != text {
		t.Errorf("RecipientOf = %v, %v, want %s", of, err, text)
	}
	for _, s := range []string{"", "age1", "ssh-ed25519 AAAA", text + "\n" + text, "AGE-SECRET-KEY-1"} {
		if r, err := seal.ParseRecipient(s); err == nil {
			t.Errorf("ParseRecipient(%q) = %v", s, r)
		}
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if r, err := seal.RecipientOf(hybrid); err != nil || fmt.Sprint(r) != hybrid.Recipient().String() {
		t.Errorf("RecipientOf a hybrid identity: %v, %v", r, err)
	}
	pass, err := seal.PassphraseIdentity("x")
	if err != nil {
		t.Fatal(err)
	}
	if r, err := seal.RecipientOf(pass); err == nil {
		t.Errorf("RecipientOf a passphrase = %v", r)
	}
}

func TestKeyringOfFile(t *testing.T) {
	f := testKeyFile()
	ring, err := f.Keyring()
	if err != nil || ring.Current() != 2 || len(ring.Keys()) != 2 {
		t.Fatalf("Keyring: %v, %v", ring, err)
	}
	old := seal.NewKeyring(1, f.Keys[1])
	sealed := mustSeal(t, old, []byte("older"), seal.Options{})
	if err := old.Add(2, f.Keys[2]); err != nil || old.Current() != 2 {
		t.Errorf("Add: %v, current %d, want 2", err, old.Current())
	}
	if err := old.Add(1, f.Keys[1]); err != nil || old.Current() != 2 {
		t.Errorf("Add of a key that is there: %v, current %d", err, old.Current())
	}
	if err := old.Add(1, f.Keys[2]); !errors.Is(err, seal.ErrKeyConflict) {
		t.Errorf("Add of another key 1: %v, want ErrKeyConflict", err)
	}
	if got, err := openAll(ring, sealed); err != nil || string(got) != "older" {
		t.Errorf("segment of the older key: %q, %v", got, err)
	}
	h, err := seal.ParseHeader(mustSeal(t, ring, nil, seal.Options{}))
	if err != nil || h.KeyNumber() != 2 {
		t.Errorf("new segment has key %d, %v, want 2", h.KeyNumber(), err)
	}
	if a, err := ring.DeriveFrom(2, "index"); err != nil || a != ring.Derive("index") || a == ring.Derive("content") {
		t.Errorf("DeriveFrom(2): %v", err)
	}
	if _, err := ring.DeriveFrom(3, "index"); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("DeriveFrom(3): %v, want ErrUnknownKey", err)
	}
	if _, err := (seal.KeyFile{}).Keyring(); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("Keyring of nothing: %v, want ErrUnknownKey", err)
	}
}

func TestKeyHidesItself(t *testing.T) {
	key := seal.Key(bytes.Repeat([]byte{0xab}, 32))
	var b bytes.Buffer
	fmt.Fprintf(&b, "%v %+v %#v %s %q %x %X %d %v %v\n", key, key, key, key, key, key, key, key, &key, testKeyFile())
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "key", key, "file", testKeyFile())
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "key", key, "file", testKeyFile())
	if err := json.NewEncoder(&b).Encode(testKeyFile()); err != nil {
		t.Fatal(err)
	}
	b.WriteString(key.String())
	for _, leak := range []string{"ab", "AB", "171", "1111", "0x11", "17 17", "17,17"} {
		if strings.Contains(b.String(), leak) {
			t.Errorf("output holds %q:\n%s", leak, b.String())
		}
	}
	if n := strings.Count(b.String(), "***"); n < 15 {
		t.Errorf("%d times ***:\n%s", n, b.String())
	}
}

func TestDecodeKeyFile(t *testing.T) {
	good := string(testKeyFile().Encode())
	if f, err := seal.DecodeKeyFile([]byte(good)); err != nil || !sameKeyFile(f, testKeyFile()) {
		t.Errorf("good: %v, %v", f, err)
	}
	line := "key 3 " + strings.Repeat("33", 32) + "\n"
	cases := map[string]string{
		"empty":         "",
		"only magic":    "walfs drive keys 1\n",
		"no keys":       good[:strings.Index(good, "key 1")],
		"cut":           good[:len(good)-1],
		"more lines":    good + "\n",
		"word":          good + "ring 3 x\n",
		"number":        good + strings.Replace(line, "3", "-3", 1),
		"big number":    good + strings.Replace(line, "3", "4294967296", 1),
		"leading zero":  good + strings.Replace(line, "3", "03", 1),
		"short key":     good + line[:len(line)-3] + "\n",
		"upper case":    good + strings.Replace(line, "33", "AA", 1),
		"no hex":        good + strings.Replace(line, "33", "3g", 1),
		"order":         good + strings.Replace(line, "3 ", "0 ", 1),
		"twice":         good + strings.Replace(line, "3 ", "2 ", 1),
		"windows":       strings.ReplaceAll(good, "\n", "\r\n"),
		"without drive": strings.Replace(good, "drive", "", 1),
	}
	for name, text := range cases {
		if f, err := seal.DecodeKeyFile([]byte(text)); !errors.Is(err, seal.ErrCorrupt) {
			t.Errorf("%s: %v, %v, want ErrCorrupt", name, f, err)
		}
	}
	if _, err := seal.DecodeKeyFile([]byte(strings.Replace(good, "keys 1", "keys 2", 1))); !errors.Is(err, seal.ErrVersion) {
		t.Errorf("version 2: %v, want ErrVersion", err)
	}
}

func FuzzDecodeKeyFile(f *testing.F) {
	f.Add(testKeyFile().Encode())
	f.Add([]byte("walfs drive keys 1\ndrive \nkey 1 \n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := seal.DecodeKeyFile(b)
		if err == nil && !bytes.Equal(k.Encode(), b) {
			t.Errorf("%q decodes but encodes to something else", b)
		}
	})
}
