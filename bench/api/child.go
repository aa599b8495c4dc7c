package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"gantry/bench/client"
)

// roleVariable tells a copy of this program what it is: "plane <tasks>" or "bare <bytes>".
const (
	roleVariable    = "GANTRY_BENCH_API_ROLE"
	profileVariable = "GANTRY_BENCH_API_PROFILE"
)

// ready is what a child says once it serves, as a line of JSON.
type ready struct {
	API client.API `json:"api"`
	// Describe are the ids of a hundred tasks that run.
	Describe []string `json:"describe,omitzero"`
}

// A child is another process of this program. It ends when its standard input does.
type child struct {
	ready
	cmd   *exec.Cmd
	input io.Closer
}

// start starts a child and waits until it serves.
func start(role string, number int, profile string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self)}
	c.cmd.Env = append(os.Environ(), roleVariable+"="+role+" "+strconv.Itoa(number), profileVariable+"="+profile)
	c.cmd.Stderr = os.Stderr
	if c.input, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(output).Decode(&c.ready); err != nil {
		return nil, errors.Join(fmt.Errorf("start the %s of %d: %w", role, number, err), c.end())
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// end lets the child clean up after itself, and waits for it.
func (c *child) end() error { return errors.Join(c.input.Close(), c.cmd.Wait()) }

// play is the child's side.
func play(role string) error {
	var name string
	var number int
	if _, err := fmt.Sscan(role, &name, &number); err != nil {
		return fmt.Errorf("role %q: %w", role, err)
	}
	if name == "bare" {
		return serveBare(number)
	}
	return servePlane(number, os.Getenv(profileVariable))
}

// announce tells the parent where the child serves, and returns when the parent is done.
func announce(r ready) error {
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
