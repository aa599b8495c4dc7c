//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// reachWithin bounds everything that goes over the network. On a busy machine an answer may take seconds.
const reachWithin = 30 * time.Second

func get(url string) (string, error) {
	client := http.Client{Timeout: reachWithin}
	res, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 128<<10))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", res.Status)
	}
	return string(body), err
}

// known: the agent notes that a container runs a moment after it does.
func known() bool {
	var told struct{ KnownStatus string }
	return ask("", &told) && told.KnownStatus == "RUNNING"
}

// measured: the agent measures containers now and then, one after the other.
func measured(since time.Time) bool {
	var all map[string]struct{ Read time.Time } // of a container without measurements it is zero
	if !ask("/task/stats", &all) {
		return false
	}
	for _, one := range all {
		if one.Read.Before(since) {
			return false
		}
	}
	return len(all) > 0
}

// ask reads what the task metadata endpoint tells of this container, or of its task.
func ask(path string, into any) bool {
	text, err := get(os.Getenv("ECS_CONTAINER_METADATA_URI_V4") + path)
	return err == nil && json.Unmarshal([]byte(text), into) == nil
}

// put sends what stands after the URL.
func put(argument string) (string, error) {
	url, text, _ := strings.Cut(argument, " ")
	r, err := http.NewRequest(http.MethodPut, url, strings.NewReader(text))
	if err != nil {
		return "", err
	}
	client := http.Client{Timeout: reachWithin}
	res, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 128<<10))
	return string(body), err
}

// dial says hello and returns the answer.
func dial(argument string) (string, error) {
	network, address, _ := strings.Cut(argument, "/")
	conn, err := net.DialTimeout(network, address, reachWithin)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(reachWithin)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		return "", err
	}
	answer := make([]byte, 100)
	n, err := conn.Read(answer)
	return string(answer[:n]), err
}

// serve answers "tcp 8080" on each port of a range, and who asked.
func serve(argument string) error {
	network, ports, _ := strings.Cut(argument, "/")
	first, last, ranged := strings.Cut(ports, "-")
	if !ranged {
		last = first
	}
	from, err := strconv.Atoi(first)
	if err != nil {
		return err
	}
	to, err := strconv.Atoi(last)
	if err != nil {
		return err
	}
	for port := from; port <= to; port++ {
		if err := serveOne(network, port); err != nil {
			return err
		}
	}
	return nil
}

func serveOne(network string, port int) error {
	address := ":" + strconv.Itoa(port)
	if network == "udp" {
		conn, err := net.ListenPacket(network, address)
		if err != nil {
			return err
		}
		go func() {
			hello := make([]byte, 100)
			for {
				_, from, err := conn.ReadFrom(hello)
				if err != nil {
					return
				}
				_, _ = conn.WriteTo(fmt.Appendf(nil, "udp %d", port), from)
			}
		}()
		return nil
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "tcp %d", port)
			conn.Close()
		}
	}()
	return nil
}

// call tries what the kernel allows to those who have a right only.
func call(name string) error {
	switch name {
	case "mount": // SYS_ADMIN
		return unix.Mount("none", "/tmp", "tmpfs", 0, "")
	case "chroot": // SYS_CHROOT
		return unix.Chroot("/")
	case "mknod": // MKNOD
		return unix.Mknod("/tmp/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))
	case "keyctl": // no capability; the default seccomp profile forbids it
		_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
		return err
	case "ping": // NET_RAW
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	case "settime": // SYS_TIME; with a time that is refused in any case
		return unix.Settimeofday(&unix.Timeval{Sec: 0, Usec: -1})
	}
	return fmt.Errorf("there is no call %q", name)
}
