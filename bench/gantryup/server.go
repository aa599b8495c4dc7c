// Package gantryup starts the real `gantry up`, or `gantry server`, for benchmarks, and
// takes it down again.
package gantryup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gantry/bench/client"
	"gantry/internal/wire/ecsapi"
)

// readyWithin bounds how long gantry may take to come up.
const readyWithin = 60 * time.Second

// A Server is a running gantry.
type Server struct {
	API client.API
	// Ready is how long it took from its start until it said that it is ready.
	Ready time.Duration

	program, dir string
	cmd          *exec.Cmd
	lines        chan string
	log          bytes.Buffer // of stderr; whole once the process has ended
}

// Start starts a gantry on a free port, with flags of its own, and returns when it is ready.
func Start(program, dir string, flags ...string) (*Server, error) {
	return start(program, dir, append([]string{"up", "--listen", "127.0.0.1:0"}, flags...))
}

// Serve starts a server without containers of its own, which speaks plain HTTP at an
// address where other machines reach it.
func Serve(program, dir, address string, flags ...string) (*Server, error) {
	return start(program, dir, append([]string{"server", "--listen", address + ":0", "--insecure-plain-http"}, flags...))
}

func start(program, dir string, command []string) (*Server, error) {
	s := &Server{program: program, dir: dir, lines: make(chan string, 64)}
	s.cmd = exec.Command(program, append(command, "--data-dir", dir, "--log-level", "warn")...)
	s.cmd.Stderr = &s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.lines)
		for text := bufio.NewScanner(out); text.Scan(); {
			select {
			case s.lines <- text.Text():
			default: // nobody listens any more
			}
		}
	}()
	deadline := time.After(readyWithin)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				return nil, fmt.Errorf("gantry %s ended: %w\n%s", command[0], s.cmd.Wait(), s.log.String())
			}
			if strings.HasPrefix(line, "ready") {
				s.Ready = time.Since(began)
				return s, s.readAPI()
			}
		case <-deadline:
			s.cmd.Process.Kill()
			return nil, fmt.Errorf("gantry %s is not ready after %s: %w\n%s", command[0], readyWithin, s.cmd.Wait(), s.log.String())
		}
	}
}

// Pid is the process that is gantry.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Dir is its data dir.
func (s *Server) Dir() string { return s.dir }

// readAPI learns from gantry's own files how to reach it.
func (s *Server) readAPI() error {
	s.API.Region = "us-east-1"
	endpoint, err := os.ReadFile(filepath.Join(s.dir, "endpoint"))
	if err != nil {
		return err
	}
	s.API.Address = strings.TrimPrefix(strings.TrimSpace(string(endpoint)), "http://")
	keys, err := os.ReadFile(filepath.Join(s.dir, "credentials"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(keys)) {
		switch name, value, _ := strings.Cut(line, "="); strings.TrimSpace(name) {
		case "aws_access_key_id":
			s.API.AccessKey = strings.TrimSpace(value)
		case "aws_secret_access_key":
			s.API.SecretKey = strings.TrimSpace(value)
		}
	}
	return nil
}

// Joined returns when the machine is a container instance of the default cluster.
func (s *Server) Joined(within time.Duration) error {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var listed ecsapi.ListContainerInstancesOutput
		if err := s.API.Call("ListContainerInstances", &ecsapi.ListContainerInstancesInput{}, &listed); err != nil {
			return err
		}
		if len(listed.ContainerInstanceArns) == 0 {
			continue
		}
		var out ecsapi.DescribeContainerInstancesOutput
		if err := s.API.Call("DescribeContainerInstances", &ecsapi.DescribeContainerInstancesInput{
			ContainerInstances: listed.ContainerInstanceArns}, &out); err != nil {
			return err
		}
		if i := out.ContainerInstances; len(i) > 0 && i[0].AgentConnected != nil && *i[0].AgentConnected {
			return nil
		}
	}
	return fmt.Errorf("the machine is no container instance after %s", within)
}

// Terminate stops gantry and leaves its tasks running.
func (s *Server) Terminate() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.cmd.Wait()
}

// Command runs another gantry command on this one's data dir.
func (s *Server) Command(args ...string) error {
	_, err := s.Output(args...)
	return err
}

// Output is what such a command prints.
func (s *Server) Output(args ...string) (string, error) {
	out, err := exec.Command(s.program, append(args, "--data-dir", s.dir)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("gantry %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Down stops gantry and its tasks, and removes the data dir.
func (s *Server) Down() error {
	err := s.Command("down")
	if s.cmd.ProcessState == nil {
		err = errors.Join(err, s.cmd.Wait())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
