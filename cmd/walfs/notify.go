package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// What systemd is told of a service of Type=notify. Source: sd_notify(3).
const (
	notifyReady    = "READY=1"
	notifyStopping = "STOPPING=1"
)

// notify tells the service manager that started this process how it stands, if one did and
// wants to know: one datagram of lines to the socket in NOTIFY_SOCKET.
func notify(getenv func(string) string, state, text string) error {
	name := getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	socket, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"}) // @ begins an abstract name
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	_, err = fmt.Fprintf(socket, "%s\nMAINPID=%d\nSTATUS=%s\n", state, os.Getpid(), strings.ReplaceAll(text, "\n", " "))
	return errors.Join(err, socket.Close())
}
