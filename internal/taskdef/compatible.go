package taskdef

import (
	"slices"

	"gantry/internal/placement/query"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// maxConstraints bounds the placement constraints of a definition; the ones
// given at run time count into the same ten.
const maxConstraints = 10

func requires(def *ecsapi.TaskDefinition, c ecsapi.Compatibility) bool {
	return slices.Contains(def.RequiresCompatibilities, c)
}

func checkPlacement(def *ecsapi.TaskDefinition) error {
	if n := len(def.PlacementConstraints); n > maxConstraints {
		return client("The task definition has %d placement constraints; at most %d are allowed.", n, maxConstraints)
	}
	for _, c := range def.PlacementConstraints {
		if c.Type != ecsapi.TaskDefinitionPlacementConstraintTypeMemberOf {
			return client("The placement constraints of a task definition must be of type memberOf.")
		}
		if _, err := query.Parse(wire.Value(c.Expression)); err != nil {
			return ecsapi.NewInvalidParameterException(err.Error())
		}
	}
	return nil
}

// checkCompatibilities holds the definition against what it says it is for.
func checkCompatibilities(def *ecsapi.TaskDefinition) error {
	if requires(def, ecsapi.CompatibilityFargate) {
		if err := checkFargate(def); err != nil {
			return err
		}
	}
	if requires(def, ecsapi.CompatibilityExternal) && mode(def) == ecsapi.NetworkModeAwsvpc {
		return client("Tasks on external instances do not support networkMode=awsvpc.")
	}
	return nil
}

// compatibilities computes where the definition could run, in the order that ECS answers.
func compatibilities(def *ecsapi.TaskDefinition) []ecsapi.Compatibility {
	var out []ecsapi.Compatibility
	if mode(def) != ecsapi.NetworkModeAwsvpc && !slices.ContainsFunc(def.Volumes, func(v ecsapi.Volume) bool { return v.EfsVolumeConfiguration != nil }) {
		out = append(out, ecsapi.CompatibilityExternal)
	}
	out = append(out, ecsapi.CompatibilityEc2)
	if checkFargate(def) == nil {
		out = append(out, ecsapi.CompatibilityFargate)
	}
	if requires(def, ecsapi.CompatibilityManagedInstances) {
		out = append(out, ecsapi.CompatibilityManagedInstances)
	}
	return out
}

// complete fills in what ECS fills in.
func complete(def *ecsapi.TaskDefinition) {
	if def.Volumes == nil {
		def.Volumes = []ecsapi.Volume{}
	}
	if def.PlacementConstraints == nil {
		def.PlacementConstraints = []ecsapi.TaskDefinitionPlacementConstraint{}
	}
	for i := range def.Volumes {
		if d := def.Volumes[i].DockerVolumeConfiguration; d != nil && d.Scope == "" {
			d.Scope = ecsapi.ScopeTask
		}
	}
	for i := range def.ContainerDefinitions {
		completeContainer(def, &def.ContainerDefinitions[i])
	}
}

func completeContainer(def *ecsapi.TaskDefinition, c *ecsapi.ContainerDefinition) {
	if c.Essential == nil {
		c.Essential = new(true)
	}
	if c.Cpu == nil {
		c.Cpu = new(int32(0))
	}
	if c.Environment == nil {
		c.Environment = []ecsapi.KeyValuePair{}
	}
	if c.MountPoints == nil {
		c.MountPoints = []ecsapi.MountPoint{}
	}
	if c.PortMappings == nil {
		c.PortMappings = []ecsapi.PortMapping{}
	}
	if c.VolumesFrom == nil {
		c.VolumesFrom = []ecsapi.VolumeFrom{}
	}
	if c.SystemControls == nil {
		c.SystemControls = []ecsapi.SystemControl{}
	}
	for i := range c.PortMappings {
		completePort(def, &c.PortMappings[i])
	}
	if h := c.HealthCheck; h != nil {
		fill(&h.Interval, 30)
		fill(&h.Timeout, 5)
		fill(&h.Retries, 3)
	}
}

func completePort(def *ecsapi.TaskDefinition, p *ecsapi.PortMapping) {
	p.Protocol = protocol(*p)
	if p.ContainerPortRange != nil {
		return
	}
	if p.HostPort == nil || *p.HostPort == 0 {
		p.HostPort = new(int32(0))
		if m := mode(def); m == ecsapi.NetworkModeAwsvpc || m == ecsapi.NetworkModeHost {
			p.HostPort = new(*p.ContainerPort)
		}
	}
}

func fill(p **int32, value int32) {
	if *p == nil {
		*p = new(value)
	}
}
