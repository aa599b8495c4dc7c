// Package record keeps what happened, in order, in files of a bounded size and age.
//
// An entry has a [Position], the revision of the store that it comes from and its number in that revision. Positions only
// rise: what is appended at or below the last one is there already and is passed over, so that whoever appends may begin
// again from an earlier revision and everything is there once.
//
//	r, err := record.Open(dir, record.Limits{Segment: 4 << 20, Total: 64 << 20, Age: 24 * time.Hour})
//	r.Append(entry)           // not yet to be read
//	err = r.Flush()           // written, and outlives this process
//	err = r.Sync()            // on disk, and outlives a power cut
//	for entry := range r.Newest() { … }
//	next, err := r.Follow(after).Next(ctx)
//
// An entry is a line with a checksum, in segment files that are named after their first position; a line that a crash
// has cut off is removed by the next Open. Whole segments go when there is too much, or when they are too old.
package record

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// A Position is where an entry stands. It is the same on whichever server it is recorded.
type Position struct {
	Revision int64
	N        int
}

// Before reports whether p comes before o.
func (p Position) Before(o Position) bool {
	return p.Revision < o.Revision || p.Revision == o.Revision && p.N < o.N
}

// An Entry is one thing that happened.
type Entry struct {
	Position
	At time.Time
	// Keys are what the entry is found by, without reading its body.
	Keys []string
	Body []byte // JSON
}

// Limits say how much is kept.
type Limits struct {
	Segment int64         // bytes, after which a new file begins
	Total   int64         // bytes of all files
	Age     time.Duration // of the newest entry of a file
}

// A Record is one folder of segments. It is safe for concurrent use by one writer and many readers.
type Record struct {
	dir    string
	limits Limits

	mu       sync.Mutex
	segments []*segment    // oldest first; the last one is written to
	buffer   []byte        // appended and not flushed
	first    Position      // of the buffer
	last     Position      // the newest, on disk or in the buffer
	newest   time.Time     // when that happened
	flushed  chan struct{} // closed and replaced with every flush
	file     *os.File      // the last segment, once written to
	unsynced bool          // it has been written to since it was synced
	// dropped is up to where segments were removed, since this record was opened.
	dropped Position
}

// A segment is one file.
type segment struct {
	path  string
	first Position
	size  int64 // of what is whole
	// newest is when its newest entry happened.
	newest time.Time
}

// Open reads what is in dir, making it if need be.
func Open(dir string, l Limits) (*Record, error) {
	r := &Record{dir: dir, limits: l, flushed: make(chan struct{})}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"+extension))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	for i, path := range files {
		s, err := openSegment(path, i == len(files)-1)
		if err != nil {
			return nil, fmt.Errorf("open record %s: %w", path, err)
		}
		if s != nil {
			r.segments = append(r.segments, s)
		}
	}
	for _, s := range slices.Backward(r.segments) {
		var found bool
		if r.last, found, err = s.lastPosition(); err != nil {
			return nil, fmt.Errorf("open record %s: %w", s.path, err)
		}
		if found {
			break
		}
	}
	return r, nil
}

// Last is the newest position that is on disk or on its way there.
func (r *Record) Last() Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Append takes an entry, unless it is there already.
func (r *Record) Append(e Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.last.Before(e.Position) {
		return
	}
	if len(r.buffer) == 0 {
		r.first = e.Position
	}
	r.buffer = appendLine(r.buffer, e)
	r.last, r.newest = e.Position, e.At
}

// Buffered is how many bytes wait for Flush.
func (r *Record) Buffered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.buffer)
}

// Flush writes everything appended, and lets it be read. If it fails nothing is lost: flush again.
func (r *Record) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.buffer) == 0 {
		return nil
	}
	s, err := r.current()
	if err != nil {
		return err
	}
	if _, err := r.file.WriteAt(r.buffer, s.size); err != nil { // over what an earlier attempt has left
		return err
	}
	r.unsynced = true
	s.size += int64(len(r.buffer))
	s.newest = r.newest
	r.buffer = r.buffer[:0]
	close(r.flushed)
	r.flushed = make(chan struct{})
	return nil
}

// Sync returns when everything flushed is on disk.
func (r *Record) Sync() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sync()
}

func (r *Record) sync() error {
	if !r.unsynced {
		return nil
	}
	if err := r.file.Sync(); err != nil {
		return err
	}
	r.unsynced = false
	return nil
}

// current is the segment to write to; r.file is it.
func (r *Record) current() (*segment, error) {
	if n := len(r.segments); n > 0 {
		s := r.segments[n-1]
		if s.size < r.limits.Segment && r.file != nil {
			return s, nil
		}
		if s.size < r.limits.Segment {
			var err error
			r.file, err = os.OpenFile(s.path, os.O_RDWR, 0o600)
			return s, err
		}
	}
	if err := r.sync(); err != nil { // only the newest segment may lack its end
		return nil, err
	}
	path := filepath.Join(r.dir, fileName(r.first))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syncDir(r.dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if r.file != nil {
		r.file.Close()
	}
	r.file = f
	s := &segment{path: path, first: r.first}
	r.segments = append(r.segments, s)
	return s, nil
}

// Trim removes the oldest segments as far as there is too much, or they are too old.
func (r *Record) Trim(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var total int64
	for _, s := range r.segments {
		total += s.size
	}
	for len(r.segments) > 0 {
		s := r.segments[0]
		old := now.Sub(s.newest) > r.limits.Age && s.size > 0
		if !old && (total <= r.limits.Total || len(r.segments) == 1) {
			return nil
		}
		if err := r.drop(); err != nil {
			return err
		}
		total -= s.size
	}
	return nil
}

// drop removes the oldest segment.
func (r *Record) drop() error {
	if err := os.Remove(r.segments[0].path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	r.segments = r.segments[1:]
	if len(r.segments) > 0 {
		r.dropped = Position{r.segments[0].first.Revision, r.segments[0].first.N - 1}
		return nil
	}
	r.dropped = r.last
	if r.file != nil {
		r.file.Close()
		r.file, r.unsynced = nil, false
	}
	return nil
}

// Forget removes everything: the positions to come are not those of before.
func (r *Record) Forget() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.segments) > 0 {
		if err := r.drop(); err != nil {
			return err
		}
	}
	r.buffer, r.last, r.dropped = nil, Position{}, Position{}
	return nil
}

// Size is how many bytes are on disk.
func (r *Record) Size() (total int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.segments {
		total += s.size
	}
	return total
}

// Close closes the file. What was not flushed is gone.
func (r *Record) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
