package logdriver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Of each container there is a folder with these files, beside what its driver
// keeps there.
const (
	outputFile = "output.json" // whose output it is and where it goes: an Output
	recordFile = "delivered"   // how far it was delivered: a record
)

// An Output says whose output goes where. It is kept beside the output, so that
// delivery goes on after a restart without being told anew.
type Output struct {
	ContainerID   string            `json:"containerId"` // ECS's runtimeId
	ContainerName string            `json:"containerName"`
	TaskID        string            `json:"taskId"` // the last part of the task's ARN
	Driver        string            `json:"driver"` // logDriver; empty is json-file
	Options       map[string]string `json:"options,omitzero"`
}

// A record tells how many bytes of each source were delivered, and where a driver
// with a file of its own was then. It is written in place by one small write, which
// a kill cannot split; a power cut may lose the newest, and then lines are doubled.
type record struct {
	delivered [sources]int64
	size      int64   // of the driver's file
	attempt   attempt // zero where no delivery was under way
}

// An attempt is a batch whose delivery was begun: gantry may be killed before it
// hears whether it was accepted.
type attempt struct {
	end  [sources]int64 // what is delivered if it was accepted
	next uint64         // the number of its destination's next event if it was accepted
}

const recordFormat = "%020d %020d %020d %020d %020d %020d\n"

func writeRecord(f *os.File, r record) error {
	_, err := f.WriteAt(fmt.Appendf(nil, recordFormat, r.delivered[stdout], r.delivered[stderr], r.size,
		r.attempt.end[stdout], r.attempt.end[stderr], r.attempt.next), 0)
	return err
}

// readRecord reads what writeRecord wrote; an empty file is a new record.
func readRecord(f *os.File) (r record, err error) {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<10))
	if err != nil || len(text) == 0 {
		return r, err
	}
	if _, err := fmt.Sscanf(string(text), recordFormat, &r.delivered[stdout], &r.delivered[stderr], &r.size,
		&r.attempt.end[stdout], &r.attempt.end[stderr], &r.attempt.next); err != nil {
		return r, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return r, nil
}

// saveOutput writes an Output so that a kill leaves the whole of it or nothing.
func saveOutput(dir string, out Output) error {
	data, err := json.Marshal(out)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, outputFile)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// loadOutput reads a container's Output back; ok is false where there is none.
func loadOutput(dir string) (out Output, ok bool, err error) {
	data, err := os.ReadFile(filepath.Join(dir, outputFile))
	if errors.Is(err, fs.ErrNotExist) {
		return out, false, nil
	}
	if err != nil {
		return out, false, err
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, false, fmt.Errorf("read %s of %s: %w", outputFile, filepath.Base(dir), err)
	}
	return out, true, nil
}
