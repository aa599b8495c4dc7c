//go:build linux

// Probe tells what a container sees and may do. Its arguments are steps, done in
// their order; each prints one line of JSON with its outcome. Without arguments it
// does "report". $NAME in an argument is a variable of the environment.
//
//	report            who and where it is: user, folders, limits, rights, network, environment
//	read=PATH         what a file holds
//	list=PATH         the names in a folder
//	write=PATH:TEXT   make or replace a file
//	open=PATH         open a file or device for reading, and read a byte
//	get=URL           what a web server answers
//	put=URL TEXT      what a web server answers to a PUT, whatever its status
//	dial=tcp/HOST:N   what a "serve" elsewhere answers; udp too
//	serve=tcp/N-M     answer on these ports from now on; udp too
//	until=STEP        one of the above, again and again until it succeeds and has something to tell
//	call=NAME         try what needs a right: mount, chroot, mknod, keyctl, ping, settime
//	out=TEXT err=TEXT print a line to an output, as it is
//	raw=TEXT          the same, without an end of the line
//	clock=N           print N lines, one a second, with the time at which they are printed
//	lines=N           print N numbered lines of 100 bytes each
//	long=N            print one line of N bytes
//	need=PATH         exit 1 unless the file is there: a health check
//	sleep=1s          wait so long
//	await=PATH        wait for a file to be there; prints nothing
//	known             wait for the agent to tell that this container runs; prints nothing
//	measured          wait for the agent to measure all of this task's containers once more; prints nothing
//	ignore            from now on ignore SIGTERM
//	wait              wait for SIGTERM
//	exit=N            end with this code
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// An outcome is the line that a step prints.
type outcome struct {
	Step   string  `json:"step"`
	Text   string  `json:"text,omitempty"`
	Error  string  `json:"error,omitempty"`
	Report *report `json:"report,omitempty"`
}

func main() {
	steps := os.Args[1:]
	if len(steps) == 0 {
		steps = []string{"report"}
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1)
	for _, s := range steps {
		verb, argument, _ := strings.Cut(os.ExpandEnv(s), "=")
		switch verb {
		case "sleep":
			d, err := time.ParseDuration(argument)
			must(s, err)
			time.Sleep(d)
		case "await":
			patiently(s, func() bool { _, err := os.Stat(argument); return err == nil })
		case "known":
			patiently(s, known)
		case "measured":
			began := time.Now()
			patiently(s, func() bool { return measured(began) })
		case "ignore":
			signal.Ignore(syscall.SIGTERM)
		case "wait":
			tell(outcome{Step: s, Text: (<-asked).String()})
		case "exit":
			os.Exit(number(s, argument))
		case "need":
			if _, err := os.Stat(argument); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		case "out":
			fmt.Println(argument)
		case "err":
			fmt.Fprintln(os.Stderr, argument)
		case "raw":
			fmt.Print(argument)
		case "clock":
			for range number(s, argument) {
				fmt.Println("clock", time.Now().Format(time.RFC3339Nano))
				time.Sleep(time.Second)
			}
		case "lines":
			lines(number(s, argument))
		case "long":
			long(number(s, argument))
		case "report":
			tell(outcome{Step: s, Report: look()})
		default:
			attempt := do
			if verb == "until" {
				verb, argument, _ = strings.Cut(argument, "=")
				attempt = persist
			}
			text, err := attempt(verb, argument)
			o := outcome{Step: s, Text: text}
			if err != nil {
				o.Error = err.Error()
			}
			tell(o)
		}
	}
}

// persist does a step until it succeeds and has something to tell: what it needs may
// have to be made by another container first.
func persist(verb, argument string) (text string, err error) {
	wait(func() bool {
		text, err = do(verb, argument)
		return err == nil && text != ""
	})
	return text, err
}

// wait looks again and again until something is so; false if it took too long.
func wait(is func() bool) bool {
	const patience, pause = 5 * time.Minute, 50 * time.Millisecond
	for end := time.Now().Add(patience); !is(); time.Sleep(pause) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// patiently is wait for what the steps behind it rely on.
func patiently(step string, is func() bool) {
	if !wait(is) {
		must(step, errors.New("it took too long"))
	}
}

func do(verb, argument string) (string, error) {
	switch verb {
	case "read":
		text, err := os.ReadFile(argument)
		return string(text), err
	case "list":
		return list(argument)
	case "write":
		path, text, _ := strings.Cut(argument, ":")
		return "", os.WriteFile(path, []byte(text), 0o644)
	case "open":
		return "", open(argument)
	case "get":
		return get(argument)
	case "put":
		return put(argument)
	case "dial":
		return dial(argument)
	case "serve":
		return "", serve(argument)
	case "call":
		return "", call(argument)
	}
	return "", fmt.Errorf("there is no step %q", verb)
}

func list(path string) (string, error) {
	entries, err := os.ReadDir(path)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " "), err
}

func open(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Read(make([]byte, 1))
	return err
}

func tell(o outcome) {
	line, err := json.Marshal(o)
	must(o.Step, err)
	fmt.Printf("%s\n", line)
}

func must(step string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "probe: %s: %v\n", step, err)
		os.Exit(2)
	}
}

func number(step, argument string) int {
	n, err := strconv.Atoi(argument)
	must(step, err)
	return n
}

// lineLength is the bytes of one of many lines, its end included.
const lineLength = 100

func lines(n int) {
	out := bufio.NewWriterSize(os.Stdout, 64<<10)
	defer out.Flush()
	filler := strings.Repeat("-", lineLength)
	for i := range n {
		line := fmt.Sprintf("line %09d ", i)
		out.WriteString(line)
		out.WriteString(filler[:lineLength-1-len(line)])
		out.WriteByte('\n')
	}
}

func long(n int) {
	out := bufio.NewWriterSize(os.Stdout, 64<<10)
	defer out.Flush()
	for range n - 2 {
		out.WriteByte('x')
	}
	out.WriteString("!\n")
}
