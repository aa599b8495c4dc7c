package runtime

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// startedMark is the name of the file, in a container's state directory, that
// says that its process was let run. A process that was only set up is killed
// when the container is taken apart to be made anew; a gantry that is killed
// meanwhile must not take that for the container's end.
const startedMark = "started"

func (r *Runtime) markStarted(id ContainerID) error {
	return os.WriteFile(filepath.Join(r.stateDir(id), startedMark), nil, 0o600)
}

func (r *Runtime) unmarkStarted(id ContainerID) error {
	err := os.Remove(filepath.Join(r.stateDir(id), startedMark))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// wasStarted is whether the container's present process was let run, or may have been.
func (r *Runtime) wasStarted(id ContainerID) bool {
	_, err := os.Stat(filepath.Join(r.stateDir(id), startedMark))
	return err == nil
}
