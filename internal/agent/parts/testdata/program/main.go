// Command program is what runs in the test's containers: its first argument says what it does.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	switch args[0] {
	case "exit": // CODE [AFTER]
		fmt.Println("exiting")
		if len(args) > 2 {
			d, _ := time.ParseDuration(args[2])
			time.Sleep(d)
		}
		code, _ := strconv.Atoi(args[1])
		os.Exit(code)
	case "wait": // until SIGTERM
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		fmt.Println("waiting")
		<-term
		os.Exit(0)
	case "serve": // PORT: answers with the environment and /etc/hosts
		http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, strings.Join(os.Environ(), "\n"))
			hosts, _ := os.ReadFile("/etc/hosts")
			fmt.Fprintln(w, string(hosts))
		})
		l, err := net.Listen("tcp", ":"+args[1])
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("serving")
		_ = http.Serve(l, nil)
	case "count": // FILE: appends a byte, and at SIGTERM exits with how many there are
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		f, _ := os.OpenFile(args[1], os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o644)
		f.WriteString("x")
		info, _ := f.Stat()
		fmt.Println(info.Size())
		<-term
		os.Exit(int(info.Size()))
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("deaf")
		time.Sleep(time.Hour)
	case "pids": // exits with how many processes it sees
		n := 0
		entries, _ := os.ReadDir("/proc")
		for _, e := range entries {
			if _, err := strconv.Atoi(e.Name()); err == nil {
				n++
			}
		}
		os.Exit(n)
	case "shm": // exits with how many MiB of shared memory there may be
		var fs syscall.Statfs_t
		if err := syscall.Statfs("/dev/shm", &fs); err != nil {
			os.Exit(255)
		}
		os.Exit(int(fs.Blocks * uint64(fs.Bsize) >> 20))
	case "exists": // FILE
		if _, err := os.Stat(args[1]); err != nil {
			os.Exit(1)
		}
	case "write": // FILE TEXT, then waits
		if err := os.WriteFile(args[1], []byte(args[2]), 0o644); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		time.Sleep(time.Hour)
	case "eat": // MIB
		mib, _ := strconv.Atoi(args[1])
		var hold [][]byte
		for range mib {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			hold = append(hold, b)
		}
		fmt.Println(len(hold))
	}
}
