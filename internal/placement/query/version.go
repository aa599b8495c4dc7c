package query

import (
	"cmp"
	"slices"
	"strings"
)

// A version is an agent's version: numbers, and what follows a hyphen in a version that
// came before the release of these numbers, such as 1.80.0-rc1.
type version struct {
	numbers []string // without leading zeros, so that they compare by length, then as text
	pre     string
}

// parseVersion reads a version. What follows a + is left out.
func parseVersion(text string) (version, bool) {
	text, _, _ = strings.Cut(text, "+")
	text, pre, _ := strings.Cut(text, "-")
	v := version{pre: pre}
	for number := range strings.SplitSeq(text, ".") {
		if number == "" || strings.Trim(number, "0123456789") != "" {
			return version{}, false
		}
		v.numbers = append(v.numbers, strings.TrimLeft(number, "0"))
	}
	for n := len(v.numbers); n > 0 && v.numbers[n-1] == ""; n-- {
		v.numbers = v.numbers[:n-1] // 1.14 and 1.14.0 are one version
	}
	return v, true
}

// compareVersions orders by number, so that 1.9.0 comes before 1.14.5, and what came
// before a release before it.
func compareVersions(a, b version) int {
	byNumber := slices.CompareFunc(a.numbers, b.numbers, func(x, y string) int {
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
	})
	switch {
	case byNumber != 0 || a.pre == b.pre:
		return byNumber
	case a.pre == "":
		return 1
	case b.pre == "":
		return -1
	}
	return cmp.Compare(a.pre, b.pre)
}
