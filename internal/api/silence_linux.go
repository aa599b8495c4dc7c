package api

import (
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// limitUnacknowledged bounds how long what was sent may stay unacknowledged: probes are
// for connections on which nothing is under way.
func limitUnacknowledged(c *net.TCPConn, d time.Duration) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
	return errors.Join(err, failed)
}
