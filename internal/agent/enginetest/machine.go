// Package enginetest is a machine that only pretends: containers without processes, images without layers, ports without
// sockets. Tests and simulations run the real engine on it.
//
// What a container does is said by its image: see Program. Everything is kept in a Machine, which outlives any engine on
// it, so that an agent that is killed and started again finds what it left.
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"gantry"
	"gantry/internal/agent/engine"
	"gantry/internal/agent/metadata"
)

// A Program is what containers of one image do.
type Program struct {
	PullError, CreateError, StartError string        // fail so, if not empty
	PullTakes, StartTakes              time.Duration // then succeed or fail
	Cached                             bool          // no registry has to be asked for the image
	// Runs is how long a container runs by itself; 0 is until it is stopped.
	Runs     time.Duration
	ExitCode int32
	OOM      bool
	// Deaf containers take no notice of their stop signal.
	Deaf bool
	// Health is the exit codes of the health check's runs; the last one is repeated. Empty means 0.
	Health []int
}

// A Machine pretends to be one. Its zero value is not usable; see New.
type Machine struct {
	mu         sync.Mutex
	programs   map[string]Program         // guarded by mu; by image
	containers map[string]*container      // guarded by mu; by id
	networks   map[string]engine.Attached // guarded by mu; by container id
	ports      map[string]string          // guarded by mu; "tcp/80" → container id
	nextPort   int32                      // guarded by mu
	sandboxes  map[gantry.TaskID]bool     // guarded by mu
	volumes    map[string]gantry.TaskID   // guarded by mu
	log        []Event                    // guarded by mu
	free       uint64                     // guarded by mu
	nextIP     netip.Addr                 // guarded by mu
}

type container struct {
	spec    engine.Spec
	program Program
	state   engine.FoundState
	started time.Time
	starts  int
	probes  int
	exit    *engine.Exit
	ended   chan struct{} // closed when the latest run has ended
}

// New makes a machine with much room. The programs are by image; other images do not exist.
func New(programs map[string]Program) *Machine {
	return &Machine{
		programs: programs, containers: map[string]*container{}, networks: map[string]engine.Attached{}, ports: map[string]string{},
		sandboxes: map[gantry.TaskID]bool{}, volumes: map[string]gantry.TaskID{}, nextPort: 32768, free: 1 << 40,
		nextIP: netip.MustParseAddr("172.17.0.2"),
	}
}

// SetFree says how many bytes are free on the machine's disk.
func (m *Machine) SetFree(bytes uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = bytes
}

// Free is how many bytes are free on the machine's disk.
func (m *Machine) Free() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.free, nil
}

// An Event is something that was asked of the machine or happened on it: "pull web", "start web", "exit web", with
// containers by their ECS name and images by theirs.
type Event struct {
	At   time.Time
	Text string
}

// Log is what happened, in order.
func (m *Machine) Log() []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.log)
}

// Left is what is on the machine: containers, networks, sandboxes, volumes; nothing once every task was forgotten.
func (m *Machine) Left() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var left []string
	for _, c := range m.containers {
		left = append(left, "container "+c.spec.Labels["com.amazonaws.ecs.container-name"]+" "+string(c.state))
	}
	for id := range m.networks {
		if c := m.containers[id]; c != nil {
			id = nameOf(c)
		}
		left = append(left, "network of "+id)
	}
	for id := range m.sandboxes {
		left = append(left, "sandbox of "+string(id))
	}
	for name := range m.volumes {
		left = append(left, "volume "+name)
	}
	slices.Sort(left)
	return left
}

// Starts is how often each container was started, by ECS name.
func (m *Machine) Starts() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]int{}
	for _, e := range m.log {
		if name, ok := strings.CutPrefix(e.Text, "start "); ok {
			out[name]++
		}
	}
	return out
}

// Spec is what a container was made of, by ECS name; nil if there is none.
func (m *Machine) Spec(name string) *engine.Spec {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.containers {
		if nameOf(c) == name {
			return &c.spec
		}
	}
	return nil
}

// End ends a running container, as if by itself.
func (m *Machine) End(name string, exit engine.Exit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.containers {
		if nameOf(c) == name && c.state == engine.FoundRunning {
			m.end(c, exit)
		}
	}
}

// Reboot ends every container as a machine that loses its power does: nobody knows how.
func (m *Machine) Reboot() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.containers {
		if c.state == engine.FoundRunning {
			close(c.ended)
		}
		c.state, c.exit = engine.FoundCreated, nil
	}
	clear(m.networks)
	clear(m.ports)
	clear(m.sandboxes)
}

func nameOf(c *container) string { return c.spec.Labels["com.amazonaws.ecs.container-name"] }

// end ends a run; the caller holds mu.
func (m *Machine) end(c *container, exit engine.Exit) {
	if c.state != engine.FoundRunning {
		return
	}
	if exit.At.IsZero() {
		exit.At = time.Now()
	}
	c.state, c.exit = engine.FoundExited, &exit
	m.note("exit %s %d", nameOf(c), exit.Code)
	close(c.ended)
}

func (m *Machine) program(image string) Program {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.programs[image]
}

// note remembers an event; the caller holds mu.
func (m *Machine) note(format string, args ...any) {
	m.log = append(m.log, Event{At: time.Now(), Text: fmt.Sprintf(format, args...)})
}

// pause takes as long as is said, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Pull pretends to pull an image.
func (m *Machine) Pull(ctx context.Context, ref string) (engine.Image, error) {
	m.mu.Lock()
	p, ok := m.programs[ref]
	m.note("pull %s", ref)
	m.mu.Unlock()
	if err := pause(ctx, p.PullTakes); err != nil {
		return engine.Image{}, err
	}
	if !ok {
		return engine.Image{}, fmt.Errorf("CannotPullContainerError: pull access denied for %s, repository does not exist or may require 'docker login'", ref)
	}
	if p.PullError != "" {
		return engine.Image{}, errors.New(p.PullError)
	}
	image := imageOf(ref)
	image.Cached = p.Cached
	return image, nil
}

