package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const extension = ".events"

func fileName(first Position) string {
	return fmt.Sprintf("%020d-%08d%s", first.Revision, first.N, extension)
}

func parseName(path string) (p Position, ok bool) {
	revision, n, ok := strings.Cut(strings.TrimSuffix(filepath.Base(path), extension), "-")
	var err, err2 error
	p.Revision, err = strconv.ParseInt(revision, 10, 64)
	p.N, err2 = strconv.Atoi(n)
	return p, ok && err == nil && err2 == nil
}

// appendLine writes an entry as: checksum, revision, number, milliseconds since 1970, keys, tab, body. JSON has no tab
// and no line feed of its own.
func appendLine(dst []byte, e Entry) []byte {
	keys, err := json.Marshal(e.Keys)
	if err != nil {
		panic("encode keys: " + err.Error()) // text always encodes
	}
	at := len(dst)
	dst = append(dst, "00000000 "...)
	begin := len(dst)
	dst = strconv.AppendInt(dst, e.Revision, 10)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(e.N), 10)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, e.At.UnixMilli(), 10)
	dst = append(dst, ' ')
	dst = append(dst, keys...)
	dst = append(dst, '\t')
	dst = append(dst, e.Body...)
	copy(dst[at:], fmt.Sprintf("%08x", crc32.ChecksumIEEE(dst[begin:])))
	return append(dst, '\n')
}

// parseLine reads a line without its line feed. The body is a part of it.
func parseLine(line []byte) (e Entry, ok bool) {
	sum, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok {
		return e, false
	}
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil || crc32.ChecksumIEEE(rest) != uint32(want) {
		return e, false
	}
	head, body, ok := bytes.Cut(rest, []byte{'\t'})
	fields := bytes.SplitN(head, []byte{' '}, 4)
	if !ok || len(fields) != 4 {
		return e, false
	}
	var ms int64
	if e.Revision, err = strconv.ParseInt(string(fields[0]), 10, 64); err != nil {
		return e, false
	}
	if e.N, err = strconv.Atoi(string(fields[1])); err != nil {
		return e, false
	}
	if ms, err = strconv.ParseInt(string(fields[2]), 10, 64); err != nil {
		return e, false
	}
	if err = json.Unmarshal(fields[3], &e.Keys); err != nil {
		return e, false
	}
	e.At, e.Body = time.UnixMilli(ms).UTC(), body
	return e, true
}

// openSegment looks at a file; of the newest one, what lies behind its last whole line is cut off. It returns nil for a
// file that is none of ours.
func openSegment(path string, newest bool) (*segment, error) {
	first, ok := parseName(path)
	if !ok {
		return nil, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	s := &segment{path: path, first: first, size: info.Size(), newest: info.ModTime()}
	if !newest {
		return s, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	whole := 0
	for {
		n := bytes.IndexByte(text[whole:], '\n')
		if n < 0 {
			break
		}
		e, ok := parseLine(text[whole : whole+n])
		if !ok {
			break
		}
		s.newest = e.At
		whole += n + 1
	}
	s.size = int64(whole)
	if whole < len(text) {
		return s, os.Truncate(path, s.size)
	}
	return s, nil
}

// lastPosition is that of the segment's last line; found is false where it has none.
func (s *segment) lastPosition() (p Position, found bool, err error) {
	text, err := os.ReadFile(s.path)
	if err != nil {
		return p, false, err
	}
	text = bytes.TrimSuffix(text[:min(int64(len(text)), s.size)], []byte{'\n'})
	if len(text) == 0 {
		return p, false, nil
	}
	e, ok := parseLine(text[bytes.LastIndexByte(text, '\n')+1:])
	if !ok {
		return p, false, fmt.Errorf("its last line is damaged")
	}
	return e.Position, true, nil
}
