// Eater takes memory and keeps it.
//
//	EAT_MIB   how much it takes, by default 64 MiB
//	EAT_STEP  how long it pauses after each MiB, by default 10ms
package main

import (
	"fmt"
	"time"

	"gantry/samples/setting"
)

const mib = 1 << 20

func main() {
	size, pause := setting.Number("EAT_MIB", 64), setting.Duration("EAT_STEP", 10*time.Millisecond)
	eaten := make([][]byte, 0, size)
	for len(eaten) < size {
		page := make([]byte, mib)
		for i := 0; i < mib; i += 4096 {
			page[i] = 1 // a page that was never written costs nothing
		}
		eaten = append(eaten, page)
		if len(eaten)%16 == 0 {
			fmt.Printf("eater: holds %d MiB\n", len(eaten))
		}
		time.Sleep(pause)
	}
	fmt.Printf("eater: holds all %d MiB\n", len(eaten))
	for {
		time.Sleep(time.Hour)
	}
}
