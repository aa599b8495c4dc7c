//go:build race

package logdriver

// endlessMegabytes is the length of a line without an end.
const endlessMegabytes = 512
