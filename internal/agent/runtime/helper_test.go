package runtime

import "fmt"

// helperRole makes this test binary play another process; see runHelper.
const helperRole = "GANTRY_RUNTIME_TEST_ROLE"

func runHelper(role string) int {
	fmt.Println("unknown role", role)
	return 2
}
