package taskdef

import (
	"math"
	"strconv"
	"strings"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

const (
	unitsPerVCPU = 1024
	mibPerGB     = 1024
	// A task on EC2 or an external instance may ask for an eighth of a vCPU up to 192.
	minTaskCPU, maxTaskCPU = 128, 192 * unitsPerVCPU
	// minMemory is the least memory of a container or task, in MiB, that ECS takes.
	minMemory = 4
)

// Text of the two refusals as ECS words them.
const (
	badTaskCPU    = "Invalid 'cpu' setting for task."
	badTaskMemory = "Invalid 'memory' setting for task."
)

// CPUUnits reads a task-level cpu value: "1024", "1 vCPU", ".5 vcpu".
func CPUUnits(text string) (int64, bool) { return amount(text, unitsPerVCPU, "vcpu") }

// MemoryMiB reads a task-level memory value: "512", "1GB", "0.5 GB".
func MemoryMiB(text string) (int64, bool) { return amount(text, mibPerGB, "gb") }

// amount reads a whole number of base units, or a number of the larger unit
// named by its suffix, of which size base units make one.
func amount(text string, size float64, suffix string) (int64, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	number, large := strings.CutSuffix(text, suffix)
	if !large {
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil && n > 0
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	n := f * size
	if err != nil || n < 1 || n > math.MaxInt32 || n != math.Trunc(n) {
		return 0, false
	}
	return int64(n), true
}

// normaliseSizes writes the task's sizes as ECS keeps them: integers as text.
func normaliseSizes(def *ecsapi.TaskDefinition) error {
	if def.Cpu != nil {
		n, ok := CPUUnits(*def.Cpu)
		if !ok {
			return client(badTaskCPU)
		}
		def.Cpu = new(strconv.FormatInt(n, 10))
	}
	if def.Memory != nil {
		n, ok := MemoryMiB(*def.Memory)
		if !ok {
			return client(badTaskMemory)
		}
		def.Memory = new(strconv.FormatInt(n, 10))
	}
	return nil
}

// checkSizes holds the containers against each other and against the task.
func checkSizes(def *ecsapi.TaskDefinition) error {
	var cpu, memory int64
	for i := range def.ContainerDefinitions {
		c := &def.ContainerDefinitions[i]
		if err := checkContainerSizes(c, def.Memory != nil); err != nil {
			return err
		}
		cpu += int64(wire.Value(c.Cpu))
		memory += containerMemory(c)
		if limit, ok := taskMemory(def); ok && int64(wire.Value(c.Memory)) > limit {
			return client("Invalid setting for container '%s'. Its 'memory' of %d MiB cannot be greater than the value of the task 'memory' of %d MiB.",
				*c.Name, *c.Memory, limit)
		}
	}
	if def.Cpu != nil && !requires(def, ecsapi.CompatibilityFargate) {
		if n, _ := CPUUnits(*def.Cpu); n < minTaskCPU || n > maxTaskCPU {
			return client(badTaskCPU)
		}
	}
	if n, ok := CPUUnits(wire.Value(def.Cpu)); ok && cpu > n {
		return client("The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.")
	}
	if n, ok := taskMemory(def); ok {
		if n < minMemory {
			return client(badTaskMemory)
		}
		if memory > n {
			return client("The sum of all container 'memory' values cannot be greater than the value of the task 'memory'.")
		}
	}
	return nil
}

func checkContainerSizes(c *ecsapi.ContainerDefinition, taskHasMemory bool) error {
	if wire.Value(c.Cpu) < 0 {
		return client("Invalid 'cpu' setting for container '%s'.", *c.Name)
	}
	if c.Memory == nil && c.MemoryReservation == nil && !taskHasMemory {
		return client("Invalid setting for container '%s'. At least one of 'memory' or 'memoryReservation' must be specified.", *c.Name)
	}
	if c.Memory != nil && *c.Memory < minMemory {
		return client("Invalid 'memory' setting for container '%s'. At least %d MiB are needed.", *c.Name, minMemory)
	}
	if c.MemoryReservation != nil && *c.MemoryReservation < minMemory {
		return client("Invalid 'memoryReservation' setting for container '%s'. At least %d MiB are needed.", *c.Name, minMemory)
	}
	if c.Memory != nil && c.MemoryReservation != nil && *c.Memory < *c.MemoryReservation {
		return client("Invalid setting for container '%s'. The 'memory' value must be greater than or equal to the 'memoryReservation' value.", *c.Name)
	}
	return nil
}

// containerMemory is what placement counts for a container, in MiB: its
// reservation where there is one, else its limit.
func containerMemory(c *ecsapi.ContainerDefinition) int64 {
	if c.MemoryReservation != nil {
		return int64(*c.MemoryReservation)
	}
	return int64(wire.Value(c.Memory))
}

func taskMemory(def *ecsapi.TaskDefinition) (int64, bool) { return MemoryMiB(wire.Value(def.Memory)) }
