package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
)

// logTo returns the logger of a command that opens the drive in h for a while. What it logs is
// for the log of the drive, since the command says what matters itself; with -v it is for stderr.
func (a *app) logTo(h home) *slog.Logger {
	if a.verbose > 0 {
		return a.Logger()
	}
	return slog.New(slog.NewTextHandler(logFile{path: h.log(), or: a.Stderr()}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// logFile is the log of a drive, opened for each line: there are few of them, and a state
// folder that is being made may come or go in between.
type logFile struct {
	path string
	or   io.Writer // where lines go that cannot be written
}

func (l logFile) Write(line []byte) (int, error) {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return l.or.Write(line)
	}
	n, err := f.Write(line)
	return n, errors.Join(err, f.Close())
}
