package agent

import (
	"maps"
	"runtime"
	"slices"

	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"
)

// capabilities are the attributes by which the control plane knows what this agent can do. A task definition's
// requiresAttributes are matched against them, so each must be true.
//
// What is missing on purpose: ECR, Secrets Manager, SSM, S3, EFS and FireLens, task network interfaces, execute-command.
var capabilities = []string{
	"com.amazonaws.ecs.capability.privileged-container",
	// Docker API versions stand for what they brought, all of which containers here can do.
	"com.amazonaws.ecs.capability.docker-remote-api.1.17",
	"com.amazonaws.ecs.capability.docker-remote-api.1.18",
	"com.amazonaws.ecs.capability.docker-remote-api.1.19",
	"com.amazonaws.ecs.capability.docker-remote-api.1.20",
	"com.amazonaws.ecs.capability.docker-remote-api.1.21",
	"com.amazonaws.ecs.capability.docker-remote-api.1.22",
	"com.amazonaws.ecs.capability.docker-remote-api.1.23",
	"com.amazonaws.ecs.capability.docker-remote-api.1.24",
	"com.amazonaws.ecs.capability.docker-remote-api.1.25",
	"com.amazonaws.ecs.capability.docker-remote-api.1.28",
	"com.amazonaws.ecs.capability.docker-remote-api.1.29",
	"com.amazonaws.ecs.capability.docker-remote-api.1.30",
	"com.amazonaws.ecs.capability.docker-remote-api.1.32",
	"com.amazonaws.ecs.capability.task-iam-role",
	"com.amazonaws.ecs.capability.task-iam-role-network-host",
	// A task with an execution role may use awslogs. Its logs are shipped in the instance's name as long as the control
	// plane sends no credentials of that role; if it does, the task is refused.
	"ecs.capability.execution-role-awslogs",
	"ecs.capability.container-health-check",
	"ecs.capability.container-ordering",
	"ecs.capability.container-restart-policy",
	"ecs.capability.task-cpu-mem-limit",
	"ecs.capability.increased-task-cpu-limit",
	"ecs.capability.pid-ipc-namespace-sharing",
	"ecs.capability.network.container-port-range",
	"ecs.capability.docker-plugin.local",
	"ecs.capability.full-sync",
	acsapi.Capability,
}

// attributes are the attributes of a registration; custom ones only with the first.
func attributes(c Config, first bool) []ecsapi.Attribute {
	var out []ecsapi.Attribute
	add := func(name string, value *string) { out = append(out, ecsapi.Attribute{Name: &name, Value: value}) }
	for _, name := range capabilities {
		add(name, nil)
	}
	for _, driver := range c.LogDrivers {
		add("com.amazonaws.ecs.capability.logging-driver."+driver, nil)
	}
	if c.LaunchType == External {
		add("ecs.capability.external", nil)
	}
	add("ecs.os-type", new("linux"))
	add("ecs.os-family", new("LINUX"))
	add("ecs.os-type-detailed", new("LINUX"))
	add("ecs.cpu-architecture", new(architecture(runtime.GOARCH)))
	if first {
		for _, name := range slices.Sorted(maps.Keys(c.Attributes)) {
			add(name, new(c.Attributes[name]))
		}
	}
	return out
}

// architecture is ECS's name of a CPU architecture.
func architecture(goarch string) string {
	if goarch == "amd64" {
		return "x86_64"
	}
	return goarch
}

// resources is what a registration offers: PORTS are those that are taken, not those that are free.
func resources(c Config) []ecsapi.Resource {
	integer := func(name string, value int64) ecsapi.Resource {
		return ecsapi.Resource{Name: &name, Type: new("INTEGER"), IntegerValue: new(int32(value))}
	}
	set := func(name string, ports []uint16) ecsapi.Resource {
		values := []string{}
		for _, p := range ports {
			values = append(values, itoa(p))
		}
		return ecsapi.Resource{Name: &name, Type: new("STRINGSET"), StringSetValue: values}
	}
	return []ecsapi.Resource{
		integer("CPU", c.CPU), integer("MEMORY", c.Memory),
		set("PORTS", c.ReservedPorts), set("PORTS_UDP", c.ReservedUDPPorts),
	}
}
