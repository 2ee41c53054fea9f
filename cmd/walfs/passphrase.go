package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/pflag"

	"github.com/walfs/walfs/blobstore/seal"
	"github.com/walfs/walfs/cmd/internal/ui"
)

// passphrase says where a passphrase comes from; it never stands in an argument itself.
type passphrase struct {
	file    string
	fd      int
	command string
	text    string // once it was read
}

// flags adds --<prefix>passphrase-file and the like.
func (p *passphrase) flags(set *pflag.FlagSet, prefix, of string) {
	set.StringVar(&p.file, prefix+"passphrase-file", "", "`FILE` whose first line is the passphrase of "+of)
	set.IntVar(&p.fd, prefix+"passphrase-fd", -1, "open file `N` whose first line is the passphrase")
	set.Lookup(prefix + "passphrase-fd").DefValue = "0" // which help leaves out, as the default of a number
	set.StringVar(&p.command, prefix+"passphrase-command", "", "shell `COMMAND` that prints the passphrase")
}

// recipientOf makes what stands for a new passphrase, which takes a second of one CPU. Tests make it cheap.
var recipientOf = seal.PassphraseRecipient

// given reports whether the flags say where it is.
func (p *passphrase) given() bool {
	return p.text != "" || p.file != "" || p.fd >= 0 || p.command != ""
}

// read reads the passphrase once, from where the flags say, else by asking.
func (p *passphrase) read(ctx context.Context, ask func(ctx context.Context, prompt string) (string, error), prompt string) (err error) {
	switch {
	case p.text != "":
		return nil
	case p.file != "":
		f, err := os.Open(p.file)
		if err != nil {
			return ui.Errorf(ui.WrongKey, "passphrase: %w", err).WithHint("--passphrase-file names a file whose first line is the passphrase; without it walfs asks on a terminal")
		}
		return p.firstLine(f)
	case p.fd >= 0:
		return p.firstLine(os.NewFile(uintptr(p.fd), "passphrase"))
	case p.command != "":
		return p.run(ctx)
	}
	p.text, err = ask(ctx, prompt)
	return err
}

// maxPassphrase is how much of a passphrase file is read, in bytes.
const maxPassphrase = 4096

func (p *passphrase) firstLine(f *os.File) error {
	text, err := io.ReadAll(io.LimitReader(f, maxPassphrase))
	if bad := f.Close(); err == nil {
		err = bad
	}
	if err != nil {
		return ui.Errorf(ui.WrongKey, "passphrase: %w", err)
	}
	defer clear(text)
	return p.take(text)
}

// run takes the first line that the command prints. It may ask at the terminal itself.
func (p *passphrase) run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", p.command)
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	text, err := cmd.Output()
	defer clear(text)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return ui.Errorf(ui.WrongKey, "passphrase command: %w", err)
	}
	return p.take(text[:min(len(text), maxPassphrase)])
}

func (p *passphrase) take(text []byte) error {
	p.text, _, _ = strings.Cut(string(text), "\n")
	p.text = strings.TrimSuffix(p.text, "\r")
	if p.text == "" {
		return ui.Errorf(ui.WrongKey, "passphrase is empty")
	}
	return nil
}
