package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
)

// A pullPrinter shows how far image pulls are: on a terminal by a line that
// counts up, else by one line in the log for each.
type pullPrinter struct {
	out      io.Writer
	terminal bool
	log      *slog.Logger

	mu    sync.Mutex
	shown map[string]bool // the images that are being pulled; guarded by mu
}

func newPullPrinter(out io.Writer, log *slog.Logger) *pullPrinter {
	return &pullPrinter{out: out, terminal: isTerminal(out), log: log, shown: map[string]bool{}}
}

// show is told how many bytes of an image have arrived. Total is 0 as long as it is not known.
func (p *pullPrinter) show(image string, received, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.shown[image]
	p.shown[image] = true
	done := total > 0 && received >= total
	if done {
		delete(p.shown, image)
	}
	switch {
	case p.terminal:
		const mib = 1 << 20
		fmt.Fprintf(p.out, "\r\x1b[Kpulling %s: %.1f of %.1f MiB", image, float64(received)/mib, float64(total)/mib)
		if done {
			fmt.Fprint(p.out, "\n")
		}
	case first:
		p.log.Info("pulling an image", "image", image)
	}
}

// isTerminal reports whether somebody watches what is written.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
