// Crasher ends on its own.
//
//	CRASH_AFTER  how long it runs, by default 1s
//	EXIT_CODE    with which code it ends, by default 1
package main

import (
	"fmt"
	"os"
	"time"

	"gantry/samples/setting"
)

func main() {
	after, code := setting.Duration("CRASH_AFTER", time.Second), setting.Number("EXIT_CODE", 1)
	fmt.Printf("crasher: will exit %d in %s\n", code, after)
	time.Sleep(after)
	fmt.Fprintf(os.Stderr, "crasher: exits %d\n", code)
	os.Exit(code)
}
