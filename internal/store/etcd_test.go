package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gantry/internal/store"
	"gantry/internal/store/storetest"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap"
)

// quiet shows what etcd warns of.
func quiet(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func openEtcd(t *testing.T, c store.EtcdConfig, tables ...store.AnyTable) *store.Store {
	t.Helper()
	c.Log = quiet(t)
	s, err := store.OpenEtcd(t.Context(), c, tables...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// The first server has etcd inside; the second reaches it as it would one elsewhere.
func TestEtcd(t *testing.T) {
	storetest.Run(t, func(t *testing.T, servers int, tables ...store.AnyTable) (all []*store.Store) {
		c := store.EtcdConfig{Dir: t.TempDir() + "/etcd"}
		if servers > 1 {
			c.Listen = "unix://" + t.TempDir() + "/etcd.sock"
		}
		all = append(all, openEtcd(t, c, tables...))
		for range servers - 1 {
			all = append(all, openEtcd(t, store.EtcdConfig{Endpoints: []string{c.Listen}, MaxOps: 10_000, MaxBytes: 16 << 20}, tables...))
		}
		return all
	})
}

// TestTurns: a server that commits as fast as it can, and is nearer to etcd, does not
// keep another one from it. Without turns about ten times as many pass by.
func TestTurns(t *testing.T) {
	socket := "unix://" + t.TempDir() + "/etcd.sock"
	near := openEtcd(t, store.EtcdConfig{Dir: t.TempDir() + "/etcd", Listen: socket}, storetest.Tables()...)
	far := openEtcd(t, store.EtcdConfig{Endpoints: []string{socket}}, storetest.Tables()...)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if _, err := near.Update(ctx, func(tx *store.Tx) error {
					accounts.Put(tx, &storetest.Account{Name: fmt.Sprint("busy/", i), Balance: n + 1})
					return nil
				}); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	const updates, most = 40, 25 // transactions that pass by one update on the average
	var passed store.Revision
	for i := range updates {
		before, err := far.Fresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		passed += put(t, far, "calm", i+1) - before.Revision()
	}
	stop()
	all.Wait()
	t.Logf("%d revisions passed during %d updates", passed, updates)
	if passed > most*updates {
		t.Errorf("%d revisions passed during %d updates, more than %d each", passed, updates, most)
	}
}

// TestLogBeginsAtASnapshot: an etcd whose log goes back to its very first entry can panic
// when it is started again, so a store's log never does.
func TestLogBeginsAtASnapshot(t *testing.T) {
	dir := t.TempDir() + "/etcd"
	s, err := store.OpenEtcd(t.Context(), store.EtcdConfig{Dir: dir, Log: quiet(t)}, storetest.Tables()...)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	snapshots, err := filepath.Glob(dir + "/member/snap/*.snap")
	if err != nil || len(snapshots) == 0 {
		t.Errorf("there is no raft snapshot in %s (%v)", dir, err)
	}
}

// TestKilledBeforeItsFirstWrite: an etcd that was killed after it had made its log, and before
// it had written into it that it is a member, would never be ready again. It is made anew.
func TestKilledBeforeItsFirstWrite(t *testing.T) {
	open := func(dir string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		s, err := store.OpenEtcd(ctx, store.EtcdConfig{Dir: dir, Log: quiet(t)}, storetest.Tables()...)
		if err != nil {
			return err
		}
		return s.Close()
	}
	whole, killed := t.TempDir()+"/etcd", t.TempDir()+"/etcd"
	if err := open(whole); err != nil {
		t.Fatal(err)
	}
	log, err := wal.OpenForRead(zap.NewNop(), whole+"/member/wal", &walpb.Snapshot{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	who, _, _, err := log.ReadAll()
	if err := errors.Join(err, os.MkdirAll(killed+"/member/snap", 0o700)); err != nil {
		t.Fatal(err)
	}
	first, err := wal.Create(zap.NewNop(), killed+"/member/wal", who)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(killed); err != nil {
		t.Error(err)
	}
}

// TestKeepsWhatIsWithoutSnapshot: a log that has more than its beginning is never taken for one of an etcd that was
// killed before its first write, also where its raft snapshots are lost.
func TestKeepsWhatIsWithoutSnapshot(t *testing.T) {
	dir := t.TempDir() + "/etcd"
	open := func() *store.Store {
		t.Helper()
		s, err := store.OpenEtcd(t.Context(), store.EtcdConfig{Dir: dir, Log: slog.New(slog.DiscardHandler)}, storetest.Tables()...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	put(t, s, "kept", 7)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	snapshots, err := filepath.Glob(dir + "/member/snap/*.snap")
	if err != nil || len(snapshots) == 0 {
		t.Fatalf("snapshots %v, %v", snapshots, err)
	}
	for _, file := range snapshots {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	s = open()
	defer s.Close()
	if a, ok := storetest.Accounts.Get(s.View(), "kept"); !ok || a.Balance != 7 {
		t.Errorf("afterwards there is %+v", a)
	}
}
