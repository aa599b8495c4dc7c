package logs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// syncDir waits until the disk has a folder's entries, or a file's content.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// replaceJSON writes a small file so that a crash leaves the old or the new one.
func replaceJSON(path string, v any) error {
	return replace(path, v, (*os.File).Sync, syncDir)
}

// placeJSON is replaceJSON without waiting for the disk: a kill leaves the old or the
// new file, a power cut may leave neither.
func placeJSON(path string, v any) error {
	return replace(path, v, func(*os.File) error { return nil }, func(string) error { return nil })
}

func replace(path string, v any, syncFile func(*os.File) error, syncDir func(string) error) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, syncFile(f), f.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
