//go:build !linux

package logs

import "os"

// datasync waits until the disk has a file's content.
func datasync(f *os.File) error { return f.Sync() }
