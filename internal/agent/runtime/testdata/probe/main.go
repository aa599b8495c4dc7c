// Command probe is the program inside the test images: its first argument says
// what it does.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	if len(args) == 0 {
		fmt.Println("nothing to do")
		return
	}
	switch args[0] {
	case "exit": // CODE
		os.Exit(number(args[1]))
	case "print": // OUT ERR
		fmt.Println(args[1])
		fmt.Fprintln(os.Stderr, args[2])
	case "apart": // OUT ERR: nothing comes to stdout any more when ERR does
		fmt.Println(args[1])
		os.Stdout.Close()
		time.Sleep(200 * time.Millisecond)
		fmt.Fprintln(os.Stderr, args[2])
	case "lines": // COUNT
		w := bufio.NewWriter(os.Stdout)
		for i := range number(args[1]) {
			fmt.Fprintf(w, "line %d\n", i)
		}
		w.Flush()
	case "wait": // until SIGTERM, then exit 3
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Println("waiting")
		<-c
		os.Exit(3)
	case "stubborn": // ignores SIGTERM
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("waiting")
		time.Sleep(time.Hour)
	case "eat": // MIB
		var hold [][]byte
		for range number(args[1]) {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			hold = append(hold, b)
		}
		fmt.Println(len(hold))
	case "burn":
		for {
		}
	case "cat": // FILE...
		for _, name := range args[1:] {
			f, err := os.Open(name)
			check(err)
			_, err = io.Copy(os.Stdout, f)
			check(err)
		}
	case "write": // FILE TEXT
		check(os.WriteFile(args[1], []byte(args[2]), 0o644))
	case "again": // prints how often it ran in this file system
		f, err := os.OpenFile("/ran", os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o644)
		check(err)
		_, err = f.WriteString(".")
		check(err)
		info, err := f.Stat()
		check(err)
		fmt.Println(info.Size())
	case "env":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case "id":
		groups, _ := os.Getgroups()
		wd, _ := os.Getwd()
		host, _ := os.Hostname()
		fmt.Println(os.Getuid(), os.Getgid(), groups, wd, host, os.Getpid())
	case "limit": // NUMBER of the resource
		var l syscall.Rlimit
		check(syscall.Getrlimit(number(args[1]), &l))
		fmt.Println(l.Cur, l.Max)
	case "statfs": // PATH
		var s syscall.Statfs_t
		check(syscall.Statfs(args[1], &s))
		fmt.Println(int64(s.Blocks) * s.Bsize)
	case "ls": // DIR
		entries, err := os.ReadDir(args[1])
		check(err)
		for _, e := range entries {
			fmt.Println(e.Name())
		}
	case "fork": // until it fails; prints how many
		n := 0
		for ; n < 10_000; n++ {
			_, err := os.StartProcess("/probe", []string{"/probe", "stubborn"}, &os.ProcAttr{})
			if err != nil {
				break
			}
		}
		fmt.Println(n)
	case "readline":
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		fmt.Println(line, err)
	default:
		fmt.Fprintln(os.Stderr, "probe: what is", args[0])
		os.Exit(64)
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	check(err)
	return n
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
