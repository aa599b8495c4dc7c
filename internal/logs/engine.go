package logs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// A group is a named set of streams.
type group struct {
	dir     string
	meta    groupMeta
	streams map[string]*stream
}

// groupMeta is what group.json says.
type groupMeta struct {
	Name      string            `json:"name"`
	Created   int64             `json:"created"`            // milliseconds since 1970
	Retention int32             `json:"retention,omitzero"` // days; 0 keeps events for ever
	Tags      map[string]string `json:"tags,omitzero"`
	Protected bool              `json:"protected,omitzero"` // refuses to be deleted
}

// oldest is the time, in milliseconds since 1970, before which the group's events have expired.
func (m *groupMeta) oldest(now time.Time) int64 {
	if m.Retention == 0 {
		return math.MinInt64
	}
	return now.AddDate(0, 0, -int(m.Retention)).UnixMilli()
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

// openGroup returns nil for a folder whose making a crash cut short.
func (e *Engine) openGroup(dir string) (*group, error) {
	g := &group{dir: dir, streams: map[string]*stream{}}
	if err := readJSON(filepath.Join(dir, "group.json"), &g.meta); errors.Is(err, fs.ErrNotExist) {
		return nil, os.RemoveAll(dir)
	} else if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		meta, ok, err := readStreamMeta(path)
		if err != nil {
			return nil, err
		}
		if !ok {
			if err := os.RemoveAll(path); err != nil {
				return nil, err
			}
			continue
		}
		s, err := openStream(path, meta, e.codec, e.limits)
		if err != nil {
			return nil, err
		}
		g.streams[meta.Name] = s
	}
	return g, nil
}

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

// folder is the name of a group's or stream's folder: names may hold slashes and
// be longer than a file's name.
func folder(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

func (e *Engine) createGroup(meta groupMeta) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.groups[meta.Name] != nil {
		return errGroupExists
	}
	g := &group{dir: filepath.Join(e.groupsDir(), folder(meta.Name)), meta: meta, streams: map[string]*stream{}}
	if err := os.MkdirAll(g.dir, 0o700); err != nil {
		return diskError(err)
	}
	if err := replaceJSON(filepath.Join(g.dir, "group.json"), meta); err != nil {
		return diskError(err)
	}
	e.groups[meta.Name] = g
	return nil
}

// groupMeta is a group's settings.
func (e *Engine) groupMeta(name string) (groupMeta, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	g := e.groups[name]
	if g == nil {
		return groupMeta{}, errGroupGone
	}
	return g.meta, nil
}

// changeGroup changes a group's settings, unless change refuses.
func (e *Engine) changeGroup(name string, change func(*groupMeta) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.groups[name]
	if g == nil {
		return errGroupGone
	}
	meta := g.meta
	meta.Tags = maps.Clone(meta.Tags)
	if err := change(&meta); err != nil {
		return err
	}
	if err := replaceJSON(filepath.Join(g.dir, "group.json"), meta); err != nil {
		return diskError(err)
	}
	g.meta = meta
	return nil
}

func (e *Engine) deleteGroup(name string) error {
	remove, err := e.discardGroup(name)
	if err != nil {
		return err
	}
	return remove()
}

func (e *Engine) discardGroup(name string) (remove func() error, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.groups[name]
	if g == nil {
		return nil, errGroupGone
	}
	if g.meta.Protected {
		return nil, errProtected
	}
	if remove, err = discard(g.dir, e.trash()); err != nil {
		return nil, err
	}
	delete(e.groups, name)
	for _, s := range g.streams {
		s.bury()
	}
	return remove, nil
}

func (e *Engine) createStream(groupName, name string, now time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.groups[groupName]
	if g == nil {
		return errGroupGone
	}
	if g.streams[name] != nil {
		return errStreamExists
	}
	dir := filepath.Join(g.dir, folder(name))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return diskError(err)
	}
	meta := streamMeta{Name: name, Created: now.UnixMilli()}
	// A container start waits for this, and for nothing that needs the disk: the
	// stream is made durable with its first events.
	if err := placeJSON(filepath.Join(dir, streamFile), meta); err != nil {
		return diskError(err)
	}
	g.streams[name] = &stream{dir: dir, codec: e.codec, limits: e.limits, meta: meta, next: 1, fresh: true}
	return nil
}

func (e *Engine) deleteStream(groupName, name string) error {
	remove, err := e.discardStream(groupName, name)
	if err != nil {
		return err
	}
	return remove()
}

func (e *Engine) discardStream(groupName, name string) (remove func() error, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.groups[groupName]
	if g == nil {
		return nil, errGroupGone
	}
	s := g.streams[name]
	if s == nil {
		return nil, errStreamGone
	}
	if remove, err = discard(s.dir, e.trash()); err != nil {
		return nil, err
	}
	delete(g.streams, name)
	s.bury()
	return remove, nil
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

func (e *Engine) stream(groupName, name string) (*stream, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	g := e.groups[groupName]
	if g == nil {
		return nil, errGroupGone
	}
	s := g.streams[name]
	if s == nil {
		return nil, errStreamGone
	}
	return s, nil
}

// streams lists a group's streams that pass, ordered by name, and tells the group's settings.
func (e *Engine) streams(groupName string, pass func(name string) bool) ([]*stream, groupMeta, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	g := e.groups[groupName]
	if g == nil {
		return nil, groupMeta{}, errGroupGone
	}
	var found []*stream
	for name, s := range g.streams {
		if pass(name) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *stream) int { return strings.Compare(a.meta.Name, b.meta.Name) })
	return found, g.meta, nil
}

// A groupState is what DescribeLogGroups tells.
type groupState struct {
	groupMeta
	Bytes int64 // on disk
}

// groupStates lists the groups that pass, ordered by name.
func (e *Engine) groupStates(pass func(name string) bool) []groupState {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var found []groupState
	for name, g := range e.groups {
		if !pass(name) {
			continue
		}
		st := groupState{groupMeta: g.meta}
		for _, s := range g.streams {
			st.Bytes += s.state().Bytes
		}
		found = append(found, st)
	}
	slices.SortFunc(found, func(a, b groupState) int { return cmp.Compare(a.Name, b.Name) })
	return found
}

// read prepares a reading of streams between two times, [from, to) in milliseconds.
// positions says, for single streams, behind which event to go on.
func read(streams []*stream, direction Direction, from, to int64, positions map[string]Position) *merge {
	var sources []*source
	for _, s := range streams {
		src := &source{name: s.meta.Name, blocks: s.blocks(from, to), codec: s.codec}
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
