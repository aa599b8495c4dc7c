package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/proxy/grpcproxy/adapter"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// member is the etcd inside this process.
type member struct {
	etcd  *embed.Etcd
	dir   string
	alone bool
	// fatal gets what etcd would have ended the process for.
	fatal chan error
	// stopping silences its log.
	stopping atomic.Bool
	// watches is held for reading by each that is served.
	watches sync.RWMutex
	quota   int64
}

const (
	// A lone etcd elects itself after one to two election timeouts: with these it is
	// ready in less than a tenth of a second, and idles at a hundred wake-ups a second.
	aloneTick     = 10 * time.Millisecond
	aloneElection = 50 * time.Millisecond

	// raftEntries is after how many transactions etcd writes a raft snapshot, which holds
	// up all others for some syncs, and raftCatchUp how many it keeps in memory. It keeps
	// all since the latest snapshot and some more: see firstSnapshot.
	raftEntries = 2_000
	raftCatchUp = raftEntries + 100

	// roomNeeded is how much the disk must have free for a write: etcd ends itself
	// when it cannot make its next 64 MiB log segment or grow its database.
	roomNeeded = 192 << 20

	// memberName is what the embedded etcd calls itself.
	memberName = "gantry"

	// stopPatience is how long etcd may take to stop.
	stopPatience = 10 * time.Second
)

// ErrDiskFull: the disk that holds the store is almost full. Nothing was written;
// updates succeed again as soon as there is room.
var ErrDiskFull = errors.New("the disk is almost full, so the store takes no updates: free some space")

func startMember(ctx context.Context, c EtcdConfig) (*member, error) {
	m := &member{dir: c.Dir, alone: c.Listen == "", fatal: make(chan error, 1), quota: cmp.Or(c.Quota, DefaultQuota)}
	cfg := embed.NewConfig()
	cfg.Name = memberName
	cfg.Dir = c.Dir
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.ListenPeerUrls = nil // nobody to talk to
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = nil, nil
	if c.Listen != "" {
		at, err := url.Parse(c.Listen)
		if err != nil {
			return nil, fmt.Errorf("listen at %s: %w", c.Listen, err)
		}
		cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{*at}, []url.URL{*at}
	}
	cfg.TickMs, cfg.ElectionMs = uint(aloneTick.Milliseconds()), uint(aloneElection.Milliseconds())
	cfg.SnapshotCount, cfg.SnapshotCatchUpEntries = raftEntries, raftCatchUp
	cfg.MaxTxnOps, cfg.MaxRequestBytes = embeddedOps, embeddedBytes
	cfg.QuotaBackendBytes = hardQuota(m.quota)
	cfg.AutoCompactionRetention = "0" // the keeper's, for it knows the followers
	cfg.CompactHashCheckTime = time.Hour
	cfg.EnableGRPCGateway = false
	log := slog.New(hush{c.Log.Handler(), &m.stopping})
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapTo(log, m.fatal))
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := m.room(); err != nil {
		return nil, err
	}
	if err := m.firstSnapshot(ctx, *cfg); err != nil {
		return nil, err
	}
	e, err := m.start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	m.etcd = e
	return m, nil
}

// firstSnapshot has etcd write a raft snapshot where there is none yet. A start replays
// what follows the latest one, and while it does raft must find all of that in memory: an
// etcd that has already forgotten entries when its election begins panics ("error scanning
// unapplied entries"). With raftCatchUp it forgets none that follow a snapshot, but
// without one it forgets the very first.
func (m *member) firstSnapshot(ctx context.Context, cfg embed.Config) error {
	if m.hasSnapshot() {
		return nil
	}
	if m.unborn() {
		if err := os.RemoveAll(filepath.Join(m.dir, "member")); err != nil {
			return err
		}
	}
	cfg.SnapshotCount = 1
	e, err := m.start(ctx, &cfg)
	if err != nil {
		return err
	}
	m.stopping.Store(true)
	e.Close()
	m.stopping.Store(false)
	if !m.hasSnapshot() {
		return errors.New("etcd wrote no raft snapshot")
	}
	return nil
}

