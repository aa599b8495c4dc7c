package logdriver

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	// maxJSONFileEvent is where Docker cuts a long line.
	maxJSONFileEvent = 16 << 10
	// jsonFileSize and jsonFileCount bound a container's log where its definition does not. Docker has no bound
	// and fills the disk.
	jsonFileSize  = 20 << 20
	jsonFileCount = 5
)

// jsonFile delivers to a file on the instance, in the format of Docker's json-file
// driver, and keeps a few older ones beside it: NAME, NAME.1, NAME.2 …, or NAME.1.gz.
type jsonFile struct {
	path     string
	most     int64 // bytes from which the file is rotated
	count    int   // files that are kept, the newest included
	compress bool

	file    *os.File
	written int64
	text    []byte // what is put next
}

// jsonFileEntry is a line of the file.
type jsonFileEntry struct {
	Log    string    `json:"log"`
	Stream string    `json:"stream"`
	Time   time.Time `json:"time"`
}

// jsonFilePath is named as Docker names it.
func jsonFilePath(dir string) string {
	return filepath.Join(dir, filepath.Base(dir)+"-json.log")
}

// jsonFileSetting reads the options of the driver json-file.
func jsonFileSetting(dir string, out Output) (setting, error) {
	o := newOptions(driverJSONFile, out.Options)
	j := jsonFile{path: jsonFilePath(dir)}
	_, sized := o.left["max-size"]
	j.most = o.bytes("max-size", jsonFileSize)
	otherwise := jsonFileCount
	if sized {
		otherwise = 1 // as in Docker
	}
	j.count = o.number("max-file", 1, otherwise)
	if j.compress = o.truth("compress"); j.compress && (j.count < 2 || !sized) {
		o.fail("compress cannot be true when max-file is less than 2 or max-size is not set")
	}
	for _, name := range []string{"labels", "labels-regex", "env", "env-regex", "tag"} {
		if o.text(name) != "" {
			o.fail("option %s of the json-file log driver is not offered yet", name)
		}
	}
	p := plan{most: maxJSONFileEvent, interval: flushInterval, backlog: o.backlog()}
	open := func(rec record) (sink, error) {
		opened := j
		return &opened, opened.open(rec.size)
	}
	return setting{plan: p, open: open}, o.done()
}

// open goes on behind what was recorded: what was written behind it will be delivered again.
func (j *jsonFile) open(recorded int64) error {
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	// A file that is shorter than recorded was begun by a rotation that was not recorded any more.
	j.file, j.written = f, min(recorded, info.Size())
	if info.Size() < recorded {
		j.written = 0
	}
	return f.Truncate(j.written)
}

// fit encodes as many events as the file has room for. Where it has none it begins a new one, whose size has to be
// recorded before anything is written to it: by that a kill between the two is seen.
func (j *jsonFile) fit(events []event) (int, error) {
	j.text = j.text[:0]
	for i := range events {
		line, err := encodeEntry(&events[i])
		if err != nil {
			return 0, err
		}
		if used := j.written + int64(len(j.text)); used > 0 && used+int64(len(line)) > j.most {
			if i > 0 {
				return i, nil
			}
			if err := j.rotate(); err != nil {
				return 0, fmt.Errorf("rotate %s: %w", j.path, err)
			}
		}
		j.text = append(j.text, line...)
	}
	return len(events), nil
}

func encodeEntry(e *event) ([]byte, error) {
	log := string(e.text)
	if e.whole {
		log += "\n"
	}
	line, err := json.Marshal(jsonFileEntry{log, e.source.String(), e.time.UTC()})
	return append(line, '\n'), err
}

// put writes the events that fit was asked about.
func (j *jsonFile) put(context.Context, []event) error {
	if _, err := j.file.WriteAt(j.text, j.written); err != nil {
		return errors.Join(err, j.file.Truncate(j.written))
	}
	j.written += int64(len(j.text))
	return nil
}

// rotate begins a new file and drops the oldest.
func (j *jsonFile) rotate() error {
	if j.count == 1 {
		j.written = 0
		return j.file.Truncate(0)
	}
	suffix := ""
	if j.compress {
		suffix = ".gz"
	}
	for i := j.count - 1; i > 1; i-- {
		err := os.Rename(fmt.Sprint(j.path, ".", i-1, suffix), fmt.Sprint(j.path, ".", i, suffix))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if j.compress {
		if err := compress(j.file, j.path+".1.gz"); err != nil {
			return err
		}
		if err := os.Remove(j.path); err != nil {
			return err
		}
	} else if err := os.Rename(j.path, j.path+".1"); err != nil {
		return err
	}
	old := j.file
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	j.file, j.written = f, 0
	return old.Close()
}

// compress writes all of a file, gzipped, to path.
func compress(from *os.File, path string) error {
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(to)
	_, err = io.Copy(z, io.NewSectionReader(from, 0, 1<<62))
	return errors.Join(err, z.Close(), to.Close())
}

func (j *jsonFile) size() int64 { return j.written }

func (j *jsonFile) close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}
