package record

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
)

// Newest yields the entries that are on disk, the newest first. It ends with an error if a file cannot be read; one that
// is removed meanwhile has nothing to tell.
func (r *Record) Newest() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		r.mu.Lock()
		segments := make([]segment, len(r.segments))
		for i, s := range r.segments {
			segments[i] = *s
		}
		r.mu.Unlock()
		for _, s := range slices.Backward(segments) {
			text, err := os.ReadFile(s.path)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
			text = text[:min(int64(len(text)), s.size)]
			for len(text) > 0 {
				text = text[:len(text)-1] // the line feed
				begin := bytes.LastIndexByte(text, '\n') + 1
				if e, ok := parseLine(text[begin:]); ok && !yield(e, nil) {
					return
				}
				text = text[:begin]
			}
		}
	}
}

// A Follower reads entries in order as they are flushed. It is for one goroutine.
type Follower struct {
	r     *Record
	after Position
	file  *os.File      // nil until there is a segment to read
	first Position      // of the segment that file is
	ended bool          // it is read to its end, and another one follows
	read  int64         // bytes of it
	lines *bufio.Reader // of what was there when it was made
	// missed says that segments were removed before they were read.
	missed bool
}

// Follow reads what comes after a position. The caller closes it.
func (r *Record) Follow(after Position) *Follower { return &Follower{r: r, after: after} }

// Close lets go of the file.
func (f *Follower) Close() {
	if f.file != nil {
		f.file.Close()
	}
}

// Next waits for the next entry. Its error is ctx's, or that of a file that cannot be read.
func (f *Follower) Next(ctx context.Context) (Entry, error) {
	for {
		e, ok, flushed, err := f.try()
		if ok || err != nil {
			return e, err
		}
		select {
		case <-flushed:
		case <-ctx.Done():
			return Entry{}, ctx.Err()
		}
	}
}

// Missed reports whether entries were removed, for their age or number, before they were read, since it was last asked.
func (f *Follower) Missed() bool {
	missed := f.missed
	f.missed = false
	return missed
}

// Try is Next without waiting; ok is false where there is none yet.
func (f *Follower) Try() (e Entry, ok bool, err error) {
	e, ok, _, err = f.try()
	return e, ok, err
}

// try reads one entry, or says when there may be one.
func (f *Follower) try() (e Entry, ok bool, flushed <-chan struct{}, err error) {
	for {
		s, more, flushed := f.segment()
		if s == nil {
			return e, false, flushed, nil
		}
		if f.file == nil || f.first != s.first {
			f.Close()
			f.first, f.ended, f.read, f.lines = s.first, false, 0, nil
			f.file, err = os.Open(s.path)
			if errors.Is(err, os.ErrNotExist) { // it was trimmed meanwhile
				f.ended = true
				continue
			}
			if err != nil {
				f.file = nil
				return e, false, nil, err
			}
		}
		for f.read < s.size {
			line, err := f.line(s.size)
			if err != nil {
				return e, false, nil, err
			}
			if e, ok := parseLine(line); ok && f.after.Before(e.Position) {
				f.after = e.Position
				return e, true, nil, nil
			}
		}
		if !more {
			return e, false, flushed, nil
		}
		f.ended = true
	}
}

// line reads the next line of the segment, which is whole up to size.
func (f *Follower) line(size int64) ([]byte, error) {
	if f.lines != nil {
		if line, err := f.lines.ReadBytes('\n'); err == nil {
			f.read += int64(len(line))
			return line[:len(line)-1], nil
		}
	}
	f.lines = bufio.NewReaderSize(io.NewSectionReader(f.file, f.read, size-f.read), 64<<10)
	line, err := f.lines.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("read record %s at %d: %w", f.file.Name(), f.read, err)
	}
	f.read += int64(len(line))
	return line[:len(line)-1], nil
}

// segment is the one to read, as it is now, and whether another one follows it; nil where there is none yet. Flushed
// closes when there may be more.
func (f *Follower) segment() (s *segment, more bool, flushed <-chan struct{}) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	place := slices.IndexFunc(f.r.segments, func(s *segment) bool {
		return s.first == f.first && !f.ended || f.first.Before(s.first)
	})
	if f.file == nil && !f.ended { // at the beginning: the last segment that begins before what comes next
		place = min(0, len(f.r.segments)-1)
		for i, s := range f.r.segments {
			if !f.after.Before(s.first) {
				place = i
			}
		}
	}
	if f.after.Before(f.r.dropped) {
		f.missed, f.after = true, f.r.dropped
	}
	if place < 0 {
		return nil, false, f.r.flushed
	}
	return new(*f.r.segments[place]), place < len(f.r.segments)-1, f.r.flushed
}
