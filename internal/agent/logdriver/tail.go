package logdriver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// chunkSize is how much of a file is read at once.
	chunkSize = 64 << 10
	// punchSize is how much must have been delivered before it is worth a hole.
	punchSize = 1 << 20
	// pageSize is what holes are aligned to.
	pageSize = 4 << 10
)

// A tail reads one output file behind its writer. It is used by one goroutine.
type tail struct {
	file      *os.File // open for reading only: a writer of our own would look like the container's
	offset    int64    // of what is read next
	delivered int64
	punched   int64 // up to where space was given back since this tail began
	lines     splitter
	join      *joiner // nil delivers each line by itself
	noHoles   bool    // the file system cannot punch
}

func openTail(path string, src source, from int64, most int, join *joiner) (*tail, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	t := &tail{file: f, join: join, lines: splitter{source: src, most: most}}
	t.seek(from)
	return t, nil
}

// seek goes on reading at an offset where a line begins, as one that was delivered up to there.
func (t *tail) seek(offset int64) {
	t.offset, t.delivered, t.lines.end, t.lines.held = offset, offset, offset, nil
	if t.join != nil {
		t.join.open, t.join.inLine = nil, false
	}
}

// read reads one chunk and emits what it completes. It returns false where there is no more yet.
func (t *tail) read(buffer []byte, now time.Time, emit func(event)) (bool, error) {
	n, err := t.file.ReadAt(buffer, t.offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if n == 0 {
		return false, nil
	}
	at, err := t.written(now)
	if err != nil {
		return false, err
	}
	t.offset += int64(n)
	t.lines.add(buffer[:n], at, t.joined(emit))
	return true, nil
}

// joined is emit behind the joiner, if there is one.
func (t *tail) joined(emit func(event)) func(event) {
	if t.join == nil {
		return emit
	}
	return func(e event) { t.join.add(e, emit) }
}

// written is when the bytes that are in the file were written at the latest.
func (t *tail) written(now time.Time) (time.Time, error) {
	info, err := t.file.Stat()
	if err != nil {
		return now, err
	}
	if changed := info.ModTime(); changed.Before(now) {
		return changed, nil
	}
	return now, nil
}

// holds reports whether something was read that is no event yet.
func (t *tail) holds() bool {
	return len(t.lines.held) > 0 || t.join != nil && t.join.open != nil
}

// flush emits what is held, when no more will come.
func (t *tail) flush(emit func(event)) {
	t.lines.flush(t.joined(emit))
	if t.join != nil {
		t.join.flush(emit)
	}
}

// ended reports whether all of the file was read and nobody has it open for writing,
// so that nothing more will come unless the container is started again. The kernel
// grants a read lease on exactly such a file.
func (t *tail) ended() (bool, error) {
	fd := t.file.Fd()
	_, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_RDLCK)
	if errors.Is(err, unix.EAGAIN) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask for the writers of %s: %w", t.file.Name(), err)
	}
	if _, err := unix.FcntlInt(fd, unix.F_SETLEASE, unix.F_UNLCK); err != nil && !errors.Is(err, unix.EAGAIN) {
		return false, err
	}
	info, err := t.file.Stat()
	return err == nil && info.Size() <= t.offset, err
}

// punch gives the space of what was delivered back to the file system, once it is worth it.
func (t *tail) punch() error {
	end := t.delivered &^ (pageSize - 1)
	if t.noHoles || end-t.punched < punchSize {
		return nil
	}
	f, err := os.OpenFile(t.file.Name(), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, end)
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.noHoles = true
		return fmt.Errorf("%s lies on a file system that cannot punch holes: the output of containers takes space until they are removed", t.file.Name())
	}
	if err != nil {
		return fmt.Errorf("give back the space of delivered output in %s: %w", t.file.Name(), err)
	}
	t.punched = end
	return nil
}
