package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// runJSON runs a command with --json at an empty home, and wants an object with a type in each
// line of what it prints. It returns the exit code and the objects of stderr.
func runJSON(t *testing.T, args ...string) (code ui.Code, errs []map[string]any) {
	t.Helper()
	var out, stderr bytes.Buffer
	a := newApp(&out, &stderr)
	dir := t.TempDir()
	a.getenv = func(name string) string { return map[string]string{"HOME": dir}[name] }
	code = ui.Code(a.execute(t.Context(), append(args, "--json", "--home", filepath.Join(dir, "home"))))
	for name, text := range map[string]string{"stdout": out.String(), "stderr": stderr.String()} {
		for line := range strings.Lines(text) {
			var object map[string]any
			if err := json.Unmarshal([]byte(line), &object); err != nil || object["type"] == nil {
				t.Errorf("%q on %s: %s", args, name, line)
			}
			if name == "stderr" {
				errs = append(errs, object)
			}
		}
	}
	return code, errs
}

// commands returns the words that call each command that does something.
func commands() (all [][]string) {
	root := newRootCommand(newApp(nil, nil))
	everyCommand(root, func(cmd *cobra.Command) {
		if words := strings.Fields(cmd.CommandPath())[1:]; len(words) > 0 && !cmd.HasSubCommands() && words[0] != "help" {
			all = append(all, words)
		}
	})
	return all
}

// TestUsageInJSON calls every command in a way that it cannot be: with --json
// there is one object that says so.
func TestUsageInJSON(t *testing.T) {
	for _, words := range commands() {
		for _, wrong := range [][]string{{"--no-such-flag"}, {"1", "2", "3", "--passphrase-file", "a", "--passphrase-fd", "1"}} {
			code, errs := runJSON(t, append(slices.Clone(words), wrong...)...)
			if code != ui.Usage || len(errs) != 1 || errs[0]["type"] != "error" || errs[0]["code"] != 2.0 || errs[0]["hint"] == nil {
				t.Errorf("%q: exit code %d, %v", words, code, errs)
			}
		}
	}
}

// moneyArguments are what commands about money are called with.
var moneyArguments = map[string][]string{
	"wallet send": {"0x" + strings.Repeat("5", 64), "1WAL", "--yes"}, "wallet exchange": {"1SUI"}, "wallet export": {"--show-secret", "--yes"},
	"stake add": {"x", "1WAL"}, "stake request-withdraw": {"0x5"}, "stake withdraw": {"0x5"}, "stake split": {"0x5", "1WAL"}, "stake join": {"0x5", "0x6"},
	"gov vote": {"--storage-price", "1FROST"}, "gov slash": {"x"},
}

// blobArguments are what commands about the wallet's blobs are called with.
var blobArguments = map[string][]string{
	"blob put": {"json_test.go"}, "blob extend": {"--epochs", "1", "x"}, "blob delete": {"x"}, "blob burn": {"x"}, "blob transfer": {"0x" + strings.Repeat("5", 64), "x"},
	"blob attributes get": {"x"}, "blob attributes set": {"x", "a=b"}, "blob attributes remove": {"x", "a"},
	"blob storage split": {"x", "--epochs", "1"}, "blob storage fuse": {"x", "y"}, "blob storage reuse": {"x", "json_test.go"},
}

// TestNoDriveInJSON calls every command that needs a drive where there is none.
func TestNoDriveInJSON(t *testing.T) {
	arguments := map[string][]string{
		"stat": {"x"}, "get": {"x"}, "put": {"json_test.go"}, "trash restore": {"x"}, "trash empty": {"--yes"}, "node stop": {"x"},
		"blob get": {strings.Repeat("A", 43)}, "node start": {"x"}, "node scrub": {"x"}, "node replace": {"x"}, "key export": {"--sheet", "x"},
		"key add": {"--recipient", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"}, "key remove": {"x"}, "cache pin": {"x"}, "cache unpin": {"x"}, "cache evict": {"x"},
	}
	for name, args := range blobArguments {
		arguments[name] = args
	}
	for name, args := range moneyArguments {
		arguments[name] = args
	}
	elsewhere := []string{"wallet list", "wallet new", "wallet import", "init", "mount", "umount", "man", "completion", "version", "cost", "doctor", "restore", "blob encode", "blob decode", "blob id", "localnet serve"}
	for _, words := range commands() {
		name := strings.Join(words, " ")
		if slices.Contains(elsewhere, name) {
			continue
		}
		code, errs := runJSON(t, append(slices.Clone(words), arguments[name]...)...)
		if code != ui.NoDrive || len(errs) != 1 || errs[0]["code"] != 10.0 || errs[0]["hint"] == nil {
			t.Errorf("%s: exit code %d, %v", name, code, errs)
		}
	}
}
