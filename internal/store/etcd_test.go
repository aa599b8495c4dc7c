package store_test

import (
	"log/slog"
	"testing"

	"gantry/internal/store"
	"gantry/internal/store/storetest"
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