func imageOf(ref string) engine.Image {
	return engine.Image{ID: "sha256:image-of-" + ref, Digest: "sha256:digest-of-" + ref}
}

// Create pretends to make a container.
func (m *Machine) Create(ctx context.Context, spec *engine.Spec) error {
	p := m.program(spec.Image)
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &container{spec: *spec, program: p, state: engine.FoundCreated}
	m.note("create %s", nameOf(c))
	if p.CreateError != "" {
		return errors.New(p.CreateError)
	}
	if !m.sandboxes[spec.TaskID] {
		return fmt.Errorf("CannotCreateContainerError: task %s was not prepared", spec.TaskID)
	}
	if old := m.containers[spec.ID]; old != nil && old.state == engine.FoundRunning {
		return errors.New("CannotCreateContainerError: it runs already")
	}
	m.containers[spec.ID] = c
	return nil
}

// Start pretends to start a container.
func (m *Machine) Start(ctx context.Context, id string) (time.Time, error) {
	return m.start(ctx, id, engine.FoundCreated)
}

// Restart pretends to start a container that has ended once more.
func (m *Machine) Restart(ctx context.Context, id string) (time.Time, error) {
	return m.start(ctx, id, engine.FoundExited)
}

func (m *Machine) start(ctx context.Context, id string, from engine.FoundState) (time.Time, error) {
	m.mu.Lock()
	c := m.containers[id]
	m.mu.Unlock()
	if c == nil {
		return time.Time{}, fmt.Errorf("CannotStartContainerError: no such container: %s", id)
	}
	if err := pause(ctx, c.program.StartTakes); err != nil {
		return time.Time{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note("start %s", nameOf(c))
	if c.state != from {
		return time.Time{}, fmt.Errorf("CannotStartContainerError: it is %s", c.state)
	}
	if c.program.StartError != "" {
		return time.Time{}, errors.New(c.program.StartError)
	}
	c.state, c.started, c.ended, c.exit = engine.FoundRunning, time.Now(), make(chan struct{}), nil
	c.starts++
	if c.program.Runs > 0 {
		run := c.starts
		time.AfterFunc(c.program.Runs, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if c.starts == run {
				m.end(c, engine.Exit{Code: c.program.ExitCode, OOMKilled: c.program.OOM})
			}
		})
	}
	return c.started, nil
}

// Wait returns when a container has ended.
func (m *Machine) Wait(ctx context.Context, id string) (engine.Exit, error) {
	m.mu.Lock()
	c := m.containers[id]
	m.mu.Unlock()
	if c == nil || c.ended == nil {
		return engine.Exit{}, fmt.Errorf("no such container: %s", id)
	}
	select {
	case <-c.ended:
	case <-ctx.Done():
		return engine.Exit{}, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.exit == nil {
		return engine.Exit{}, errors.New("the machine was restarted")
	}
	return *c.exit, nil
}

// Stop sends a container its stop signal.
func (m *Machine) Stop(_ context.Context, id, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.containers[id]
	if c == nil {
		return fmt.Errorf("CannotStopContainerError: no such container: %s", id)
	}
	m.note("stop %s", nameOf(c))
	if !c.program.Deaf {
		m.end(c, engine.Exit{Code: 143})
	}
	return nil
}

// Kill ends a container.
func (m *Machine) Kill(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.containers[id]
	if c == nil {
		return fmt.Errorf("CannotStopContainerError: no such container: %s", id)
	}
	m.note("kill %s", nameOf(c))
	m.end(c, engine.Exit{Code: 137})
	return nil
}

// Delete removes a container.
func (m *Machine) Delete(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.containers[id]; c != nil && c.state == engine.FoundRunning {
		m.end(c, engine.Exit{Code: 137})
	}
	delete(m.containers, id)
	return nil
}

// List is every container.
func (m *Machine) List(context.Context) ([]engine.Found, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []engine.Found
	for _, id := range slices.Sorted(maps.Keys(m.containers)) {
		c := m.containers[id]
		found = append(found, engine.Found{ID: id, Cluster: c.spec.Labels["com.amazonaws.ecs.cluster"], State: c.state, StartedAt: c.started, Exit: c.exit, Image: imageOf(c.spec.Image)})
	}
	return found, nil
}

// Probe pretends to run a health check.
func (m *Machine) Probe(_ context.Context, id string, _ []string, _ time.Duration) (int, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.containers[id]
	if c == nil || c.state != engine.FoundRunning {
		return 0, "", errors.New("it does not run")
	}
	m.note("probe %s", nameOf(c))
	codes := c.program.Health
	if len(codes) == 0 {
		return 0, "ok", nil
	}
	code := codes[min(c.probes, len(codes)-1)]
	c.probes++
	return code, fmt.Sprintf("exit %d", code), nil
}

// Measure pretends to measure a container: it uses half a core and 10 MiB, of which 4 are cache.
func (m *Machine) Measure(_ context.Context, id string) (metadata.Stats, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.containers[id]
	if c == nil || c.state != engine.FoundRunning {
		return metadata.Stats{}, false, nil
	}
	used := time.Since(c.started)
	return metadata.Stats{
		Read:     time.Now(),
		CPU:      metadata.CPUStats{Total: uint64(used / 2)},
		Memory:   metadata.MemoryStats{Usage: 10 << 20, Details: map[string]uint64{"cache": 4 << 20}},
		Networks: map[string]metadata.InterfaceStats{"eth0": {RxBytes: uint64(used / time.Millisecond)}},
	}, true, nil
}
