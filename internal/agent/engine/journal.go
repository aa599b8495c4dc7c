package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/time/rate"
)

// A Journal is the agent's memory on disk. A write is on disk before it returns; writes that arrive while another is
// being made share one, so that many tasks cost few syncs.
//
// A write that fails (a full disk) fails alone: what it would have recorded must not be done, and may be tried again.
//
// What nobody waits for is written after lateness: of several such writes of one record only the last is made, and only
// that is encoded.
type Journal struct {
	db    *bbolt.DB
	queue chan *entry
	done  chan struct{}

	waits chan struct{} // holds one while late may have something
	mu    sync.Mutex
	late  map[recordID]*entry // guarded by mu; each newer than what is queued of its record
}

// A recordID names one record.
type recordID struct{ bucket, key string }

type entry struct {
	recordID
	// value is written as it is where it is text, else as JSON, and must not change any more; nil deletes.
	value   any
	written chan error // nil where nobody waits
}

// text is what is written of an entry.
func (e *entry) text() ([]byte, error) {
	if text, ok := e.value.([]byte); ok {
		return text, nil
	}
	text, err := json.Marshal(e.value)
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", e.bucket, e.key, err)
	}
	return text, nil
}

// lateness is how long a write that nobody waits for waits for newer ones of its record.
const lateness = 100 * time.Millisecond

// Buckets of the journal.
const (
	bucketAgent    = "agent"    // single values of the agent
	bucketPayloads = "payloads" // taskKey → acsapi.Task, written once
	bucketTasks    = "tasks"    // taskKey → Task
	bucketFormat   = "format"
)

// taskKey is the key of a task's records. Those that arrive together lie together, so that one write touches few pages.
func taskKey(order int64, arn string) string { return fmt.Sprintf("%016x %s", order, arn) }

// journalFormat rises when an older gantry could not read what a newer one wrote.
const journalFormat = "1"

// writesAtOnce bounds one group commit, so that its transaction stays small.
const writesAtOnce = 512

// OpenJournal opens the file, or makes it. Only one process can have it open.
func OpenJournal(path string) (*Journal, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bbolt.ErrTimeout) {
		return nil, fmt.Errorf("open the agent's journal %s: another process has it open", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the agent's journal %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{bucketAgent, bucketPayloads, bucketTasks, bucketFormat} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		format := tx.Bucket([]byte(bucketFormat))
		if got := string(format.Get([]byte("format"))); got != "" && got != journalFormat {
			return fmt.Errorf("it has format %s and this gantry reads format %s: use the gantry that wrote it, or a newer one", got, journalFormat)
		}
		return format.Put([]byte("format"), []byte(journalFormat))
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the agent's journal %s: %w", path, err), db.Close())
	}
	j := &Journal{
		db: db, queue: make(chan *entry, writesAtOnce), done: make(chan struct{}),
		waits: make(chan struct{}, 1), late: map[recordID]*entry{},
	}
	go j.commit()
	return j, nil
}

// Close waits for the writes under way. No Put may be called any more.
func (j *Journal) Close() error {
	close(j.queue)
	<-j.done
	return j.db.Close()
}

// Writes of many tasks at a time make commitsPerSecond transactions, after commitsAtOnce without a pause: each costs a sync
// and the pages that it touches, however many share it. Tasks that start one by one never wait, those of a crowd 10 ms at
// most.
const (
	commitsPerSecond = 100
	commitsAtOnce    = 25
	crowd            = 3 // tasks in one transaction
)

// commit writes what is queued, as much as there is at a time, until the queue is closed.
func (j *Journal) commit() {
	defer close(j.done)
	pace := rate.NewLimiter(commitsPerSecond, commitsAtOnce)
	busy := false // a crowd shared the transaction before
	var due <-chan time.Time
	for open := true; open; {
		var group []*entry
		select {
		case <-j.waits:
			if due == nil {
				due = time.After(lateness)
			}
			continue
		case <-due:
			due, group = nil, j.takeLate()
		case first, ok := <-j.queue:
			if open = ok; ok {
				if busy {
					_ = pace.Wait(context.Background()) // without an end there is nothing that it could fail of
				}
				group = j.gather(first)
				busy = tasksIn(group) >= crowd
			} else {
				group = j.takeLate()
			}
		}
		err := j.write(group)
		for _, e := range group {
			if e.written != nil {
				e.written <- err
			}
		}
	}
}

// gather is the first of the queue and what is behind it.
func (j *Journal) gather(first *entry) []*entry {
	group := []*entry{first}
	for len(group) < writesAtOnce {
		select {
		case e, ok := <-j.queue:
			if !ok {
				return group
			}
			group = append(group, e)
		default:
			return group
		}
	}
	return group
}

// takeLate takes the writes that nobody waits for.
func (j *Journal) takeLate() []*entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	taken := slices.Collect(maps.Values(j.late))
	clear(j.late)
	return taken
}

// later writes a record soon. It is written after whatever of the record was queued before, and not at all if a newer
// write is queued first.
func (j *Journal) later(e *entry) {
	j.mu.Lock()
	j.late[e.recordID] = e
	j.mu.Unlock()
	select {
	case j.waits <- struct{}{}:
	default:
	}
}

func (j *Journal) write(group []*entry) error {
	if len(group) == 0 {
		return nil
	}
	return j.db.Update(func(tx *bbolt.Tx) error {
		for _, e := range group {
			b := tx.Bucket([]byte(e.bucket))
			if e.value == nil {
				if err := b.Delete([]byte(e.key)); err != nil {
					return err
				}
				continue
			}
			text, err := e.text()
			if err != nil {
				return err
			}
			if err := b.Put([]byte(e.key), text); err != nil {
				return err
			}
		}
		return nil
	})
}

// tasksIn counts the tasks that a group's records are of.
func tasksIn(group []*entry) int {
	keys := map[string]bool{}
	for _, e := range group {
		keys[e.key] = true
	}
	return len(keys)
}

// put queues writes and returns when all are on disk.
func (j *Journal) put(entries ...*entry) error {
	return j.begin(entries...)()
}

// begin queues writes, in order with all others; the function it returns waits until all are on disk, and need not be
// called.
func (j *Journal) begin(entries ...*entry) (wait func() error) {
	written := make(chan error, len(entries))
	for _, e := range entries {
		j.mu.Lock()
		delete(j.late, e.recordID)
		j.mu.Unlock()
		e.written = written
		j.queue <- e
	}
	return func() error {
		var first error
		for range entries {
			if err := <-written; err != nil && first == nil {
				first = fmt.Errorf("write the agent's journal: %w", err)
			}
		}
		return first
	}
}

// each calls do with every record of a bucket.
func (j *Journal) each(bucket string, do func(key string, value []byte) error) error {
	return j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucket)).ForEach(func(k, v []byte) error {
			if err := do(string(k), v); err != nil {
				return fmt.Errorf("read %s %s: %w", bucket, k, err)
			}
			return nil
		})
	})
}

// Remember stores one of the agent's own values, durably.
func (j *Journal) Remember(ctx context.Context, key, value string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return j.put(&entry{recordID: recordID{bucketAgent, key}, value: []byte(value)})
}

// Recall is a value that was stored, or empty.
func (j *Journal) Recall(key string) (value string, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		value = string(tx.Bucket([]byte(bucketAgent)).Get([]byte(key)))
		return nil
	})
	return value, err
}

// Note stores one of the agent's own values soon, without waiting for the disk: one that a crash may set back.
func (j *Journal) Note(key, value string) {
	j.begin(&entry{recordID: recordID{bucketAgent, key}, value: []byte(value)})
}
