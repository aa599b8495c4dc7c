package logdriver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A watcher tells when files were written to, or closed by their writers, with one
// inotify instance for all of them. It tells that something happened, never what,
// and once for many times.
type watcher struct {
	file *os.File

	mu    sync.Mutex
	wakes map[int32]func() // by watch descriptor
}

func newWatcher() (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch the output of containers (is fs.inotify.max_user_instances exhausted?): %w", err)
	}
	return &watcher{file: os.NewFile(uintptr(fd), "inotify"), wakes: map[int32]func(){}}, nil
}

// add calls wake whenever the file was written to or closed. The watch ends when the file is removed.
func (w *watcher) add(path string, wake func()) (id int32, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	conn, err := w.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var wd int
	control := conn.Control(func(fd uintptr) {
		wd, err = unix.InotifyAddWatch(int(fd), path, unix.IN_MODIFY|unix.IN_CLOSE_WRITE)
	})
	if err := errors.Join(control, err); err != nil {
		return 0, fmt.Errorf("watch %s: %w", path, err)
	}
	w.wakes[int32(wd)] = wake
	return int32(wd), nil
}

// remove ends a watch.
func (w *watcher) remove(id int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.wakes, id)
	if conn, err := w.file.SyscallConn(); err == nil {
		// It fails where the file was removed before; then the watch is gone too.
		_ = conn.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(id)) })
	}
}

// run delivers wake-ups until close.
func (w *watcher) run() error {
	buffer := make([]byte, 16<<10)
	for {
		n, err := w.file.Read(buffer)
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch the output of containers: %w", err)
		}
		w.dispatch(buffer[:n])
	}
}

// dispatch reads struct inotify_event: descriptor, mask, cookie, length of the name, the name.
func (w *watcher) dispatch(events []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(events) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(events))
		mask := binary.NativeEndian.Uint32(events[4:])
		name := binary.NativeEndian.Uint32(events[12:])
		events = events[unix.SizeofInotifyEvent+name:]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			for _, wake := range w.wakes {
				wake()
			}
		case mask&unix.IN_IGNORED != 0:
			delete(w.wakes, wd)
		case w.wakes[wd] != nil:
			w.wakes[wd]()
		}
	}
}

func (w *watcher) close() error { return w.file.Close() }
