package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// A fleet is a server without containers of its own, and machines that have joined
// it: each in a network namespace of its own, with its own data dir, containerd and
// addresses, and a link to a bridge where the server listens.
type fleet struct {
	*server
	name     string // of the bridge, and what the links begin with
	machines []*machine
}

// A machine is a container instance of a fleet. It can be killed, terminated,
// started again and taken down as a server can.
type machine struct {
	*server
	zone       string
	attributes string // custom ones, as the flag has them
	address    string // on the fleet's network
	link       string // the fleet's end of its link
	instance   string // the id of its container instance, once it has joined
}

// fleets counts them, so that each has a network of its own.
var fleets atomic.Int32

// zones are those that the machines of a fleet are in, in turn.
var zones = []string{"us-east-1a", "us-east-1b", "us-east-1c"}

// newFleet starts a server and so many machines, whose agents are connected then, and
// takes everything down with the test. Flags are the server's.
func newFleet(t *testing.T, size int, flags ...string) *fleet {
	t.Helper()
	need(t, "ip")
	n := fleets.Add(1)
	f := &fleet{name: fmt.Sprintf("fleet%d", n)}
	address := fmt.Sprintf("10.200.%d.1", n)
	f.run(t, "ip link add "+f.name+" type bridge", "ip addr add "+address+"/24 dev "+f.name, "ip link set "+f.name+" up")
	t.Cleanup(func() { f.run(t, "ip link del "+f.name) })
	f.server = f.member(t, nil, append([]string{"server", "--listen", address + ":0", "--task-warmup", "0s"}, flags...)...)
	if err := f.start(); err != nil {
		t.Fatalf("start the server: %v", err)
	}
	// So that a server that was killed is found again where it was.
	_, f.command[2], _ = strings.Cut(f.endpoint(), "://")
	for i := range size {
		f.machines = append(f.machines, f.newMachine(t, i))
	}
	joined := make([]error, size)
	var all sync.WaitGroup
	for i, m := range f.machines {
		token, err := f.token()
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() { joined[i] = m.join(f.endpoint(), token) })
	}
	all.Wait()
	if err := errors.Join(joined...); err != nil {
		t.Fatal(err)
	}
	for _, m := range f.machines {
		eventually(t, m.address+" to be connected", func() (bool, string) {
			i := describeInstance(t, f.sdk(), "default", m.instance)
			return i.AgentConnected, fmt.Sprint(*i.Status, i.AgentConnected)
		})
	}
	return f
}

// member prepares a gantry of the fleet, which is taken down with the test.
func (f *fleet) member(t *testing.T, ns *os.File, command ...string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "gantry-e2e")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{dir: dir, command: command, ns: ns}
	t.Cleanup(func() {
		if s.cmd == nil {
			return
		}
		if err := s.down(); err != nil {
			t.Errorf("%s: gantry down: %v", command[0], err)
		}
		if t.Failed() {
			t.Logf("output of gantry %s:\n%s\nits log ends:\n%s", strings.Join(command, " "), s.out.String(), s.logTail())
		}
		os.RemoveAll(dir)
	})
	return s
}

// newMachine makes a machine with its network; it has not joined yet.
func (f *fleet) newMachine(t *testing.T, i int) *machine {
	t.Helper()
	ns, err := newNamespace()
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { ns.Close() })
	m := &machine{zone: zones[i%len(zones)], link: fmt.Sprintf("%s-%d", f.name, i)}
	m.address = fmt.Sprintf("%s.%d", strings.TrimSuffix(f.command[2][:strings.LastIndex(f.command[2], ":")], ".1"), 10+i)
	at := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.Fd())
	f.run(t, "ip link add "+m.link+" type veth peer name eth0 netns "+at,
		"ip link set "+m.link+" master "+f.name, "ip link set "+m.link+" up")
	for _, line := range []string{"ip link set lo up", "ip addr add " + m.address + "/24 dev eth0", "ip link set eth0 up"} {
		if err := runIn(ns, line); err != nil {
			t.Fatal(err)
		}
	}
	m.attributes = fmt.Sprintf("machine=m%d", i)
	m.server = f.member(t, ns, "agent")
	return m
}

// token makes one by which one machine may join.
func (f *fleet) token(flags ...string) (string, error) {
	out, err := f.gantry(append([]string{"token", "create"}, flags...)...)
	token, _, _ := strings.Cut(out, "\n")
	return token, err
}

// join starts a machine's agent for the first time. It is told then where and what it
// is, and not when it is started again.
func (m *machine) join(server, token string) error {
	if err := m.start("--server", server, "--token", token, "--zone", m.zone, "--attributes", m.attributes); err != nil {
		return fmt.Errorf("machine %s: %w", m.address, err)
	}
	_, after, _ := strings.Cut(m.out.String(), "container instance ")
	m.instance, _, _ = strings.Cut(after, " ")
	return nil
}

// cut takes a machine's link down: nothing comes through any more, in neither direction.
func (f *fleet) cut(t *testing.T, m *machine) { t.Helper(); f.run(t, "ip link set "+m.link+" down") }

// mend takes the link up again.
func (f *fleet) mend(t *testing.T, m *machine) { t.Helper(); f.run(t, "ip link set "+m.link+" up") }

// at is the machine of a container instance, by its ARN.
func (f *fleet) at(t *testing.T, arn string) *machine {
	t.Helper()
	for _, m := range f.machines {
		if m.instance == id(arn) {
			return m
		}
	}
	t.Fatalf("no machine is %s", arn)
	return nil
}

func (f *fleet) run(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if err := runIn(nil, line); err != nil {
			t.Fatal(err)
		}
	}
}

// runIn runs a program in a network namespace; nil is that of the tests.
func runIn(ns *os.File, line string) error {
	words := strings.Fields(line)
	cmd := exec.Command(words[0], words[1:]...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	err := startIn(ns, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, said.String())
	}
	return nil
}

// inNetwork runs a function on a thread that is in a network namespace.
func inNetwork(ns *os.File, do func() error) error {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer own.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = do()
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, back) // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// startIn starts a program in a network namespace, which it inherits from the thread
// that starts it. (ip netns exec would hide the cgroup mounts.)
func startIn(ns *os.File, cmd *exec.Cmd) error {
	if ns == nil {
		return cmd.Start()
	}
	return inNetwork(ns, cmd.Start)
}

// newNamespace makes a network namespace, which lives as long as the file is open or a process is in it.
func newNamespace() (*os.File, error) {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer own.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	made, err := os.Open("/proc/thread-self/ns/net")
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		return nil, errors.Join(err, back) // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return made, err
}
