package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/embed"
)

// A Manifest says what a backup holds. It is the backup's second line; the first
// names the format, and the rest is etcd's own snapshot with its checksum.
type Manifest struct {
	Origin
	// Revision is at least what the backup holds.
	Revision Revision  `json:"revision"`
	TakenOn  time.Time `json:"takenOn"`
}

const (
	backupMagic = "gantry backup 1\n"
	// mostManifest bounds the line that is read before anything is verified.
	mostManifest = 64 << 10
	// restoreJump is how far a restore moves the revision: beyond all that may have
	// been used after the backup, at a thousand a second for thirty years; and small
	// enough that nine thousand restores stay exact in JSON.
	restoreJump = 1_000_000_000_000
)

// ErrNoBackup: what is to be restored is not a backup of gantry's, or not a whole one.
var ErrNoBackup = errors.New("not a whole backup of gantry's store")

// Backup writes all rows as they are at some revision during the call. Updates go on.
func (s *Store) Backup(ctx context.Context, w io.Writer) (Manifest, error) {
	b, ok := s.backend.(*etcd)
	if !ok {
		return Manifest{}, errors.New("back up: a store in memory has nothing to back up")
	}
	origin, err := b.origin(ctx)
	if err != nil {
		return Manifest{}, fmt.Errorf("back up: %w", err)
	}
	m := Manifest{Origin: origin, Revision: s.View().revision, TakenOn: time.Now().UTC()}
	line, err := json.Marshal(m)
	if err != nil {
		return m, fmt.Errorf("back up: %w", err)
	}
	if _, err := fmt.Fprintf(w, "%s%s\n", backupMagic, line); err != nil {
		return m, fmt.Errorf("back up: %w", err)
	}
	all, err := b.client.Snapshot(ctx)
	if err != nil {
		return m, fmt.Errorf("back up: etcd: %w", err)
	}
	defer all.Close()
	if _, err := io.Copy(w, all); err != nil {
		return m, fmt.Errorf("back up: %w", err)
	}
	return m, nil
}

// Restore makes the folder dir, which must not exist or be empty, the data of an
// embedded etcd as it was backed up, and says where that comes from now: its
// revision is above the highest that was ever used. Followers of before find their
// place forgotten, and start from the state. A failed Restore leaves nothing.
func Restore(ctx context.Context, dir string, r io.Reader, log *slog.Logger) (Origin, error) {
	o, err := restore(ctx, filepath.Clean(dir), r, log)
	if err != nil {
		return o, fmt.Errorf("restore into %s: %w", dir, err)
	}
	return o, nil
}

func restore(ctx context.Context, dir string, r io.Reader, log *slog.Logger) (o Origin, err error) {
	if there, err := os.ReadDir(dir); err == nil && len(there) > 0 {
		return o, errors.New("there is data in it already; move it away first")
	}
	in := bufio.NewReaderSize(r, mostManifest)
	m, err := readManifest(in)
	if err != nil {
		return o, err
	}
	work := dir + ".restoring"
	if err := os.RemoveAll(work); err != nil { // of one that was killed
		return o, err
	}
	defer os.RemoveAll(work)
	if err := os.MkdirAll(work, 0o700); err != nil {
		return o, err
	}
	db, data := filepath.Join(work, "snapshot"), filepath.Join(work, "etcd")
	if err := spool(db, in); err != nil {
		return o, err
	}
	cfg := embed.NewConfig()
	logger := zapTo(log, nil)
	if err := guard(func() error {
		return snapshot.NewV3(logger).Restore(snapshot.RestoreConfig{
			SnapshotPath: db, Name: memberName, OutputDataDir: data,
			PeerURLs:       []string{cfg.AdvertisePeerUrls[0].String()},
			InitialCluster: cfg.InitialClusterFromName(memberName), InitialClusterToken: cfg.InitialClusterToken,
			RevisionBump: restoreJump, MarkCompacted: true,
		})
	}); err != nil {
		return o, fmt.Errorf("%w: %s", ErrNoBackup, unread(err))
	}
	if o, err = markRestored(ctx, data, m, log); err != nil {
		return o, err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return o, err
	}
	return o, os.Rename(data, dir)
}

// unread says why etcd did not take a snapshot, where it would say so in bytes or by flags that nobody has.
func unread(err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "missing hash"):
		return "its end is missing"
	case strings.Contains(text, "expected sha256"):
		return "what it holds is not what was written, as its checksum tells"
	default:
		return text
	}
}

// guard makes an error of a panic: etcd's code for reading snapshots trusts them.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return f()
}

func readManifest(in *bufio.Reader) (m Manifest, err error) {
	magic := make([]byte, len(backupMagic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != backupMagic {
		return m, ErrNoBackup
	}
	line, err := in.ReadSlice('\n')
	if err != nil {
		return m, fmt.Errorf("%w: its manifest is cut off", ErrNoBackup)
	}
	if err := json.NewDecoder(bytes.NewReader(line)).Decode(&m); err != nil {
		return m, fmt.Errorf("%w: its manifest: %w", ErrNoBackup, err)
	}
	if m.Format > format {
		return m, fmt.Errorf("its format is %d, the highest known is %d: %w", m.Format, format, ErrNewer)
	}
	return m, nil
}

func spool(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// markRestored notes in the restored data that it is, and when.
func markRestored(ctx context.Context, data string, m Manifest, log *slog.Logger) (o Origin, err error) {
	b, err := connect(ctx, EtcdConfig{Dir: data, Log: log})
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if o, err = b.origin(ctx); err != nil {
		return o, err
	}
	now, err := b.client.Get(ctx, headKey)
	if err != nil {
		return o, fmt.Errorf("etcd: %w", err)
	}
	o.Epoch++
	o.BackupAt = Revision(now.Header.Revision - restoreJump)
	o.RestoredAt = Revision(now.Header.Revision + 1)
	o.RestoredOn = time.Now().UTC()
	meta, err := json.Marshal(o)
	if err != nil {
		return o, err
	}
	r, err := b.client.Txn(ctx).
		Then(clientv3.OpPut(metaKey, string(meta)), clientv3.OpPut(headKey, "restored")).
		Commit()
	if err == nil && Revision(r.Header.Revision) != o.RestoredAt {
		err = fmt.Errorf("the first revision is %d instead of %d", r.Header.Revision, o.RestoredAt)
	}
	return o, err
}
