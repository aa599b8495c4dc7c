package process

import (
	"errors"
	"fmt"
	"io"
	"syscall"
)

// CopyOutput copies what a container prints into its file, until the container
// ends. It never leaves the container waiting: what a full disk has no room for
// is lost, and a line says how much when there is room again.
func CopyOutput(w io.Writer, r io.Reader, buf []byte) (written int64, err error) {
	lost := 0
	for {
		n, end := r.Read(buf)
		if n > 0 && lost > 0 {
			note := fmt.Sprintf("\n[gantry: the disk was full: %d bytes of output are lost]\n", lost)
			if _, err := io.WriteString(w, note); err == nil {
				lost = 0
			} else if !full(err) {
				return written, err
			}
		}
		if n > 0 && lost == 0 {
			fit, err := w.Write(buf[:n])
			written += int64(fit)
			if err != nil && !full(err) {
				return written, err
			}
			lost = n - fit
		} else {
			lost += n
		}
		if end == io.EOF {
			return written, nil
		}
		if end != nil {
			return written, end
		}
	}
}

func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
