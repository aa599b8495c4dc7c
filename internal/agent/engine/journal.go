package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// A Journal is the agent's memory on disk. A write is on disk before it returns; writes that arrive while another is
// being made share one, so that many tasks cost few syncs.
//
// A write that fails (a full disk) fails alone: what it would have recorded must not be done, and may be tried again.
type Journal struct {
	db    *bbolt.DB
	queue chan *entry
	done  chan struct{}
}

type entry struct {
	bucket, key string
	value       []byte // nil deletes
	written     chan error
}

// Buckets of the journal.
const (
	bucketAgent    = "agent"    // single values of the agent
	bucketPayloads = "payloads" // task ARN → acsapi.Task, written once
	bucketTasks    = "tasks"    // task ARN → Task
	bucketFormat   = "format"
)

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
	j := &Journal{db: db, queue: make(chan *entry, writesAtOnce), done: make(chan struct{})}
	go j.commit()
	return j, nil
}

// Close waits for the writes under way. No Put may be called any more.
func (j *Journal) Close() error {
	close(j.queue)
	<-j.done
	return j.db.Close()
}

// commit writes what is queued, as much as there is at a time.
func (j *Journal) commit() {
	defer close(j.done)
	for first := range j.queue {
		group := []*entry{first}
		for len(group) < writesAtOnce {
			select {
			case e, ok := <-j.queue:
				if ok {
					group = append(group, e)
					continue
				}
			default:
			}
			break
		}
		err := j.write(group)
		for _, e := range group {
			e.written <- err
		}
	}
}

func (j *Journal) write(group []*entry) error {
	return j.db.Update(func(tx *bbolt.Tx) error {
		for _, e := range group {
			b := tx.Bucket([]byte(e.bucket))
			if e.value == nil {
				if err := b.Delete([]byte(e.key)); err != nil {
					return err
				}
				continue
			}
			if err := b.Put([]byte(e.key), e.value); err != nil {
				return err
			}
		}
		return nil
	})
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

func record(bucket, key string, value any) (*entry, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", bucket, key, err)
	}
	return &entry{bucket: bucket, key: key, value: text}, nil
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
	return j.put(&entry{bucket: bucketAgent, key: key, value: []byte(value)})
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
	j.begin(&entry{bucket: bucketAgent, key: key, value: []byte(value)})
}
