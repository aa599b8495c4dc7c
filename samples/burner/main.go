// Burner keeps CPUs busy.
//
//	BURN_CPU  how many CPUs it tries to burn, by default 1; 1.5 burns one whole and one half
package main

import (
	"fmt"

	"gantry/samples/setting"
)

func main() {
	share := setting.Fraction("BURN_CPU", 1)
	fmt.Printf("burner: burns %g CPUs\n", share)
	for ; share > 1; share-- {
		go setting.Burn(1)
	}
	setting.Burn(share)
}
