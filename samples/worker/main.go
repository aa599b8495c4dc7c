// Worker prints a numbered line again and again, as a queue worker would.
//
//	INTERVAL    between two lines, by default 1s
//	LINES       after how many lines it exits 0; 0, the default, means never
//	STOP_DELAY  how long it finishes its work after SIGTERM
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"gantry/samples/setting"
)

func main() {
	interval := setting.Duration("INTERVAL", time.Second)
	lines := setting.Number("LINES", 0)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	for i := 1; ; i++ {
		fmt.Printf("worker: line %d\n", i)
		if i == lines {
			return
		}
		select {
		case <-stop:
			fmt.Println("worker: finishes its work")
			time.Sleep(setting.Duration("STOP_DELAY", 0))
			return
		case <-time.After(interval):
		}
	}
}
