//go:build !linux

package api

import (
	"errors"
	"net"
	"time"
)

// silence leaves the bound to the kernel's own.
func silence(*net.TCPConn) (time.Duration, error) { return 0, errors.ErrUnsupported }
