package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// InUse is what the agent needs and a collection must leave alone.
type InUse struct {
	// Needs says whether a container is of a task that the agent still knows, ended or not.
	// It is asked about each as it is found: one that is being made looks as if it were lost.
	Needs func(Container) bool
	// Images of tasks that are about to make containers, as the task
	// definitions name them.
	Images []string
}

// Collected says what a collection removed.
type Collected struct {
	Containers []ContainerID
	Images     []string
}

// Collect removes containers that ended and images that nobody uses, the oldest
// first, by age, and by need when the disk fills up; their layers go with them.
// Call it every half hour or so, and when CheckRoom fails. It removes what it
// can and returns the first problems along with what it did.
func (r *Runtime) Collect(ctx context.Context, now time.Time, use InUse) (Collected, error) {
	var done Collected
	disk, err := r.Disk()
	if err != nil {
		return done, err
	}
	containers, images, err := r.idle(ctx, use)
	if err != nil {
		return done, fmt.Errorf("look for what is not used: %w", err)
	}
	plan := planCollection(now, disk, containers, images)
	var problems []error
	for _, id := range plan.containers {
		if err := r.Delete(ctx, id); err != nil {
			problems = append(problems, err)
			continue
		}
		done.Containers = append(done.Containers, id)
	}
	for _, ref := range plan.images {
		if err := r.removeRecord(r.in(ctx), ref); err != nil && !errors.Is(err, ErrNotFound) {
			problems = append(problems, err)
			continue
		}
		done.Images = append(done.Images, ref)
	}
	return done, errors.Join(problems...)
}

// idle lists what neither the agent nor a container needs.
func (r *Runtime) idle(ctx context.Context, use InUse) ([]idleContainer, []idleImage, error) {
	list, err := r.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	needed, made := map[string]bool{}, map[string]bool{} // by name, by digest
	for _, ref := range use.Images {
		if named, err := normalize(ref); err == nil {
			needed[named.String()] = true
		}
	}
	var containers []idleContainer
	for _, c := range list {
		made[c.Digest] = true // others may be about to be made from the same
		if named, err := normalize(c.Image); err == nil {
			needed[named.String()] = true
		}
		if use.Needs(c) || c.State != Stopped && c.State != Lost {
			continue
		}
		ended := c.CreatedAt
		if c.Exit != nil {
			ended = c.Exit.At
		}
		containers = append(containers, idleContainer{c.ID, ended})
	}
	records, err := r.client.ImageService().List(r.in(ctx))
	if err != nil {
		return nil, nil, err
	}
	var images []idleImage
	for _, record := range records {
		if needed[record.Name] || made[record.Target.Digest.String()] {
			continue
		}
		used := record.UpdatedAt
		if last, ok := r.lastUsed.Load(record.Name); ok && last.(time.Time).After(used) {
			used = last.(time.Time)
		}
		loaded := record.Labels[labelLoaded] != "" && record.Labels[labelArchive] == "" && record.Labels[labelKept] == ""
		images = append(images, idleImage{record.Name, used, loaded})
	}
	return containers, images, nil
}

// Disk measures the file system under the data directory.
func (r *Runtime) Disk() (Disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(r.config.Dir, &s); err != nil {
		return Disk{}, fmt.Errorf("measure the disk under %s: %w", r.config.Dir, err)
	}
	// What is kept back for others is not ours to fill.
	return Disk{Total: (s.Blocks - s.Bfree + s.Bavail) * uint64(s.Bsize), Free: s.Bavail * uint64(s.Bsize)}, nil
}

// minFree is how much must be free for new work: a small image and the logs of
// what runs, while somebody makes room.
const minFree = 256 << 20

// CheckRoom says whether the disk has room for a new task. What runs is not
// concerned.
func (r *Runtime) CheckRoom() error {
	disk, err := r.Disk()
	if err != nil {
		return err
	}
	if disk.Free < minFree {
		return fmt.Errorf("the disk under %s is full: %d MiB are free, and a new task needs %d MiB",
			r.config.Dir, disk.Free>>20, minFree>>20)
	}
	return nil
}
