package runtime

import (
	"context"
	"fmt"
	"path"
	"slices"
)

// A VolumesFrom takes over what another container has mounted.
type VolumesFrom struct {
	Container ContainerID
	ReadOnly  bool
}

// addMounts adds to a container's mounts what is not in its definition: the mounts of the
// containers that it takes volumes from, and a volume for each path of which its image says
// that it holds data (VOLUME), as Docker has it. Its own mounts win, then those taken over.
func (r *Runtime) addMounts(ctx context.Context, spec *Spec, info *imageInfo) error {
	spec.Mounts = slices.Clone(spec.Mounts)
	taken := map[string]bool{}
	for _, m := range spec.Mounts {
		taken[path.Clean(m.Destination)] = true
	}
	for _, t := range spec.Tmpfs {
		taken[path.Clean(t.ContainerPath)] = true
	}
	add := func(m Mount) {
		if at := path.Clean(m.Destination); !taken[at] {
			taken[at] = true
			spec.Mounts = append(spec.Mounts, m)
		}
	}
	for _, from := range spec.VolumesFrom {
		source, err := r.record(ctx, from.Container)
		if err != nil {
			return fmt.Errorf("take volumes from container %s: %w", from.Container, err)
		}
		for _, m := range source.Mounts {
			m.ReadOnly = m.ReadOnly || from.ReadOnly
			add(m)
		}
	}
	for i, declared := range info.declaredVolumes() {
		at := path.Clean("/" + declared)
		if taken[at] || at == "/" {
			continue
		}
		// By the container's name, so that one that is made again after a kill finds its own.
		v := Volume{Name: VolumeName(fmt.Sprintf("image-%s-%d", spec.ID, i)), Driver: "local", Task: spec.Task}
		if err := r.createVolume(ctx, v); err != nil {
			return fmt.Errorf("make a volume for %s, which the image declares: %w", declared, err)
		}
		add(Mount{Volume: v.Name, Destination: at})
	}
	return nil
}
