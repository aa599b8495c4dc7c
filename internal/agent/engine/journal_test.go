package engine_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gantry/internal/agent/engine"
)

func openJournal(t *testing.T, path string) *engine.Journal {
	t.Helper()
	journal, err := engine.OpenJournal(path)
	must(t, err)
	return journal
}

// TestJournalKeepsWhatWasWritten: what has returned is in a copy of the file as a killed process leaves it; of the
// writes that nobody waits for the last one comes with a Close.
func TestJournalKeepsWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	journal := openJournal(t, filepath.Join(dir, "agent.db"))
	must(t, journal.Remember(t.Context(), "instance", "one"))
	must(t, journal.Copy(filepath.Join(dir, "killed.db")))
	journal.Later("instance", "two")
	must(t, journal.Remember(t.Context(), "instance", "three")) // newer than what waits
	journal.Later("cursor", "1")
	journal.Later("cursor", "2")
	must(t, journal.Close())

	for file, want := range map[string][2]string{"killed.db": {"one", ""}, "agent.db": {"three", "2"}} {
		again := openJournal(t, filepath.Join(dir, file))
		instance, err := again.Recall("instance")
		must(t, err)
		cursor, err := again.Recall("cursor")
		must(t, err)
		if got := [2]string{instance, cursor}; got != want {
			t.Errorf("%s holds %q, want %q", file, got, want)
		}
		must(t, again.Close())
	}
	if _, err := engine.OpenJournal(dir); err == nil {
		t.Error("a folder was opened as a journal")
	}
}

// TestJournalSharesTransactions: a write that comes alone is made at once, in a transaction of its own; those of a crowd
// of tasks share transactions, of which there are so many in a second at most.
func TestJournalSharesTransactions(t *testing.T) {
	journal := openJournal(t, filepath.Join(t.TempDir(), "agent.db"))
	defer journal.Close()
	const alone = 200
	before := journal.Transactions(t)
	for i := range alone {
		must(t, journal.Remember(t.Context(), "lonely", fmt.Sprint(i)))
	}
	if made := journal.Transactions(t) - before; made != alone {
		t.Errorf("%d writes, one after the other, made %d transactions", alone, made)
	}

	const tasks, each = 10, 150
	before = journal.Transactions(t)
	start := time.Now()
	var wg sync.WaitGroup
	for i := range tasks {
		wg.Go(func() {
			for n := range each {
				if err := journal.Remember(t.Context(), fmt.Sprint("task", i), fmt.Sprint(n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	made, most := journal.Transactions(t)-before, engine.TransactionsIn(time.Since(start))
	// As long as no transaction waits, some have too few tasks to count as a crowd's.
	if few := 40; made > most+few {
		t.Errorf("%d writes of %d tasks at once made %d transactions, of %d allowed", tasks*each, tasks, made, most)
	}
}
