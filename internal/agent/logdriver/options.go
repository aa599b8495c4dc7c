package logdriver

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// flushInterval is how long output waits for more of it. A line that comes alone does not wait.
	flushInterval = 200 * time.Millisecond
	// lineHold is how long an event of several lines waits for its next line, as in Docker.
	lineHold = 5 * time.Second
	// maxBacklog is how much of one output is kept on disk while it cannot be delivered. Docker would stop the
	// container instead; with files it runs on, but no container may fill the disk.
	maxBacklog = 1 << 30
)

// options reads a logConfiguration's options: each that is asked for is taken out,
// and what is left at the end is unknown to the driver.
type options struct {
	driver string
	left   map[string]string
	err    error // the first
}

func newOptions(driver string, given map[string]string) *options {
	return &options{driver: driver, left: maps.Clone(given)}
}

func (o *options) fail(format string, args ...any) {
	if o.err == nil {
		o.err = fmt.Errorf(format, args...)
	}
}

func (o *options) text(name string) string {
	value := o.left[name]
	delete(o.left, name)
	return value
}

// truth is "true" or "false"; absent is false.
func (o *options) truth(name string) bool {
	text := o.text(name)
	if text == "" {
		return false
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		o.fail("option %s is %q: it must be true or false", name, text)
	}
	return value
}

// number is a whole number from least on.
func (o *options) number(name string, least, otherwise int) int {
	text := o.text(name)
	if text == "" {
		return otherwise
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < least {
		o.fail("option %s is %q: it must be a whole number, at least %d", name, text, least)
	}
	return value
}

// bytes is a size as Docker writes it, "10m" or "1.5g" or "512kb", in binary units.
func (o *options) bytes(name string, otherwise int64) int64 {
	text := o.text(name)
	if text == "" {
		return otherwise
	}
	size, err := parseSize(text)
	if err != nil {
		o.fail("option %s is %q: %v", name, text, err)
	}
	return size
}

// parseSize reads a positive size with a unit of b, k, m, g or t, or without one in bytes.
func parseSize(text string) (int64, error) {
	number := strings.ToLower(strings.TrimSpace(text))
	number = strings.TrimSuffix(strings.TrimSuffix(number, "b"), "i")
	factor := 1.0
	for i, unit := range []string{"k", "m", "g", "t"} {
		if short, ok := strings.CutSuffix(number, unit); ok {
			number, factor = short, float64(int64(1)<<(10*(i+1)))
			break
		}
	}
	value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if size := value * factor; err == nil && size >= 1 && size < 1<<62 {
		return int64(size), nil
	}
	return 0, fmt.Errorf("it must be a size above zero, such as 10m")
}

// backlog reads the options that every driver has: mode and max-buffer-size. Since a container writes to a file, it
// never blocks in either mode, and what waits takes no memory: so only a size that was asked for bounds it. (Docker keeps
// a mebibyte in memory without one. non-blocking is the account's default and must not lose what can be kept.)
func (o *options) backlog() int64 {
	_, sized := o.left["max-buffer-size"]
	mode, size := o.text("mode"), o.bytes("max-buffer-size", maxBacklog)
	switch {
	case mode == "blocking" && sized:
		o.fail("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
	case mode != "" && mode != "blocking" && mode != "non-blocking":
		o.fail("logger: logging mode not supported: %s", mode)
	}
	return size
}

// done is the first thing that was wrong.
func (o *options) done() error {
	if o.err == nil && len(o.left) > 0 {
		o.fail("unknown log opt '%s' for %s log driver", anyKey(o.left), o.driver)
	}
	return o.err
}

// anyKey is the first key in the order of the alphabet.
func anyKey(m map[string]string) string { return slices.Min(slices.Collect(maps.Keys(m))) }
