package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// The bridge by which machines reach their server.
const (
	bridge  = "recovery"
	address = "10.201.0.1"
)

// makeNetwork makes it; it goes with the benchmark's own network namespace.
func makeNetwork() error {
	return ip("link add "+bridge+" type bridge", "addr add "+address+"/24 dev "+bridge, "link set "+bridge+" up")
}

// ip runs commands of iproute2.
func ip(lines ...string) error {
	for _, line := range lines {
		if err := execute("ip", strings.Fields(line)...); err != nil {
			return err
		}
	}
	return nil
}

func execute(program string, args ...string) error {
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, out)
	}
	return nil
}

// A machine is a gantry agent in a network namespace of its own.
type machine struct {
	program  string
	dir      string
	server   string
	link     string    // the server's end of its link
	holder   *exec.Cmd // keeps its namespace while the agent is dead
	agent    *exec.Cmd
	log      bytes.Buffer // what its agents said; read once they have ended
	instance string       // the ARN of its container instance
}

// newMachine makes the nth machine with its link. No agent runs on it yet.
func newMachine(program, dir, server string, n int) (*machine, error) {
	m := &machine{program: program, dir: dir, server: server, link: fmt.Sprint(bridge, n), holder: exec.Command("sleep", "infinity")}
	m.holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := m.holder.Start(); err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	err := ip(fmt.Sprintf("link add %s type veth peer name eth0 netns %d", m.link, m.holder.Process.Pid), "link set "+m.link+" master "+bridge, "link set "+m.link+" up")
	for _, line := range []string{"link set lo up", fmt.Sprintf("addr add 10.201.0.%d/24 dev eth0", 10+n), "link set eth0 up"} {
		if err == nil {
			err = execute("nsenter", append([]string{m.namespace(), "ip"}, strings.Fields(line)...)...)
		}
	}
	return m, err
}

// namespace is what nsenter is told: the holder's, without hiding the cgroups, as ip netns exec does.
func (m *machine) namespace() string {
	return fmt.Sprintf("--net=/proc/%d/ns/net", m.holder.Process.Pid)
}

// start starts the agent, with a token where it has not joined yet.
func (m *machine) start(flags ...string) error {
	m.agent = exec.Command("nsenter", append([]string{m.namespace(), m.program, "agent", "--data-dir", m.dir, "--server", m.server, "--log-level", "warn"}, flags...)...)
	m.agent.Stderr = &m.log
	return m.agent.Start()
}

// kill ends all processes of the machine at once: the agent, its shims, and the programs
// of its containers, which are in namespaces of their own.
func (m *machine) kill() error {
	all, err := m.processes()
	if err != nil {
		return err
	}
	for _, pid := range all {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill process %d of a machine: %w", pid, err)
		}
	}
	m.agent.Wait() // killed: that is no news
	return nil
}

// processes are those in the machine's namespace, less its holder, and their descendants,
// the oldest first.
func (m *machine) processes() ([]int, error) {
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", m.holder.Process.Pid))
	if err != nil {
		return nil, err
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var found []int
	ours, children := map[int]bool{}, map[int][]int{}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it is gone meanwhile
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		after := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // state, parent, …
		parent, _ := strconv.Atoi(after[1])
		children[parent] = append(children[parent], pid)
		if in, err := os.Readlink(filepath.Dir(file) + "/ns/net"); err == nil && in == namespace && pid != m.holder.Process.Pid {
			ours[pid] = true
			found = append(found, pid)
		}
	}
	for i := 0; i < len(found); i++ {
		for _, child := range children[found[i]] {
			if !ours[child] {
				ours[child] = true
				found = append(found, child)
			}
		}
	}
	return found, nil
}

// down stops what the machine runs, and takes back what it made.
func (m *machine) down() error {
	err := execute("nsenter", m.namespace(), m.program, "down", "--data-dir", m.dir)
	if m.agent != nil && m.agent.ProcessState == nil {
		m.agent.Wait()
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, m.log.String())
	}
	m.holder.Process.Kill()
	m.holder.Wait()
	return errors.Join(err, os.RemoveAll(m.dir))
}
