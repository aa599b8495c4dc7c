package wire

import (
	"fmt"
	"os"
	"sync"
	"time"
)

var diagMu sync.Mutex
var diag = map[string][2]int{}

func Count(k string, n int) {
	diagMu.Lock()
	v := diag[k]
	diag[k] = [2]int{v[0] + 1, v[1] + n}
	diagMu.Unlock()
}

func init() {
	if os.Getenv("DIAG2") != "" {
		go func() {
			for range time.Tick(time.Second) {
				diagMu.Lock()
				fmt.Fprintln(os.Stderr, os.Getpid(), "COUNTS", diag)
				clear(diag)
				diagMu.Unlock()
			}
		}()
	}
}
