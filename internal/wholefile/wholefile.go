// Package wholefile replaces small files at once: a reader, and whoever comes after a
// kill at any moment, sees the old text or the new one.
package wholefile

import (
	"io/fs"
	"os"
)

// Suffix ends the name of what is written first. It is a fixed one, so that a process
// that is killed again and again leaves no more than one file behind.
const Suffix = ".new"

// Write replaces a file, or makes it, and returns when the text is on disk. Two must not
// write one file at the same time.
func Write(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path+Suffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already where all went well
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
