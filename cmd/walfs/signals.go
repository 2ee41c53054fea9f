package main

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/walfs/walfs/cmd/internal/ui"
)

// exitInterrupted is the exit code after a second signal.
const exitInterrupted = int(ui.Interrupted)

// onSignal calls f at the next signal that asks the process to end, until stop is called.
func onSignal(f func()) (stop func()) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	go func() {
		select {
		case <-signals:
			f()
		case <-done:
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}
