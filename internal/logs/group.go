package logs

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A group is a named set of streams.
type group struct {
	dir     string
	meta    groupMeta
	streams map[string]*stream
}

// groupMeta is what group.json says.
type groupMeta struct {
	Name      string            `json:"name"`
	Created   int64             `json:"created"`            // milliseconds since 1970
	Retention int32             `json:"retention,omitzero"` // days; 0 keeps events for ever
	Tags      map[string]string `json:"tags,omitzero"`
	Protected bool              `json:"protected,omitzero"` // refuses to be deleted
}

// oldest is the time, in milliseconds since 1970, before which the group's events have expired.
func (m *groupMeta) oldest(now time.Time) int64 {
	if m.Retention == 0 {
		return math.MinInt64
	}
	return now.AddDate(0, 0, -int(m.Retention)).UnixMilli()
}

// openGroup returns nil for a folder whose making a crash cut short.
func (e *Engine) openGroup(dir string) (*group, error) {
	g := &group{dir: dir, streams: map[string]*stream{}}
	if err := readJSON(filepath.Join(dir, "group.json"), &g.meta); errors.Is(err, fs.ErrNotExist) {
		return nil, os.RemoveAll(dir)
	} else if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		meta, ok, err := readStreamMeta(path)
		if err != nil {
			return nil, err
		}
		if !ok {
			if err := os.RemoveAll(path); err != nil {
				return nil, err
			}
			continue
		}
		s, err := openStream(path, meta, e)
		if err != nil {
			return nil, err
		}
		g.streams[meta.Name] = s
	}
	return g, nil
}

// folder is the name of a group's or stream's folder: names may hold slashes and
// be longer than a file's name.
func folder(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

func (e *Engine) createGroup(meta groupMeta) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.groups[meta.Name] != nil {
		return errGroupExists
	}
	g := &group{dir: filepath.Join(e.groupsDir(), folder(meta.Name)), meta: meta, streams: map[string]*stream{}}
	if err := os.MkdirAll(g.dir, 0o700); err != nil {
		return diskError(err)
	}
	if err := replaceJSON(filepath.Join(g.dir, "group.json"), meta); err != nil {
		return diskError(err)
	}
	e.groups[meta.Name] = g
	return nil
}

// groupMeta is a group's settings.
func (e *Engine) groupMeta(name string) (groupMeta, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	g := e.groups[name]
	if g == nil {
		return groupMeta{}, errGroupGone
	}
	return g.meta, nil
}

// changeGroup changes a group's settings, unless change refuses.
func (e *Engine) changeGroup(name string, change func(*groupMeta) error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.groups[name]
	if g == nil {
		return errGroupGone
	}
	meta := g.meta
	meta.Tags = maps.Clone(meta.Tags)
	if err := change(&meta); err != nil {
		return err
	}
	if err := replaceJSON(filepath.Join(g.dir, "group.json"), meta); err != nil {
		return diskError(err)
	}
	g.meta = meta
	return nil
}

func (e *Engine) deleteGroup(name string) error {
	remove, err := e.discardGroup(name)
	if err != nil {
		return err
	}
	return remove()
}

func (e *Engine) discardGroup(name string) (remove func() error, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.groups[name]
	if g == nil {
		return nil, errGroupGone
	}
	if g.meta.Protected {
		return nil, errProtected
	}
	if remove, err = discard(g.dir, e.trash()); err != nil {
		return nil, err
	}
	delete(e.groups, name)
	for _, s := range g.streams {
		s.bury()
	}
	return remove, nil
}

func (e *Engine) createStream(groupName, name string, now time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.groups[groupName]
	if g == nil {
		return errGroupGone
	}
	if g.streams[name] != nil {
		return errStreamExists
	}
	dir := filepath.Join(g.dir, folder(name))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return diskError(err)
	}
	meta := streamMeta{Name: name, Created: now.UnixMilli()}
	// A container start waits for this, and for nothing that needs the disk: the
	// stream is made durable with its first events.
	if err := placeJSON(filepath.Join(dir, streamFile), meta); err != nil {
		return diskError(err)
	}
	g.streams[name] = &stream{dir: dir, codec: e.codec, limits: e.limits, log: e.log, meta: meta, next: 1, fresh: true}
	return nil
}

func (e *Engine) deleteStream(groupName, name string) error {
	remove, err := e.discardStream(groupName, name)
	if err != nil {
		return err
	}
	return remove()
}

func (e *Engine) discardStream(groupName, name string) (remove func() error, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	g, s, err := e.find(groupName, name)
	if err != nil {
		return nil, err
	}
	if remove, err = discard(s.dir, e.trash()); err != nil {
		return nil, err
	}
	delete(g.streams, name)
	s.bury()
	return remove, nil
}

func (e *Engine) stream(groupName, name string) (*stream, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	_, s, err := e.find(groupName, name)
	return s, err
}

// find is a stream and its group; mu is held.
func (e *Engine) find(groupName, name string) (*group, *stream, error) {
	g := e.groups[groupName]
	if g == nil {
		return nil, nil, errGroupGone
	}
	s := g.streams[name]
	if s == nil {
		return nil, nil, errStreamGone
	}
	return g, s, nil
}

// streams lists a group's streams that pass, ordered by name, and tells the group's settings.
func (e *Engine) streams(groupName string, pass func(name string) bool) ([]*stream, groupMeta, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	g := e.groups[groupName]
	if g == nil {
		return nil, groupMeta{}, errGroupGone
	}
	var found []*stream
	for name, s := range g.streams {
		if pass(name) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *stream) int { return strings.Compare(a.meta.Name, b.meta.Name) })
	return found, g.meta, nil
}

// A groupState is what DescribeLogGroups tells.
type groupState struct {
	groupMeta
	Bytes int64 // on disk
}

// groupStates lists the groups that pass, ordered by name.
func (e *Engine) groupStates(pass func(name string) bool) []groupState {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var found []groupState
	for name, g := range e.groups {
		if !pass(name) {
			continue
		}
		st := groupState{groupMeta: g.meta}
		for _, s := range g.streams {
			st.Bytes += s.state().Bytes
		}
		found = append(found, st)
	}
	slices.SortFunc(found, func(a, b groupState) int { return cmp.Compare(a.Name, b.Name) })
	return found
}
