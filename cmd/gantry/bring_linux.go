package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"gantry/internal/agent/home"
	"gantry/internal/agent/runtime"
	"gantry/internal/wire/joinapi"
)

// fetchedPattern names what is being fetched, in the data dir.
const fetchedPattern = "fetched-*.tar"

// A bringing brings in what was loaded at the server.
type bringing struct {
	client  *home.Client
	runtime *runtime.Runtime
	dir     string
	// one fetches: tasks that start at once share what the first one fetches.
	one *sync.Mutex
}

// bring makes an image that the server has under a name this machine's, if it is
// not already. What the server does not have is no error. An image that is asked for by
// its digest may be here while its tag means another; the server knows tags.
func (b bringing) bring(ctx context.Context, ref string) (err error) {
	if tag, exact := runtime.WithoutDigest(ref); exact {
		if _, err := b.runtime.Image(ctx, ref); err == nil {
			return nil
		}
		ref = tag
	}
	name, err := runtime.FullName(ref)
	if err != nil {
		return nil // whoever pulls it says what is wrong
	}
	archive, ok, err := b.client.Image(ctx, name)
	if err != nil || !ok {
		return err
	}
	if b.has(ctx, ref, archive) {
		return nil
	}
	b.one.Lock()
	defer b.one.Unlock()
	if b.has(ctx, ref, archive) {
		return nil
	}
	f, err := os.CreateTemp(b.dir, fetchedPattern)
	if err != nil {
		return fmt.Errorf("fetch image %s: %w", ref, err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if err := b.client.Archive(ctx, f, archive); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("fetch image %s: %w", ref, err)
	}
	_, err = b.runtime.LoadArchive(ctx, f, archive.Digest)
	return err
}

func (b bringing) has(ctx context.Context, ref string, archive joinapi.Archive) bool {
	have, err := b.runtime.Image(ctx, ref)
	return err == nil && have.Archive == archive.Digest
}

// forgetFetched removes what an agent that was killed has half fetched.
func forgetFetched(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, fetchedPattern))
	for _, f := range left {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}