// unborn: whoever made this etcd was killed before it had written that it is a member of its
// own cluster. It never had a state to lose, and would wait for ever to be elected.
func (m *member) unborn() bool {
	dir := filepath.Join(m.dir, "member", "wal")
	if !wal.Exist(dir) {
		return false
	}
	log, err := wal.OpenForRead(zap.NewNop(), dir, &walpb.Snapshot{})
	if err != nil {
		return false // etcd says itself what is wrong with it
	}
	defer log.Close()
	// Its membership is the first that it commits, and commits in the write that stores it.
	_, state, _, err := log.ReadAll()
	return (err == nil || errors.Is(err, io.ErrUnexpectedEOF)) && state.GetCommit() == 0
}

func (m *member) hasSnapshot() bool {
	found, err := filepath.Glob(filepath.Join(m.dir, "member", "snap", "*.snap"))
	return err == nil && len(found) > 0
}

// start waits until etcd has elected itself. etcd starts on a goroutine of its
// own, for what it finds fatal ends the goroutine that it is on.
func (m *member) start(ctx context.Context, cfg *embed.Config) (*embed.Etcd, error) {
	type started struct {
		etcd *embed.Etcd
		err  error
	}
	begun := make(chan started, 1)
	go func() {
		e, err := embed.StartEtcd(cfg)
		begun <- started{e, err}
	}()
	var e *embed.Etcd
	select {
	case s := <-begun:
		if s.err != nil {
			return nil, s.err
		}
		e = s.etcd
	case err := <-m.fatal:
		return nil, err
	}
	select {
	case <-e.Server.ReadyNotify():
		return e, nil
	case err := <-e.Err():
		return nil, err
	case err := <-m.fatal:
		return nil, err
	case <-ctx.Done():
		m.stopping.Store(true)
		e.Close()
		return nil, fmt.Errorf("wait until it is ready: %w", ctx.Err())
	}
}

// client is one for this etcd, which has to be closed before stop.
func (m *member) client() *clientv3.Client {
	c := v3client.New(m.etcd.Server)
	served := &watchServer{v3rpc.NewWatchServer(m.etcd.Server), &m.watches}
	c.Watcher = clientv3.NewWatchFromWatchClient(adapter.WatchServerToWatchClient(served), c)
	return c
}

// A watchServer serves watches, none while etcd closes: closing a client does not wait for its
// own, and what is still served then reads from a database that is not there any more.
type watchServer struct {
	etcdserverpb.WatchServer
	serving *sync.RWMutex
}

// Watch serves one stream of a client, until that ends it.
func (s *watchServer) Watch(stream etcdserverpb.Watch_WatchServer) error {
	s.serving.RLock()
	defer s.serving.RUnlock()
	if err := stream.Context().Err(); err != nil {
		return err
	}
	return s.WatchServer.Watch(stream)
}

// stop ends etcd. It does not wait for ever: an etcd that has given up may be stuck.
func (m *member) stop() error {
	m.stopping.Store(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.watches.Lock()
		defer m.watches.Unlock()
		m.etcd.Close()
	}()
	select {
	case <-done:
		return nil
	case <-time.After(stopPatience):
		return fmt.Errorf("etcd in %s did not stop within %v", m.dir, stopPatience)
	}
}

// room refuses while the disk is so full that etcd might not survive a write.
func (m *member) room() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Clean(m.dir), &fs); err != nil {
		return fmt.Errorf("ask how full the disk of %s is: %w", m.dir, err)
	}
	if free := int64(fs.Bavail) * int64(fs.Bsize); free < roomNeeded {
		return fmt.Errorf("%w: %s has %d MiB left, of %d needed", ErrDiskFull, m.dir, free>>20, roomNeeded>>20)
	}
	return nil
}
