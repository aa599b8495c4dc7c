// Package setting reads a sample's settings from its environment, so that a task
// definition alone decides how the sample behaves.
package setting

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// Text is the variable's value, or otherwise where it is unset or empty.
func Text(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// Number reads a whole number; a value that is none ends the program with code 2.
func Number(name string, otherwise int) int {
	return read(name, otherwise, strconv.Atoi)
}

// Fraction reads a decimal number such as 0.5.
func Fraction(name string, otherwise float64) float64 {
	return read(name, otherwise, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
}

// Duration reads a Go duration such as 1.5s.
func Duration(name string, otherwise time.Duration) time.Duration {
	return read(name, otherwise, time.ParseDuration)
}

func read[T any](name string, otherwise T, parse func(string) (T, error)) T {
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	t, err := parse(v)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s=%q: %v\n", name, v, err)
		os.Exit(2)
	}
	return t
}
