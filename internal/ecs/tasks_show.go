package ecs

import (
	"encoding/json"
	"strconv"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/taskdef"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// A view is what DescribeTasks shows of a task beyond the task itself.
type view struct {
	tags      bool // they were asked for
	connected bool // the agent is
	renewed   bool // it came back after the task was first told of: connectivityAt is not the task's own
}

// Fragments of JSON are kept for each task until it changes, one for each view, so
// that describing a hundred tasks copies bytes.
var taskJSON = func() map[view]*store.Fragment[gantry.Task] {
	all := map[view]*store.Fragment[gantry.Task]{}
	for n := range 1 << 3 {
		all[view{n&1 > 0, n&2 > 0, n&4 > 0}] = store.NewFragment(store.Tasks)
	}
	return all
}()

// encodedTask is a task as DescribeTasks answers it; ok is false where there is
// no such task. What is kept looks at nothing but the task, the view, and the
// definition's containers, which never change.
func (s *Service) encodedTask(snap *store.Snapshot, key string, tags bool) (raw []byte, ok bool) {
	found, ok := store.Tasks.Look(snap, key)
	if !ok {
		return nil, false
	}
	v, since := viewOf(snap, found.Value(), tags)
	raw = taskJSON[v].Of(found, func(t *gantry.Task) []byte { return encode(s.showTask(snap, t, v)) })
	if v.renewed {
		raw = append(append(raw[:len(raw)-1:len(raw)-1], `,"connectivityAt":`...), encode(at(since))...)
		raw = append(raw, '}')
	}
	return raw, true
}

func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("encode a task: " + err.Error()) // plain structs of text and numbers always encode
	}
	return raw
}

// viewOf tells whether the agent of a task is connected, for a STOPPED task whether it
// was, and since when, where the task does not know that itself.
func viewOf(r store.Reader, t *gantry.Task, tags bool) (v view, since time.Time) {
	v.tags = tags
	if t.LastStatus == gantry.Stopped {
		v.connected = t.StopCode != ecsapi.TaskStopCodeInfrastructureHealth
		return v, time.Time{}
	}
	c, ok := store.Connections.Get(r, string(t.Cluster)+"/"+string(t.Instance))
	if v.connected = ok && c.Connected; v.connected && !t.ConnectivityAt.IsZero() && c.Since.After(t.ConnectivityAt) {
		v.renewed = true
		return v, c.Since
	}
	return v, time.Time{}
}

// showWhole is a task as the operations that change it answer it.
func (s *Service) showWhole(r store.Reader, t *gantry.Task) *ecsapi.Task {
	v, since := viewOf(r, t, true)
	out := s.showTask(r, t, v)
	if v.renewed {
		out.ConnectivityAt = at(since)
	}
	return out
}

// ShowTask is a task as DescribeTasks answers it.
func (s *Service) ShowTask(r store.Reader, t *gantry.Task) *ecsapi.Task { return s.showWhole(r, t) }

// showTask is a task as ECS answers it.
func (s *Service) showTask(r store.Reader, t *gantry.Task, v view) *ecsapi.Task {
	var def *ecsapi.TaskDefinition
	if d, ok := store.Definitions.Get(r, string(t.Definition)); ok {
		def = d.Wire
	}
	place := s.cfg.Place
	out := &ecsapi.Task{
		TaskArn:              new(string(place.Task(t.Cluster, t.ID))),
		ClusterArn:           new(string(place.Cluster(t.Cluster))),
		TaskDefinitionArn:    new(string(place.Definition(t.Definition))),
		LastStatus:           new(string(t.LastStatus)),
		DesiredStatus:        new(string(t.DesiredStatus)),
		LaunchType:           t.LaunchType,
		CapacityProviderName: some(t.CapacityProvider),
		Group:                new(string(t.Group)),
		StartedBy:            some(t.StartedBy),
		Version:              new(t.Version),
		AvailabilityZone:     some(t.Zone),
		Cpu:                  new(sizeShown(t.CPU, t.Reserved.CPU)),
		Memory:               new(sizeShown(t.Memory, t.Reserved.Memory)),
		EnableExecuteCommand: new(t.EnableExecuteCommand),
		HealthStatus:         taskHealth(t, def),
		Attachments:          []ecsapi.Attachment{},
		Attributes:           []ecsapi.Attribute{},
		Overrides:            showOverrides(t),
		Tags:                 []ecsapi.Tag{},
		StopCode:             t.StopCode,
		StoppedReason:        some(t.StoppedReason),
		CreatedAt:            at(t.CreatedAt),
		ConnectivityAt:       at(t.ConnectivityAt),
		PullStartedAt:        at(t.PullStartedAt),
		PullStoppedAt:        at(t.PullStoppedAt),
		StartedAt:            at(t.StartedAt),
		StoppingAt:           at(t.StoppingAt),
		ExecutionStoppedAt:   at(t.ExecutionStoppedAt),
		StoppedAt:            at(t.StoppedAt),
	}
	if t.Instance != "" {
		out.ContainerInstanceArn = new(string(place.Instance(t.Cluster, t.Instance)))
	}
	if t.Architecture != "" {
		out.Attributes = append(out.Attributes, ecsapi.Attribute{Name: new(gantry.AttributeArchitecture), Value: new(t.Architecture)})
	}
	switch {
	case t.ConnectivityAt.IsZero(): // the agent has not told of the task yet
	case v.connected:
		out.Connectivity = ecsapi.ConnectivityConnected
	default:
		out.Connectivity = ecsapi.ConnectivityDisconnected
	}
	if v.renewed {
		out.ConnectivityAt = nil // the caller knows it
	}
	if v.tags {
		out.Tags = shown(t.Tags)
	}
	for i := range t.Containers {
		out.Containers = append(out.Containers, s.showContainer(t, &t.Containers[i], def))
	}
	return out
}

