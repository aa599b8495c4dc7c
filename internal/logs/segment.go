package logs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// limits say when a new segment begins: retention deletes whole segments, so a
// segment is neither big nor long. And since the index of the newest segment has an
// entry per batch, however small, it has not many blocks; those of older ones are packed.
type limits struct {
	size   int64
	blocks int
	span   time.Duration
}

var standardLimits = limits{size: 8 << 20, blocks: 4096, span: 24 * time.Hour}

// A segment is one file of blocks and the index of what is in it. Segments are
// numbered from 1; one that was packed has the numbers of all that are in it.
type segment struct {
	number int64 // the first
	until  int64 // the last
	path   string
	size   int64 // of the intact blocks; what lies behind was never acknowledged
	blocks []block
}

func segmentPath(dir string, number int64) string {
	return filepath.Join(dir, fmt.Sprintf("%012d.log", number))
}

func packedPath(dir string, number, until int64) string {
	return filepath.Join(dir, fmt.Sprintf("%012d-%012d.log", number, until))
}

// parseSegment reads a segment's numbers from its file's name.
func parseSegment(path string) (seg *segment, ok bool) {
	name := strings.TrimSuffix(filepath.Base(path), ".log")
	first, last, packed := strings.Cut(name, "-")
	if !packed {
		last = first
	}
	number, err := strconv.ParseInt(first, 10, 64)
	until, errUntil := strconv.ParseInt(last, 10, 64)
	return &segment{number: number, until: until, path: path}, err == nil && errUntil == nil
}

// full reports whether the next batch, ingested then, belongs into a new segment.
func (s *segment) full(l limits, ingested int64) bool {
	return s.size >= l.size || len(s.blocks) >= l.blocks ||
		len(s.blocks) > 0 && ingested-s.blocks[0].ingested >= l.span.Milliseconds()
}

// openSegments indexes the segments of a stream's folder, oldest first. The bodies
// of the newest are checked too, and what a crash left half-written is cut off.
func openSegments(dir string) ([]*segment, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, err
	}
	var found []*segment
	for _, path := range names {
		if seg, ok := parseSegment(path); ok {
			found = append(found, seg)
		}
	}
	slices.SortFunc(found, func(a, b *segment) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(b.until, a.until))
	})
	var segments []*segment
	for _, seg := range found {
		if n := len(segments); n > 0 && seg.until <= segments[n-1].until {
			// It was packed into the one before, and a crash came before it was removed.
			if err := os.Remove(seg.path); err != nil {
				return nil, err
			}
			continue
		}
		segments = append(segments, seg)
	}
	for i, seg := range segments {
		check := headersOnly
		if i == len(segments)-1 {
			check = wholeBlocks
		}
		if err := seg.index(check); err != nil {
			return nil, fmt.Errorf("index %s: %w", seg.path, err)
		}
	}
	return segments, nil
}

// A thoroughness says how closely index looks.
type thoroughness int

const (
	headersOnly thoroughness = iota
	wholeBlocks
)

func (s *segment) index(check thoroughness) error {
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	for {
		b, sum, err := readHeader(f, s.size)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && s.size+headerSize+int64(b.stored) > info.Size() {
			err = errTorn
		}
		if err == nil && check == wholeBlocks {
			_, err = readBody(f, b, sum)
		}
		if errors.Is(err, errTorn) && check == headersOnly {
			return nil // not a crash but a damaged disk: what can be read is, the rest stays for who can mend it
		}
		if errors.Is(err, errTorn) {
			return f.Truncate(s.size)
		}
		if err != nil {
			return err
		}
		s.blocks = append(s.blocks, b)
		s.size += headerSize + int64(b.stored)
	}
}

// last is the newest timestamp in the segment.
func (s *segment) last() int64 {
	newest := int64(0)
	for _, b := range s.blocks {
		newest = max(newest, b.last)
	}
	return newest
}
