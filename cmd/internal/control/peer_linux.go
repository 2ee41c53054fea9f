package control

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerUID returns the user of the process that made the other end.
func peerUID(c *net.UnixConn) (uid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var sockopt error
	if err := raw.Control(func(fd uintptr) {
		cred, sockopt = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if sockopt != nil {
		return 0, sockopt
	}
	return int(cred.Uid), nil
}
