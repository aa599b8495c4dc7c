package logdriver

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Until says how long Print goes on.
type Until int

const (
	UntilNow Until = iota // what has been delivered so far
	UntilEnd              // what comes too, until the container has ended
)

// Print copies a container's output, as it was printed, from the json-file log that
// is kept on this machine: standard output and error in the order in which they were
// delivered. Other drivers keep nothing here.
func (d *Drivers) Print(ctx context.Context, to io.Writer, containerID string, until Until) error {
	if err := d.await(ctx); err != nil {
		return err
	}
	r := d.find(containerID)
	if r == nil {
		return fmt.Errorf("nothing is kept of what container %s printed", containerID)
	}
	out, _, err := loadOutput(d.dir(containerID))
	if err != nil {
		return err
	}
	if out.Driver != "" && out.Driver != driverJSONFile {
		return fmt.Errorf("nothing is kept on this machine of what container %s prints: its log driver is %s", out.ContainerName, out.Driver)
	}
	p := &jsonFilePrinter{path: jsonFilePath(d.dir(containerID))}
	err = follow(ctx, r.pump, p, to, until)
	return errors.Join(err, p.close())
}

func follow(ctx context.Context, pump *pump, p *jsonFilePrinter, to io.Writer, until Until) error {
	var ended <-chan struct{}
	if until == UntilEnd {
		done, leave := pump.drained()
		defer leave()
		ended = done
	}
	for {
		news := pump.news()
		if err := p.print(to); err != nil || until == UntilNow {
			return err
		}
		select {
		case <-news:
		case <-ended:
			return p.print(to)
		case <-pump.ended:
			return errors.New("gantry is stopping")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A jsonFilePrinter copies what is in the driver's files, the oldest first.
type jsonFilePrinter struct {
	path   string
	file   *os.File // the one being read, behind what was copied; nil before the first
	offset int64
}

// print copies what is there and was not copied before.
func (p *jsonFilePrinter) print(to io.Writer) error {
	if p.file == nil {
		if err := p.printOlder(to); err != nil {
			return err
		}
	}
	for {
		if p.file != nil {
			n, err := printEntries(io.NewSectionReader(p.file, p.offset, 1<<62), to)
			p.offset += n
			if err != nil {
				return err
			}
		}
		newer, err := p.next()
		if err != nil || !newer {
			return err
		}
	}
}

// next goes on to the file that now has the name, if that is another one than is being read.
func (p *jsonFilePrinter) next() (bool, error) {
	f, err := os.Open(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	info, err := f.Stat()
	if err != nil {
		return false, errors.Join(err, f.Close())
	}
	if p.file != nil {
		was, err := p.file.Stat()
		if err != nil || os.SameFile(was, info) {
			if err == nil && info.Size() < p.offset {
				p.offset = 0 // it was emptied: max-file 1
			}
			return false, errors.Join(err, f.Close())
		}
		if err := p.file.Close(); err != nil {
			return false, errors.Join(err, f.Close())
		}
	}
	p.file, p.offset = f, 0
	return true, nil
}

// printOlder copies the rotated files.
func (p *jsonFilePrinter) printOlder(to io.Writer) error {
	for i := olderFiles(p.path); i > 0; i-- {
		text, closeAll, err := openOlder(p.path, i)
		if err != nil {
			continue // it was rotated away meanwhile
		}
		_, err = printEntries(text, to)
		if err := errors.Join(err, closeAll()); err != nil {
			return err
		}
	}
	return nil
}

// olderFiles counts the rotated files.
func olderFiles(path string) int {
	for n := 0; ; n++ {
		_, plain := os.Stat(fmt.Sprint(path, ".", n+1))
		_, packed := os.Stat(fmt.Sprint(path, ".", n+1, ".gz"))
		if plain != nil && packed != nil {
			return n
		}
	}
}

// openOlder opens a rotated file, expanded if need be.
func openOlder(path string, number int) (io.Reader, func() error, error) {
	f, err := os.Open(fmt.Sprint(path, ".", number))
	if err == nil {
		return f, f.Close, nil
	}
	if f, err = os.Open(fmt.Sprint(path, ".", number, ".gz")); err != nil {
		return nil, nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return z, f.Close, nil
}

// printEntries copies the whole lines of a json-file log and tells how many of its bytes they were.
func printEntries(from io.Reader, to io.Writer) (read int64, err error) {
	lines := bufio.NewReaderSize(from, chunkSize)
	out := bufio.NewWriter(to)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return read, out.Flush() // a line without its end is being written
		}
		if err != nil {
			return read, errors.Join(err, out.Flush())
		}
		var e jsonFileEntry
		if err := json.Unmarshal(line, &e); err != nil {
			return read, errors.Join(fmt.Errorf("read a json-file log: %w", err), out.Flush())
		}
		if _, err := out.WriteString(e.Log); err != nil {
			return read, err
		}
		read += int64(len(line))
	}
}

func (p *jsonFilePrinter) close() error {
	if p.file == nil {
		return nil
	}
	return p.file.Close()
}
