package engine

import (
	"gantry/internal/wire/acsapi"
)

// volumesOf is the volumes that have to exist before the task's containers are made. A host volume without a path is
// one of them: it lives as long as its task.
func volumesOf(def *Definition) []Volume {
	var out []Volume
	for i := range def.Task.Volumes {
		if v := asVolume(&def.Task.Volumes[i]); v != nil {
			out = append(out, *v)
		}
	}
	return out
}

// asVolume is the volume that a task's volume stands for; nil for a folder of the machine.
func asVolume(v *acsapi.Volume) *Volume {
	if v.Type != "docker" {
		if v.Host != nil && v.Host.SourcePath != "" {
			return nil
		}
		return &Volume{Name: v.Name}
	}
	if v.Docker == nil {
		return &Volume{Name: v.Name}
	}
	shared := v.Docker.Scope == "shared"
	return &Volume{
		Name: v.Name, Shared: shared, MustExist: shared && !v.Docker.Autoprovision,
		DriverOpts: v.Docker.DriverOpts, Labels: v.Docker.Labels,
	}
}

// Mounts is a container's mount points, then those it takes over from others; its own win where the paths are the same.
func Mounts(def *Definition, c *ContainerDefinition) []Mount {
	taken := map[string]bool{}
	var out []Mount
	for _, m := range allMounts(def, c, map[string]bool{}) {
		if !taken[m.Path] {
			taken[m.Path] = true
			out = append(out, m)
		}
	}
	return out
}

// allMounts follows volumesFrom to its end, each container once.
func allMounts(def *Definition, c *ContainerDefinition, seen map[string]bool) []Mount {
	seen[c.Name] = true
	var out []Mount
	for _, m := range c.MountPoints {
		v := def.volume(m.SourceVolume)
		if v == nil {
			continue // refused when the payload was read
		}
		mount := Mount{Path: m.ContainerPath, ReadOnly: m.ReadOnly, Volume: asVolume(v)}
		if mount.Volume == nil {
			mount.Source = v.Host.SourcePath
		}
		out = append(out, mount)
	}
	for _, from := range c.VolumesFrom {
		source := def.Container(from.SourceContainer)
		if source == nil || seen[source.Name] {
			continue
		}
		for _, m := range allMounts(def, source, seen) {
			m.ReadOnly = m.ReadOnly || from.ReadOnly
			out = append(out, m)
		}
	}
	return out
}
