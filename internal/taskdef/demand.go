package taskdef

import (
	"strconv"

	"gantry"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// A Demand is what one task takes on its container instance.
type Demand struct {
	CPU    int64 // CPU units
	Memory int64 // MiB
	// Ports and UDPPorts are fixed host ports; those that the agent picks are not among them.
	Ports, UDPPorts []uint16
	// GPUs is how many each container takes, in the order of the definition; nil where none takes any.
	GPUs []int
}

// GPUCount is the number of GPUs that all containers take together.
func (d *Demand) GPUCount() int {
	n := 0
	for _, gpus := range d.GPUs {
		n += gpus
	}
	return n
}

// DemandOf computes what a task of the definition takes, with the overrides of
// RunTask applied; over may be nil. On EC2 a container's cpu is only a weight
// when it runs, but a hard number for placement.
func DemandOf(def *ecsapi.TaskDefinition, over *ecsapi.TaskOverride) Demand {
	var d Demand
	for i := range def.ContainerDefinitions {
		c := &def.ContainerDefinitions[i]
		o := Override(over, *c.Name)
		d.CPU += int64(wire.Value(either(o.Cpu, c.Cpu)))
		d.Memory += int64(wire.Value(either(either(o.MemoryReservation, c.MemoryReservation), either(o.Memory, c.Memory))))
		for _, p := range c.PortMappings {
			if port := hostPort(def, p); port == 0 {
				continue
			} else if protocol(p) == ecsapi.TransportProtocolUdp {
				d.UDPPorts = append(d.UDPPorts, port)
			} else {
				d.Ports = append(d.Ports, port)
			}
		}
		if n := gpus(c, o); n > 0 {
			if d.GPUs == nil {
				d.GPUs = make([]int, len(def.ContainerDefinitions))
			}
			d.GPUs[i] = n
		}
	}
	cpu, memory := Sizes(def, over)
	if n, ok := CPUUnits(cpu); ok {
		d.CPU = n
	}
	if n, ok := MemoryMiB(memory); ok {
		d.Memory = n
	}
	return d
}

// Sizes are the task-level cpu and memory as ECS answers them: integers as text,
// of the override where there is one; empty where neither has any.
func Sizes(def *ecsapi.TaskDefinition, over *ecsapi.TaskOverride) (cpu, memory string) {
	cpu, memory = wire.Value(def.Cpu), wire.Value(def.Memory)
	if over == nil {
		return cpu, memory
	}
	if n, ok := CPUUnits(wire.Value(over.Cpu)); ok {
		cpu = strconv.FormatInt(n, 10)
	}
	if n, ok := MemoryMiB(wire.Value(over.Memory)); ok {
		memory = strconv.FormatInt(n, 10)
	}
	return cpu, memory
}

// Reserved is the demand as a record keeps it, without GPUs: their ids are
// known once an instance is chosen.
func (d *Demand) Reserved() gantry.Resources {
	return gantry.Resources{CPU: d.CPU, Memory: d.Memory, Ports: d.Ports, UDPPorts: d.UDPPorts}
}

// Override finds a container's overrides; empty ones where there are none.
func Override(over *ecsapi.TaskOverride, name string) ecsapi.ContainerOverride {
	if over != nil {
		for _, o := range over.ContainerOverrides {
			if wire.Value(o.Name) == name {
				return o
			}
		}
	}
	return ecsapi.ContainerOverride{}
}

func gpus(c *ecsapi.ContainerDefinition, o ecsapi.ContainerOverride) int {
	requirements := c.ResourceRequirements
	if o.ResourceRequirements != nil {
		requirements = o.ResourceRequirements
	}
	n := 0
	for _, r := range requirements {
		if r.Type == ecsapi.ResourceTypeGpu {
			count, _ := strconv.Atoi(wire.Value(r.Value)) // checked at registration
			n += count
		}
	}
	return n
}

// either is a where it is given, else b.
func either[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}

// CheckOverridden checks sizes that overrides change: a container's memory must
// not fall below its reservation.
func CheckOverridden(def *ecsapi.TaskDefinition, over *ecsapi.TaskOverride) error {
	for i := range def.ContainerDefinitions {
		c := def.ContainerDefinitions[i]
		o := Override(over, *c.Name)
		c.Cpu, c.Memory, c.MemoryReservation = either(o.Cpu, c.Cpu), either(o.Memory, c.Memory), either(o.MemoryReservation, c.MemoryReservation)
		c.ResourceRequirements, c.EnvironmentFiles, c.Environment = o.ResourceRequirements, o.EnvironmentFiles, o.Environment
		c.Secrets = nil
		_, memory := Sizes(def, over)
		for _, err := range []error{checkContainerSizes(&c, memory != ""), checkRequirements(&c), checkEnvironment(&c)} {
			if err != nil {
				return err
			}
		}
	}
	return nil
}
