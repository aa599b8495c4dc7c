package taskdef

import (
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// checkVolumes checks the volumes themselves; that mount points name them is
// checked with the containers.
func checkVolumes(def *ecsapi.TaskDefinition) error {
	seen := map[string]bool{}
	for i := range def.Volumes {
		v := &def.Volumes[i]
		name := wire.Value(v.Name)
		if name == "" {
			return client("Volume.name should not be null or empty.")
		}
		if !validName(name) {
			return client("Volume.name contains invalid characters: '%s'.", wire.Shorten(name))
		}
		if seen[name] {
			return client("Volume names must be unique: '%s' is used more than once.", name)
		}
		seen[name] = true
		if kinds := volumeKinds(v); kinds > 1 {
			return client("Volume '%s' can have only one configuration; it has %d.", name, kinds)
		}
		if d := v.DockerVolumeConfiguration; d != nil && d.Autoprovision != nil && d.Scope != ecsapi.ScopeShared {
			return client("Volume '%s' sets 'autoprovision', which is only valid with scope 'shared'.", name)
		}
	}
	return nil
}

func volumeKinds(v *ecsapi.Volume) int {
	n := 0
	for _, there := range []bool{
		v.Host != nil && v.Host.SourcePath != nil, v.DockerVolumeConfiguration != nil, v.EfsVolumeConfiguration != nil,
		v.FsxWindowsFileServerVolumeConfiguration != nil, v.S3filesVolumeConfiguration != nil, set(v.ConfiguredAtLaunch),
	} {
		if there {
			n++
		}
	}
	return n
}

// checkMounts checks what a container mounts against the definition's volumes and containers.
func checkMounts(def *ecsapi.TaskDefinition, c *ecsapi.ContainerDefinition) error {
	paths := map[string]bool{}
	for _, m := range c.MountPoints {
		source, path := wire.Value(m.SourceVolume), wire.Value(m.ContainerPath)
		if source == "" || path == "" {
			return client("A mount point of container '%s' needs both 'sourceVolume' and 'containerPath'.", *c.Name)
		}
		if !hasVolume(def, source) {
			return client("Unknown volume '%s'.", source)
		}
		if paths[path] {
			return client("Container '%s' has more than one mount point at '%s'.", *c.Name, path)
		}
		paths[path] = true
	}
	for _, from := range c.VolumesFrom {
		source := wire.Value(from.SourceContainer)
		if source == *c.Name {
			return client("Container '%s' cannot take volumes from itself.", *c.Name)
		}
		if container(def, source) == nil {
			return client("Container '%s' takes volumes from container '%s', which does not exist.", *c.Name, source)
		}
	}
	return nil
}

func hasVolume(def *ecsapi.TaskDefinition, name string) bool {
	for i := range def.Volumes {
		if wire.Value(def.Volumes[i].Name) == name {
			return true
		}
	}
	return false
}

// container finds a container by name; nil where there is none.
func container(def *ecsapi.TaskDefinition, name string) *ecsapi.ContainerDefinition {
	for i := range def.ContainerDefinitions {
		if wire.Value(def.ContainerDefinitions[i].Name) == name {
			return &def.ContainerDefinitions[i]
		}
	}
	return nil
}
