package taskdef

import (
	"slices"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// A fargateSize is one cpu value of Fargate with the memory values that go with it.
type fargateSize struct {
	cpu               int64 // units
	least, most, step int64 // MiB
}

// fargateSizes is AWS's table; 256 units has 512 MiB besides.
var fargateSizes = []fargateSize{
	{256, 1024, 2048, 1024},
	{512, 1024, 4096, 1024},
	{1024, 2048, 8192, 1024},
	{2048, 4096, 16384, 1024},
	{4096, 8192, 30720, 1024},
	{8192, 16384, 61440, 4096},
	{16384, 32768, 122880, 8192},
}

const (
	fargateDefaultStorage                    = 20 // GiB, unless asked
	fargateMinStorage, fargateMaxStorage     = fargateDefaultStorage + 1, 200
	fargateMinStopTimeout, fargateMaxTimeout = 2, 120
)

// fargateOffers reports whether Fargate has a size of so many CPU units and MiB.
func fargateOffers(cpu, memory int64) bool {
	if cpu == 256 && memory == 512 {
		return true
	}
	return slices.ContainsFunc(fargateSizes, func(s fargateSize) bool {
		return s.cpu == cpu && memory >= s.least && memory <= s.most && memory%s.step == 0
	})
}

// checkFargate says why a definition cannot run on Fargate; nil where it can.
func checkFargate(def *ecsapi.TaskDefinition) error {
	if mode(def) != ecsapi.NetworkModeAwsvpc {
		return client("Fargate only supports network mode 'awsvpc'.")
	}
	if def.Cpu == nil {
		return client("Fargate requires that 'cpu' be defined at the task level.")
	}
	if def.Memory == nil {
		return client("Fargate requires that 'memory' be defined at the task level.")
	}
	cpu, _ := CPUUnits(*def.Cpu)
	if memory, _ := taskMemory(def); !fargateOffers(cpu, memory) {
		return client("No Fargate configuration exists for given values.")
	}
	if len(def.PlacementConstraints) > 0 {
		return client("Fargate does not support placement constraints.")
	}
	if len(def.InferenceAccelerators) > 0 {
		return client("Fargate does not support inference accelerators.")
	}
	if def.IpcMode != "" {
		return client("Fargate does not support the 'ipcMode' parameter.")
	}
	if def.PidMode == ecsapi.PidModeHost {
		return client("Fargate supports only pidMode 'task'.")
	}
	if s := def.EphemeralStorage; s != nil {
		if n := wire.Value(s.SizeInGiB); n < fargateMinStorage || n > fargateMaxStorage {
			return client("The ephemeralStorage of a Fargate task must be between %d and %d GiB.", fargateMinStorage, fargateMaxStorage)
		}
	}
	for i := range def.Volumes {
		v := &def.Volumes[i]
		if v.DockerVolumeConfiguration != nil || v.Host != nil && wire.Value(v.Host.SourcePath) != "" {
			return client("Fargate does not support volume '%s': neither host paths nor Docker volumes.", *v.Name)
		}
	}
	for i := range def.ContainerDefinitions {
		if err := checkFargateContainer(&def.ContainerDefinitions[i]); err != nil {
			return err
		}
	}
	return nil
}

func checkFargateContainer(c *ecsapi.ContainerDefinition) error {
	if set(c.Privileged) {
		return client("Fargate does not support privileged containers, such as '%s'.", *c.Name)
	}
	if c.StopTimeout != nil && (*c.StopTimeout < fargateMinStopTimeout || *c.StopTimeout > fargateMaxTimeout) {
		return client("Invalid 'stopTimeout' setting for container '%s'. On Fargate it must be between %d and %d seconds.", *c.Name, fargateMinStopTimeout, fargateMaxTimeout)
	}
	if c.StartTimeout != nil && (*c.StartTimeout < fargateMinStopTimeout || *c.StartTimeout > fargateMaxTimeout) {
		return client("Invalid 'startTimeout' setting for container '%s'. On Fargate it must be between %d and %d seconds.", *c.Name, fargateMinStopTimeout, fargateMaxTimeout)
	}
	if slices.ContainsFunc(c.ResourceRequirements, func(r ecsapi.ResourceRequirement) bool { return r.Type == ecsapi.ResourceTypeGpu }) {
		return client("Fargate does not support GPUs, which container '%s' asks for.", *c.Name)
	}
	if l := c.LogConfiguration; l != nil {
		switch l.LogDriver {
		case ecsapi.LogDriverAwslogs:
			if l.Options["awslogs-stream-prefix"] == "" {
				return client("Log driver awslogs requires options: awslogs-stream-prefix")
			}
		case ecsapi.LogDriverSplunk, ecsapi.LogDriverAwsfirelens:
		default:
			return client("Fargate does not support log driver %s of container '%s'.", l.LogDriver, *c.Name)
		}
	}
	if p := c.LinuxParameters; p != nil {
		if len(p.Devices) > 0 || len(p.Tmpfs) > 0 || p.SharedMemorySize != nil || p.MaxSwap != nil || p.Swappiness != nil {
			return client("Fargate does not support devices, tmpfs, sharedMemorySize, maxSwap and swappiness, as in container '%s'.", *c.Name)
		}
		if p.Capabilities != nil && slices.ContainsFunc(p.Capabilities.Add, func(name string) bool { return name != "SYS_PTRACE" }) {
			return client("Fargate allows only the capability SYS_PTRACE to be added, unlike container '%s'.", *c.Name)
		}
	}
	return nil
}
