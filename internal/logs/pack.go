package logs

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A container that prints a line now and then makes a block of a hundred bytes for
// each. Once a segment is full, its blocks are packed into few big ones in a new
// file: many times smaller, quick to read, and with a short index.

const (
	// packedSize is the size of the messages of a packed block: a reader holds one block in memory for each stream.
	packedSize = 256 << 10
	// keepPacked is how long a segment that was packed stays on disk for those who
	// began to read before; a reading is one request, which takes seconds at most.
	keepPacked = 2 * time.Minute
)

// packable finds sealed segments that go into one: those from the first that has
// small blocks on, and before it those that are not much bigger, so that no byte is
// written many times. It is nil where there is nothing to do.
func (s *stream) packable() []*segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deleted || len(s.segments) < 2 {
		return nil
	}
	sealed := s.segments[:len(s.segments)-1]
	first := slices.IndexFunc(sealed, func(seg *segment) bool { return !seg.packed() })
	if first < 0 {
		return nil
	}
	size, from, to := sealed[first].size, sealed[first].first(), sealed[first].last()
	end := first + 1
	fits := func(seg *segment) bool {
		oldest, newest := min(from, seg.first()), max(to, seg.last())
		if size+seg.size > s.limits.size || newest-oldest > s.limits.span.Milliseconds() {
			return false
		}
		size, from, to = size+seg.size, oldest, newest
		return true
	}
	for end < len(sealed) && !sealed[end].packed() && fits(sealed[end]) {
		end++
	}
	for first > 0 && sealed[first-1].size < 2*size && fits(sealed[first-1]) {
		first--
	}
	return slices.Clone(sealed[first:end])
}

// packed reports whether packing the segment would gain nothing.
func (s *segment) packed() bool { return len(s.blocks) < 2 || s.blocks[0].packed }

// first is the oldest timestamp in the segment.
func (s *segment) first() int64 {
	oldest := forever
	for _, b := range s.blocks {
		oldest = min(oldest, b.first)
	}
	return oldest
}

// pack writes segments, which packable found, into one new file and reads from that
// afterwards. It tells which files are no longer needed.
func (s *stream) pack(old []*segment) (obsolete []string, err error) {
	packed := &segment{number: old[0].number, until: old[len(old)-1].until}
	packed.path = packedPath(s.dir, packed.number, packed.until)
	temp := packed.path + ".new"
	if err := s.writePacked(temp, packed, old); err != nil {
		return nil, errors.Join(err, os.Remove(temp))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.segments, old[0])
	if s.deleted || at < 0 {
		return nil, os.Remove(temp) // it was deleted, or has expired
	}
	if err := os.Rename(temp, packed.path); err != nil {
		return nil, err
	}
	if err := syncDir(s.dir); err != nil {
		return nil, err
	}
	s.segments = slices.Replace(s.segments, at, at+len(old), packed)
	for _, seg := range old {
		obsolete = append(obsolete, seg.path)
	}
	return obsolete, nil
}

func (s *stream) writePacked(path string, packed *segment, old []*segment) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := packer{codec: s.codec, file: f, seg: packed}
	for _, seg := range old {
		if err = w.addSegment(seg); err != nil {
			break
		}
	}
	if err == nil {
		err = w.flush()
	}
	if err == nil {
		err = datasync(f)
	}
	return errors.Join(err, f.Close())
}

// A packer gathers events into packed blocks.
type packer struct {
	codec  *codec
	file   *os.File
	seg    *segment
	events []Event
	size   int
}

func (w *packer) addSegment(seg *segment) error {
	f, err := os.Open(seg.path)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, b := range seg.blocks {
		if w.size > 0 && w.size+int(b.raw) > packedSize {
			if err := w.flush(); err != nil {
				return err
			}
		}
		events, err := w.codec.decode(f, b.offset)
		if err != nil {
			return err
		}
		w.events = append(w.events, events...)
		w.size += int(b.raw)
	}
	return nil
}

func (w *packer) flush() error {
	if len(w.events) == 0 {
		return nil
	}
	slices.SortFunc(w.events, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.Seq, b.Seq))
	})
	data, b := w.codec.pack(nil, w.events)
	b.offset, b.packed = w.seg.size, true
	if _, err := w.file.Write(data); err != nil {
		return err
	}
	w.seg.blocks = append(w.seg.blocks, b)
	w.seg.size += int64(len(data))
	w.events, w.size = nil, 0
	return nil
}

// packAll packs what can be packed, and tells which files are no longer needed.
func (e *Engine) packAll() (obsolete []string) {
	for _, s := range e.all() {
		for old := s.packable(); old != nil; old = s.packable() {
			gone, err := s.pack(old)
			if err != nil {
				e.log.Error("pack log events", "stream", s.meta.Name, "err", diskError(err))
			}
			if gone == nil {
				break
			}
			obsolete = append(obsolete, gone...)
		}
	}
	return obsolete
}

// removeFiles removes files that may be gone with their stream.
func (e *Engine) removeFiles(paths []string) {
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			e.log.Error("remove packed log events", "file", filepath.Base(path), "err", err)
		}
	}
}
