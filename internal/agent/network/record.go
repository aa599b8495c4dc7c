package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// record is the file that makes an attachment survive a killed gantry. Writing it is the last step of Attach and deleting
// it the first of Detach: what has none is a stray.
type record struct {
	Version int `json:"version"`
	Attachment
}

const (
	recordVersion = 1
	recordSuffix  = ".json"
)

func (c *Config) recordDir() string { return filepath.Join(c.RunDir, "attachments") }

func (c *Config) recordFile(id SandboxID) string {
	return filepath.Join(c.recordDir(), string(id)+recordSuffix)
}

func (c *Config) writeRecord(a Attachment) error {
	data, err := json.Marshal(record{recordVersion, a})
	if err != nil {
		return err
	}
	return writeFile(c.recordFile(a.ID), data)
}

func (c *Config) removeRecord(id SandboxID) error {
	if err := os.Remove(c.recordFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readRecords reads every record, none if there never were any.
func (c *Config) readRecords() (map[SandboxID]Attachment, error) {
	records := map[SandboxID]Attachment{}
	ids, err := listFiles(c.recordDir(), recordSuffix)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		data, err := os.ReadFile(c.recordFile(id))
		if err != nil {
			return nil, err
		}
		var r record
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, fmt.Errorf("read %s: %w", c.recordFile(id), err)
		}
		if r.Version > recordVersion {
			return nil, fmt.Errorf("%s was written by a newer gantry", c.recordFile(id))
		}
		records[id] = r.Attachment
	}
	return records, nil
}

// removeRecords deletes the records of all that keep does not want.
func (c *Config) removeRecords(keep func(SandboxID) bool) error {
	ids, err := listFiles(c.recordDir(), recordSuffix)
	errs := []error{err}
	for _, id := range ids {
		if !keep(id) {
			errs = append(errs, c.removeRecord(id))
		}
	}
	return errors.Join(errs...)
}

// listFiles names the files in dir that end in suffix, without it. A dir that is not there has none.
func listFiles(dir, suffix string) ([]SandboxID, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var ids []SandboxID
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok {
			ids = append(ids, SandboxID(name))
		}
	}
	return ids, err
}

// writeFile replaces path at once: a reader, also after a kill, sees the old contents or the new.
// It does not wait for the disk, since what is recorded here ends with the machine.
func writeFile(path string, data []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
