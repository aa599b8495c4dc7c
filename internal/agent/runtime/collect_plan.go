package runtime

import (
	"cmp"
	"slices"
	"time"
)

// How unused things are collected, with the ECS agent's defaults.
const (
	// containerAge is how long a stopped container stays that no task needs
	// (ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION).
	containerAge = 3 * time.Hour
	// imageAge is how long an image stays after it was pulled or last used
	// (ECS_IMAGE_MINIMUM_CLEANUP_AGE).
	imageAge = time.Hour
	// imagesPerRun bounds one collection (ECS_NUM_IMAGES_DELETE_PER_CYCLE).
	imagesPerRun = 5
	// pressureUsed is the share of the disk from which age and number no
	// longer matter.
	pressureUsed = 0.85
)

// A Disk is the file system under the data directory, in bytes: what there is for gantry
// and what is used, and how much of it is free.
type Disk struct {
	Total, Free uint64
}

// Used is the share in use, from 0 to 1.
func (d Disk) Used() float64 {
	if d.Total == 0 {
		return 0
	}
	return 1 - float64(d.Free)/float64(d.Total)
}

// Tight reports whether the disk fills up, so that what nobody uses has to go now.
func (d Disk) Tight() bool { return d.Used() >= pressureUsed }

// An idleContainer is a container that has ended and that the agent does not need.
type idleContainer struct {
	id    ContainerID
	ended time.Time // when it ended, or was made if that is not known
}

// An idleImage is an image that no container is made from and that the agent
// does not need.
type idleImage struct {
	ref  string
	used time.Time // when it was pulled or last used
	// loaded images cannot be had again, neither from a registry nor from a server.
	loaded bool
}

// A collection is what to remove. It is complete.
type collection struct {
	containers []ContainerID
	images     []string
}

// planCollection decides what of the idle to remove. It is pure. On a disk that
// fills up, everything idle goes, but for loaded images.
func planCollection(now time.Time, disk Disk, containers []idleContainer, images []idleImage) collection {
	pressure := disk.Tight()
	var plan collection
	for _, c := range containers {
		if pressure || now.Sub(c.ended) >= containerAge {
			plan.containers = append(plan.containers, c.id)
		}
	}
	images = slices.SortedFunc(slices.Values(images), func(a, b idleImage) int {
		return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.ref, b.ref))
	})
	for _, image := range images {
		if image.loaded || !pressure && (now.Sub(image.used) < imageAge || len(plan.images) == imagesPerRun) {
			continue
		}
		plan.images = append(plan.images, image.ref)
	}
	return plan
}
