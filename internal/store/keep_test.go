package store_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"gantry/internal/store"
	"gantry/internal/store/storetest"
)

// TestKeeper: history goes by itself, ten minutes later, and what a follower needs stays.
func TestKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := store.NewMemory()
		open := func() *store.Store {
			s, err := m.Open(t.Context(), storetest.Tables()...)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := open()
		defer s.Close()
		first := put(t, s, "a", 1)
		second := put(t, s, "a", 2)
		record := func(done store.Revision) {
			if _, err := s.Update(t.Context(), func(tx *store.Tx) error {
				store.Followers.Put(tx, &store.Follower{Name: "events", Done: done})
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		record(first)
		// A store opened now has nothing of before at hand.
		follow := func(from store.Revision) error {
			late := open()
			defer late.Close()
			for _, err := range late.Follow(t.Context(), from) {
				return err
			}
			return nil
		}
		time.Sleep(time.Hour)
		if err := follow(first); err != nil {
			t.Errorf("what a follower needs: %v", err)
		}
		if err := follow(first - 1); !errors.Is(err, store.ErrCompacted) {
			t.Errorf("what nobody needs: %v", err)
		}
		record(second)
		time.Sleep(5 * time.Minute)
		put(t, s, "a", 3)
		time.Sleep(12 * time.Minute)
		if err := follow(first); !errors.Is(err, store.ErrCompacted) {
			t.Errorf("what the follower has let go: %v", err)
		}
		if err := follow(second); err != nil {
			t.Errorf("what the follower still needs: %v", err)
		}
	})
}

// TestDiskFull: a disk that is almost full refuses updates with the reason, reading
// goes on, and with room again so do updates. It runs in a mount namespace of its own.
func TestDiskFull(t *testing.T) {
	if os.Getenv("STORE_TEST_DISK") == "" {
		if os.Getuid() != 0 {
			t.Skip("mounting a small disk needs root")
		}
		c := exec.Command(os.Args[0], "-test.run=^TestDiskFull$", "-test.v")
		c.Env = append(os.Environ(), "STORE_TEST_DISK="+t.TempDir())
		c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		if out, err := c.CombinedOutput(); err != nil {
			if errors.Is(err, unix.EPERM) {
				t.Skip("no mount namespace can be made here")
			}
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	disk := os.Getenv("STORE_TEST_DISK")
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=400m"); err != nil {
		t.Fatal(err)
	}
	s := openEtcd(t, store.EtcdConfig{Dir: disk + "/etcd"}, storetest.Tables()...)
	put(t, s, "a", 1)
	f, err := os.Create(disk + "/filler")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, 180<<20); err != nil {
		t.Fatal(err)
	}
	write := func(n int) error {
		_, err := s.Update(t.Context(), func(tx *store.Tx) error {
			storetest.Accounts.Put(tx, &storetest.Account{Name: fmt.Sprint(n)})
			return nil
		})
		return err
	}
	n := 0
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && err == nil; n++ {
		err = write(n)
	}
	if !errors.Is(err, store.ErrDiskFull) {
		t.Fatalf("on a full disk: %v", err)
	}
	t.Log(err)
	if _, ok := storetest.Accounts.Get(s.View(), "a"); !ok {
		t.Error("reading does not go on")
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if err := write(n); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
