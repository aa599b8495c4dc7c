package logs

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// A stream is one sequence of events, as a container's output is. Its folder holds
// stream.json and the segments.
type stream struct {
	dir    string
	codec  *codec
	limits limits
	log    *slog.Logger
	meta   streamMeta

	mu       sync.Mutex // guards what follows; held over a write, not over a read of bodies
	segments []*segment
	file     *os.File // the newest segment, open for appending; nil until written to
	next     uint64   // the number of the next event
	lastIn   int64    // time of the newest ingestion
	deleted  bool
	fresh    bool // the disk may not have the stream itself yet
	idle     bool // nothing was written since tidy looked
}

// streamMeta is what stream.json says.
type streamMeta struct {
	Name    string `json:"name"`
	Created int64  `json:"created"` // milliseconds since 1970
}

const streamFile = "stream.json"

// readStreamMeta reads a stream's stream.json; ok is false for a stream without
// events whose making a crash cut short.
func readStreamMeta(dir string) (meta streamMeta, ok bool, err error) {
	err = readJSON(filepath.Join(dir, streamFile), &meta)
	if err == nil {
		return meta, true, nil
	}
	if names, globErr := filepath.Glob(filepath.Join(dir, "*.log")); globErr == nil && len(names) == 0 {
		return meta, false, nil
	}
	return meta, false, err
}

func openStream(dir string, meta streamMeta, e *Engine) (*stream, error) {
	segments, err := openSegments(dir)
	if err != nil {
		return nil, err
	}
	s := &stream{dir: dir, codec: e.codec, limits: e.limits, log: e.log, meta: meta, segments: segments, next: 1}
	for _, seg := range segments {
		for _, b := range seg.blocks {
			s.next = max(s.next, b.seq+uint64(b.count))
			s.lastIn = max(s.lastIn, b.ingested)
		}
	}
	return s, nil
}

// append makes a batch durable and returns the number of the next event. The events
// are sorted here; their Seq is set here.
func (s *stream) append(events []Event) (next uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deleted {
		return 0, errStreamGone
	}
	if len(events) == 0 {
		return s.next, nil
	}
	slices.SortStableFunc(events, func(a, b Event) int {
		switch {
		case a.Timestamp < b.Timestamp:
			return -1
		case a.Timestamp > b.Timestamp:
			return 1
		}
		return 0
	})
	for i := range events {
		events[i].Seq = s.next + uint64(i)
	}
	s.idle = false
	if s.fresh {
		if err := s.settle(); err != nil {
			return 0, fmt.Errorf("make log stream %s durable: %w", s.meta.Name, err)
		}
	}
	seg, err := s.writable(events[0].Ingested)
	if err != nil {
		return 0, err
	}
	data, b := s.codec.encode(nil, events)
	b.offset = seg.size
	if err := s.write(seg, data); err != nil {
		return 0, err
	}
	seg.blocks = append(seg.blocks, b)
	seg.size += int64(len(data))
	s.next += uint64(len(events))
	s.lastIn = max(s.lastIn, b.ingested)
	return s.next, nil
}

// settle waits until the disk has the stream itself.
func (s *stream) settle() error {
	for _, path := range []string{filepath.Join(s.dir, streamFile), s.dir, filepath.Dir(s.dir)} {
		if err := syncDir(path); err != nil {
			return err
		}
	}
	s.fresh = false
	return nil
}

// write appends and waits for the disk. A write that went wrong half-way leaves
// nothing that a reader or the next start would take for a block.
func (s *stream) write(seg *segment, data []byte) error {
	_, err := s.file.WriteAt(data, seg.size)
	if err == nil {
		err = datasync(s.file)
	}
	if err != nil {
		_ = s.file.Truncate(seg.size)
		return fmt.Errorf("append to %s: %w", seg.path, err)
	}
	return nil
}

// writable is the newest segment, or a new one where that is full or packed.
func (s *stream) writable(ingested int64) (*segment, error) {
	number := int64(1)
	if n := len(s.segments); n > 0 {
		seg := s.segments[n-1]
		if !seg.full(s.limits, ingested) && seg.path == segmentPath(s.dir, seg.number) {
			if s.file == nil {
				f, err := os.OpenFile(seg.path, os.O_RDWR, 0o600)
				if err != nil {
					return nil, err
				}
				s.file = f
			}
			return seg, nil
		}
		number = seg.until + 1
	}
	f, err := os.OpenFile(segmentPath(s.dir, number), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syncDir(s.dir); err != nil {
		return nil, err
	}
	s.closeFile()
	s.file = f
	seg := &segment{number: number, until: number, path: f.Name()}
	s.segments = append(s.segments, seg)
	return seg, nil
}

func (s *stream) closeFile() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
}

// A place is where a block lies.
type place struct {
	path string
	block
}

// blocks lists the blocks that may hold events of [from, to), in no order.
func (s *stream) blocks(from, to int64) []place {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []place
	for _, seg := range s.segments {
		for _, b := range seg.blocks {
			if b.last >= from && b.first < to {
				found = append(found, place{seg.path, b})
			}
		}
	}
	return found
}

// A streamState is what DescribeLogStreams tells.
type streamState struct {
	streamMeta
	First, Last, LastIngested int64 // 0 where there is no event
	Bytes                     int64 // on disk
	Next                      uint64
}

func (s *stream) state() streamState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := streamState{streamMeta: s.meta, LastIngested: s.lastIn, Next: s.next}
	for _, seg := range s.segments {
		st.Bytes += seg.size
		for _, b := range seg.blocks {
			if st.First == 0 || b.first < st.First {
				st.First = b.first
			}
			st.Last = max(st.Last, b.last)
		}
	}
	return st
}

// expire deletes the segments whose newest event is older than before.
func (s *stream) expire(before int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.segments) > 0 && len(s.segments[0].blocks) > 0 && s.segments[0].last() < before {
		if len(s.segments) == 1 {
			s.closeFile()
		}
		if err := os.Remove(s.segments[0].path); err != nil {
			return err
		}
		s.segments = s.segments[1:]
	}
	return nil
}

// bury ends the stream: it takes no more events.
func (s *stream) bury() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deleted = true
	s.closeFile()
}

// tidy closes the file of a stream that nothing was written to since the last time.
func (s *stream) tidy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle {
		s.closeFile()
	}
	s.idle = true
}

func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeFile()
}

// discard moves a folder out of sight in one step, so that a crash half-way leaves
// no half of it. What it returns deletes it, which may take a while.
func discard(dir, trash string) (remove func() error, err error) {
	grave, err := os.MkdirTemp(trash, "gone")
	if err != nil {
		return nil, err
	}
	return func() error { return os.RemoveAll(grave) }, os.Rename(dir, filepath.Join(grave, "x"))
}
