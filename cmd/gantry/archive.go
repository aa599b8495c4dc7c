package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// openArchive opens an archive of images to be read twice. Standard input, and what was
// compressed, is kept in a temporary file, which is gone when it is closed.
func openArchive(ctx context.Context, name string, in io.Reader) (*os.File, error) {
	if name == "-" {
		return spooled(ctx, in)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if err := plainFile(f); err != nil {
		f.Close()
		return nil, err
	}
	if !compressed(f) {
		return f, nil
	}
	defer f.Close()
	return spooled(ctx, f)
}

// plainFile refuses what is no file that can be read to its end twice.
func plainFile(f *os.File) error {
	about, err := f.Stat()
	switch {
	case err != nil:
		return err
	case about.IsDir():
		return fmt.Errorf("%s is a folder: make an archive of it, as by tar -C %s -c . | gantry image load -", f.Name(), f.Name())
	case !about.Mode().IsRegular():
		return fmt.Errorf("%s is no file: give it as standard input, by gantry image load -", f.Name())
	}
	return nil
}

// The first bytes of what is compressed.
var (
	gzipMagic = []byte{0x1f, 0x8b}
	others    = map[string][]byte{"zstd": {0x28, 0xb5, 0x2f, 0xfd}, "xz": {0xfd, '7', 'z', 'X', 'Z'}, "bzip2": []byte("BZh")}
)

// mostMagic is how many bytes tell how something is compressed.
const mostMagic = 5

// compressed says whether a file begins like one that is. A file that cannot be read fails later.
func compressed(f *os.File) bool {
	start := make([]byte, mostMagic)
	n, _ := f.ReadAt(start, 0)
	if bytes.HasPrefix(start[:n], gzipMagic) {
		return true
	}
	for _, magic := range others {
		if bytes.HasPrefix(start[:n], magic) {
			return true
		}
	}
	return false
}

// unpacked is what a reader holds once gzip is undone.
func unpacked(r io.Reader) (io.Reader, error) {
	in := bufio.NewReader(r)
	start, err := in.Peek(mostMagic)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if bytes.HasPrefix(start, gzipMagic) {
		return gzip.NewReader(in)
	}
	for tool, magic := range others {
		if bytes.HasPrefix(start, magic) {
			return nil, fmt.Errorf("the archive is compressed by %s: undo that first, as by %s -dc FILE | gantry image load -", tool, tool)
		}
	}
	return in, nil
}

// spooled copies a reader into a temporary file that has no name any more.
func spooled(ctx context.Context, r io.Reader) (f *os.File, err error) {
	in, err := unpacked(stoppable{ctx, r})
	if err != nil {
		return nil, err
	}
	if f, err = os.CreateTemp("", "gantry-image-"); err != nil {
		return nil, err
	}
	if err = os.Remove(f.Name()); err == nil {
		_, err = io.Copy(f, in)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	return f, nil
}

// A stoppable is a reader that ends with a context, also while it waits for what never comes.
type stoppable struct {
	ctx context.Context
	io.Reader
}

func (s stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	var n int
	var err error
	read := make(chan struct{})
	go func() {
		defer close(read)
		n, err = s.Reader.Read(p)
	}()
	select {
	case <-read:
		return n, err
	case <-s.ctx.Done():
		return 0, s.ctx.Err() // a terminal cannot be told to end a read: it is left behind
	}
}
