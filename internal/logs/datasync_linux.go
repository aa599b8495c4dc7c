package logs

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync waits until the disk has a file's content.
func datasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
