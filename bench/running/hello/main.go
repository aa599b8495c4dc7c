// Command hello is what benchmarks start in containers: it prints a line, tells
// by a socket that it runs, and ends when the other side closes that.
package main

import (
	"os"
	"syscall"
)

func main() {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: "/bench/sock"})
	}
	if err != nil {
		os.Stderr.WriteString("hello: " + err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString("hello, I run\n")
	var b [1]byte
	for {
		if n, err := syscall.Read(fd, b[:]); n <= 0 && err != syscall.EINTR {
			return
		}
	}
}
