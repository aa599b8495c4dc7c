package main

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// boundSilence has the kernel give up a connection on which something was sent and not
// acknowledged for aliveWithin: its probes are for connections on which nothing is
// under way. A connection inherits it from the listener that accepts it.
func boundSilence(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(aliveWithin.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failed
}