func (s *Service) showContainer(t *gantry.Task, c *gantry.Container, def *ecsapi.TaskDefinition) ecsapi.Container {
	out := ecsapi.Container{
		ContainerArn:      new(string(s.cfg.Place.Container(t.Cluster, t.ID, c.ID))),
		TaskArn:           new(string(s.cfg.Place.Task(t.Cluster, t.ID))),
		Name:              new(c.Name),
		ImageDigest:       some(c.ImageDigest),
		RuntimeId:         some(c.RuntimeID),
		LastStatus:        new(string(c.LastStatus)),
		ExitCode:          c.ExitCode,
		Reason:            some(c.Reason),
		NetworkBindings:   shown(c.NetworkBindings),
		NetworkInterfaces: []ecsapi.NetworkInterface{},
		HealthStatus:      health(c),
		GpuIds:            c.GPUs,
	}
	d := containerDefinition(def, c.Name)
	if d == nil {
		return out // its definition was deleted: what the task itself knows is left
	}
	o := taskdef.Override(t.Overrides, c.Name)
	out.Image = d.Image
	out.Cpu = new(strconv.Itoa(int(wire.Value(firstOf(o.Cpu, d.Cpu)))))
	out.Memory = number(firstOf(o.Memory, d.Memory))
	out.MemoryReservation = number(firstOf(o.MemoryReservation, d.MemoryReservation))
	return out
}

// showOverrides lists every container, also one without overrides.
func showOverrides(t *gantry.Task) *ecsapi.TaskOverride {
	out := ecsapi.TaskOverride{}
	if t.Overrides != nil {
		out = *t.Overrides
	}
	given := out.ContainerOverrides
	out.ContainerOverrides = make([]ecsapi.ContainerOverride, 0, len(t.Containers))
	for _, c := range t.Containers {
		o := taskdef.Override(&ecsapi.TaskOverride{ContainerOverrides: given}, c.Name)
		o.Name = new(c.Name)
		out.ContainerOverrides = append(out.ContainerOverrides, o)
	}
	out.InferenceAcceleratorOverrides = shown(out.InferenceAcceleratorOverrides)
	return &out
}

// taskHealth is UNHEALTHY if any essential container is, else UNKNOWN if any
// essential one is, else HEALTHY.
func taskHealth(t *gantry.Task, def *ecsapi.TaskDefinition) ecsapi.HealthStatus {
	sum := ecsapi.HealthStatusHealthy
	for i := range t.Containers {
		c := &t.Containers[i]
		if d := containerDefinition(def, c.Name); d != nil && d.Essential != nil && !*d.Essential {
			continue
		}
		switch health(c) {
		case ecsapi.HealthStatusUnhealthy:
			return ecsapi.HealthStatusUnhealthy
		case ecsapi.HealthStatusUnknown:
			sum = ecsapi.HealthStatusUnknown
		}
	}
	return sum
}

func health(c *gantry.Container) ecsapi.HealthStatus {
	if c.Health == "" {
		return ecsapi.HealthStatusUnknown
	}
	return c.Health
}

func containerDefinition(def *ecsapi.TaskDefinition, name string) *ecsapi.ContainerDefinition {
	if def == nil {
		return nil
	}
	for i := range def.ContainerDefinitions {
		if wire.Value(def.ContainerDefinitions[i].Name) == name {
			return &def.ContainerDefinitions[i]
		}
	}
	return nil
}

// sizeShown is the task's size as text: what it was given, else what its containers sum up to.
func sizeShown(given string, sum int64) string {
	if given != "" {
		return given
	}
	return strconv.FormatInt(sum, 10)
}

// some is text that is left out where it is empty.
func some(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// at is a time that is left out where it is zero.
func at(t time.Time) *wire.Timestamp {
	if t.IsZero() {
		return nil
	}
	return wire.At(t)
}

// number is a number as text, which is how a task's containers tell their sizes.
func number(n *int32) *string {
	if n == nil {
		return nil
	}
	return new(strconv.Itoa(int(*n)))
}

func firstOf[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}
