package engine

import (
	"os"
	"testing"
	"time"

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

// Later writes one of the agent's own values as the records of running tasks are written: soon, the last of several.
func (j *Journal) Later(key, value string) {
	j.later(&entry{recordID: recordID{bucketAgent, key}, value: []byte(value)})
}

// Transactions is how many a journal has made.
func (j *Journal) Transactions(t testing.TB) (n int) {
	t.Helper()
	err := j.db.View(func(tx *bbolt.Tx) error {
		n = tx.ID()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TransactionsIn is how many a crowd of tasks may have made after so long.
func TransactionsIn(d time.Duration) int { return commitsAtOnce + int(d.Seconds()*commitsPerSecond) }
