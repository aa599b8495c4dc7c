package engine

import (
	"os"

	"go.etcd.io/bbolt"
)

// Copy writes what is on disk of a journal at this moment to another file: what a process that is killed now leaves.
func (j *Journal) Copy(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return j.db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(f)
		return err
	})
}
