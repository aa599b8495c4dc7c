package logs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// segmentSize is when a new segment begins: retention deletes whole segments, so
// that a stream keeps at most so many bytes longer than it should.
const segmentSize = 8 << 20

// A segment is one file of blocks and the index of what is in it.
type segment struct {
	number int64
	path   string
	size   int64 // of the intact blocks; what lies behind was never acknowledged
	blocks []block
}

func segmentPath(dir string, number int64) string {
	return filepath.Join(dir, fmt.Sprintf("%012d.log", number))
}

// openSegments indexes the segments of a stream's folder, oldest first. The bodies
// of the newest are checked too, and what a crash left half-written is cut off.
func openSegments(dir string) ([]*segment, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var segments []*segment
	for i, path := range names {
		number, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(path), ".log"), 10, 64)
		if err != nil {
			continue // not ours
		}
		seg := &segment{number: number, path: path}
		check := headersOnly
		if i == len(names)-1 {
			check = wholeBlocks
		}
		if err := seg.index(check); err != nil {
			return nil, fmt.Errorf("index %s: %w", path, err)
		}
		segments = append(segments, seg)
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
