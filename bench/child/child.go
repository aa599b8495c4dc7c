// Package child runs copies of a benchmark's own program as further processes, each in
// a role, and asks them things: a line of JSON for each question and each answer.
//
// A child ends when its standard input does, so that none outlives its parent.
package child

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// roleVariable tells a copy of the program what it is.
const roleVariable = "GANTRY_BENCH_ROLE"

// A Child is another process of this program.
type Child struct {
	role   string
	cmd    *exec.Cmd
	input  io.WriteCloser
	output *json.Decoder
}

// A question is what the parent asks.
type question struct {
	Ask string          `json:"ask"`
	In  json.RawMessage `json:"in,omitzero"`
}

// An answer is what the child says.
type answer struct {
	Error string          `json:"error,omitzero"`
	Out   json.RawMessage `json:"out,omitzero"`
}

// Start starts a child in a role.
func Start(role string) (*Child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &Child{role: role, cmd: exec.Command(self)}
	c.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	c.cmd.Stderr = os.Stderr
	if c.input, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.output = json.NewDecoder(output)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the %s: %w", role, err)
	}
	return c, nil
}

// Ask has the child do something and waits for its answer; in and out may be nil.
func (c *Child) Ask(what string, in, out any) error {
	q := question{Ask: what}
	if in != nil {
		var err error
		if q.In, err = json.Marshal(in); err != nil {
			return err
		}
	}
	var a answer
	err := json.NewEncoder(c.input).Encode(q)
	if err == nil {
		err = c.output.Decode(&a)
	}
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(a.Out, out)
	}
	if err != nil {
		return fmt.Errorf("ask the %s to %s: %w", c.role, what, err)
	}
	return nil
}

// Pid is the child's process.
func (c *Child) Pid() int { return c.cmd.Process.Pid }

// End lets the child clean up after itself, and waits for it.
func (c *Child) End() error {
	if err := errors.Join(c.input.Close(), c.cmd.Wait()); err != nil {
		return fmt.Errorf("end the %s: %w", c.role, err)
	}
	return nil
}

// Role is what this process is; "" for the parent.
func Role() string { return os.Getenv(roleVariable) }

// Serve answers the parent's questions until the parent is done.
func Serve(handle func(ask string, in json.RawMessage) (out any, err error)) error {
	say := json.NewEncoder(os.Stdout)
	asked := json.NewDecoder(bufio.NewReader(os.Stdin))
	for {
		var q question
		if err := asked.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var a answer
		out, err := handle(q.Ask, q.In)
		if err == nil && out != nil {
			a.Out, err = json.Marshal(out)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := say.Encode(a); err != nil {
			return err
		}
	}
}
