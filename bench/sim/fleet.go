// Package sim simulates container instances by the thousand in one process: each
// registers, holds the control websocket and the telemetry one, acknowledges what it is
// told, and reports what becomes of its tasks, all as the genuine agent does and signed
// with a key of its own. There are no containers: a task runs, or has stopped, as soon
// as an agent hears of it.
package sim

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gantry/bench/client"
)

// A Config is what the agents are.
type Config struct {
	Address string // of the API, host:port
	Region  string
	Cluster string
	Agents  int
	// Zones is over how many availability zones they are spread.
	Zones int
	// CPU and Memory are what each offers, in units and MiB.
	CPU, Memory int32
	// Batched has agents announce gantry's capability and report many tasks in one
	// message; else each report is a signed request of its own, as the genuine agent's are.
	Batched bool
	// Telemetry has agents hold the second websocket too.
	Telemetry bool
}

// A Count is what the agents have done so far.
type Count struct {
	Requests int64 // signed calls of the API
	Messages int64 // sent on control websockets
	Received int64 // bytes of messages on control websockets
	Reports  int64 // of a task, whichever way
	Failed   int64 // reports that were refused
}

// Minus is what was done since.
func (c Count) Minus(d Count) Count {
	return Count{c.Requests - d.Requests, c.Messages - d.Messages, c.Received - d.Received, c.Reports - d.Reports, c.Failed - d.Failed}
}

// A Fleet is agents that are connected.
type Fleet struct {
	Config
	requests, messages, received, reports, failed atomic.Int64

	mu    sync.Mutex
	wrong error // what went wrong first
}

// Key is the access key of one agent.
func Key(i int) (id, secret string) {
	return fmt.Sprintf("AKIASIMULATED%07d", i), fmt.Sprintf("the secret of agent %d", i)
}

const (
	// dialling is how many agents come up at once.
	dialling = 32
	// connectWithin bounds how long one may take.
	connectWithin = time.Minute
)

// Start brings all agents up, and returns when they are connected. They work until ctx
// ends.
func Start(ctx context.Context, c Config) (*Fleet, error) {
	f := &Fleet{Config: c}
	var g errgroup.Group
	g.SetLimit(dialling)
	for i := range c.Agents {
		g.Go(func() error {
			id, secret := Key(i)
			a := &agent{
				fleet: f, number: i,
				api: client.API{Address: c.Address, Region: c.Region, AccessKey: id, SecretKey: secret},
			}
			if err := a.connect(ctx); err != nil {
				return fmt.Errorf("agent %d: %w", i, err)
			}
			return nil
		})
	}
	return f, g.Wait()
}

// Count is what was done so far.
func (f *Fleet) Count() Count {
	return Count{f.requests.Load(), f.messages.Load(), f.received.Load(), f.reports.Load(), f.failed.Load()}
}

// Wrong is what went wrong first; nil if all is well.
func (f *Fleet) Wrong() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrong
}

func (f *Fleet) blame(err error) {
	f.failed.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wrong == nil {
		f.wrong = err
	}
}
