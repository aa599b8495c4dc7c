package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Errors that the API turns into CloudWatch Logs' exceptions.
var (
	errGroupGone    = errors.New("The specified log group does not exist.")
	errStreamGone   = errors.New("The specified log stream does not exist.")
	errGroupExists  = errors.New("The specified log group already exists")
	errStreamExists = errors.New("The specified log stream already exists")
	errProtected    = errors.New("The log group has deletion protection: turn it off with PutLogGroupDeletionProtection first.")
	errDiskFull     = errors.New("the disk that holds the logs is full: free some space, or shorten the retention of log groups")
)

const (
	// keepFree is how much of the disk the logs leave to others, in bytes.
	keepFree = 64 << 20
	// readings is how many requests read events at the same time. A reading holds a
	// block of each stream that has events there, so a few can take much memory.
	readings = 4
	// expireEvery is how often retention is looked at, in rounds of Run: once an hour.
	expireEvery = int(time.Hour / keepPacked)
)

// An Engine holds the log groups of one data directory. It is safe for concurrent use.
type Engine struct {
	dir    string
	codec  *codec
	limits limits
	log    *slog.Logger

	arrivals arrivals
	reading  chan struct{} // holds one for each reading under way

	mu     sync.RWMutex // guards groups and each group's streams map and meta; not held over writes of events
	groups map[string]*group
}

// Open reads what is in dir, making it if need be.
func Open(dir string, log *slog.Logger) (*Engine, error) {
	return openWithin(dir, log, standardLimits)
}

func openWithin(dir string, log *slog.Logger, l limits) (*Engine, error) {
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	e := &Engine{dir: dir, codec: c, limits: l, log: log, reading: make(chan struct{}, readings), groups: map[string]*group{}}
	for _, d := range []string{e.groupsDir(), e.trash()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	if err := emptyDir(e.trash()); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(e.groupsDir())
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		g, err := e.openGroup(filepath.Join(e.groupsDir(), entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("open log group: %w", err)
		}
		if g != nil {
			e.groups[g.meta.Name] = g
		}
	}
	return e, nil
}

func (e *Engine) groupsDir() string { return filepath.Join(e.dir, "groups") }
func (e *Engine) trash() string     { return filepath.Join(e.dir, "trash") }

// Close closes all files; acknowledged events are on disk already.
func (e *Engine) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.groups {
		for _, s := range g.streams {
			s.close()
		}
	}
}

// Run deletes what has outlived its group's retention, packs what will not be
// written to any more, and closes files that nobody writes to, until the context ends.
func (e *Engine) Run(ctx context.Context) error {
	var obsolete []string // by the packing before
	for tick := 0; ; tick++ {
		if tick%expireEvery == 0 {
			e.expire(time.Now())
		}
		e.removeFiles(obsolete)
		obsolete = e.packAll()
		for _, s := range e.all() {
			s.tidy()
		}
		select {
		case <-ctx.Done():
			e.removeFiles(obsolete)
			return nil
		case <-time.After(keepPacked):
		}
	}
}

// all lists all streams.
func (e *Engine) all() []*stream {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var all []*stream
	for _, g := range e.groups {
		for _, s := range g.streams {
			all = append(all, s)
		}
	}
	return all
}

func (e *Engine) expire(now time.Time) {
	type due struct {
		s      *stream
		before int64
	}
	var all []due
	e.mu.RLock()
	for _, g := range e.groups {
		if g.meta.Retention == 0 {
			continue
		}
		before := g.meta.oldest(now)
		for _, s := range g.streams {
			all = append(all, due{s, before})
		}
	}
	e.mu.RUnlock()
	for _, d := range all {
		if err := d.s.expire(d.before); err != nil {
			e.log.Error("expire log events", "stream", d.s.meta.Name, "err", err)
		}
	}
}

// put makes events durable and stamps them with the time of ingestion. It returns
// the number of the stream's next event.
func (e *Engine) put(s *stream, now time.Time, events []Event) (next uint64, err error) {
	ingested, done := e.arrivals.begin(now)
	defer done()
	for i := range events {
		events[i].Ingested = ingested
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(e.dir, &disk); err == nil && int64(disk.Bavail)*int64(disk.Bsize) < keepFree {
		return 0, errDiskFull
	}
	next, err = s.append(events)
	return next, diskError(err)
}

func diskError(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return errDiskFull
	}
	return err
}

// read prepares a reading of streams between two times, [from, to) in milliseconds.
// positions says, for single streams, behind which event to go on.
func read(streams []*stream, direction Direction, from, to int64, positions map[string]Position) *merge {
	var sources []*source
	for _, s := range streams {
		src := &source{name: s.meta.Name, blocks: s.blocks(from, to), codec: s.codec, log: s.log}
		if p, ok := positions[s.meta.Name]; ok {
			src.from = &p
		}
		sources = append(sources, src)
	}
	return newMerge(sources, direction, from, to)
}

// begin waits until a reading may begin; the caller calls end after it.
func (e *Engine) begin(ctx context.Context) (end func(), err error) {
	select {
	case e.reading <- struct{}{}:
		return func() { <-e.reading }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
