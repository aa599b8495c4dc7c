package store_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"gantry/internal/store"
	"gantry/internal/store/storetest"
)

var accounts = storetest.Accounts

func put(t *testing.T, s *store.Store, name string, balance int) store.Revision {
	t.Helper()
	rev, err := s.Update(t.Context(), func(tx *store.Tx) error {
		accounts.Put(tx, &storetest.Account{Name: name, Balance: balance, Owner: "me"})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func TestReopen(t *testing.T) {
	before := goleak.IgnoreCurrent()
	defer func() {
		var left error
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); { // it looks for half a second each time
			if left = goleak.Find(before,
				// etcd's and grpc's own, which end in their own time or never.
				goleak.IgnoreAnyFunction("go.etcd.io/etcd/pkg/v3/schedule.(*fifo).run"),
				goleak.IgnoreAnyFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun")); left == nil {
				return
			}
		}
		t.Error(left)
	}()
	dir := t.TempDir() + "/etcd"
	open := func() *store.Store {
		s, err := store.OpenEtcd(t.Context(), store.EtcdConfig{Dir: dir, Log: quiet(t)}, storetest.Tables()...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	var last store.Revision
	for i := range 20 {
		last = put(t, s, fmt.Sprint(i), i)
	}
	if _, err := s.Update(t.Context(), func(tx *store.Tx) error { accounts.Delete(tx, "7"); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	s = open()
	t.Logf("opened again in %v", time.Since(begun))
	defer s.Close()
	if n := accounts.Len(s.View()); n != 19 {
		t.Errorf("%d rows, want 19", n)
	}
	if n := storetest.ByOwner.Count(s.View(), "me"); n != 19 {
		t.Errorf("%d rows in the index, want 19", n)
	}
	if rev := accounts.Revision(s.View(), "19"); rev != last {
		t.Errorf("the last row's revision is %d, was %d", rev, last)
	}
	if rev := put(t, s, "next", 1); rev <= last+1 {
		t.Errorf("revision %d after %d", rev, last+1)
	}
}

// TestKilled: whatever was acknowledged before a kill -9 is there afterwards, and
// no update is there in part.
func TestKilled(t *testing.T) {
	if os.Getenv("STORE_TEST_WRITER") != "" {
		writeUntilKilled(t, os.Getenv("STORE_TEST_WRITER"))
		return
	}
	dir := t.TempDir() + "/etcd"
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	acknowledged := map[int]bool{}
	for round := range rounds {
		c := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		c.Env = append(os.Environ(), "STORE_TEST_WRITER="+dir, "STORE_TEST_FROM="+strconv.Itoa(round*1_000_000))
		var out bytes.Buffer
		var mu sync.Mutex
		lines, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		enough, read := make(chan struct{}), make(chan struct{})
		want := 20 + rand.IntN(400)
		go func() {
			defer close(read)
			seen := 0
			for in := bufio.NewScanner(lines); in.Scan(); {
				n, err := strconv.Atoi(strings.TrimPrefix(in.Text(), "ack "))
				mu.Lock()
				fmt.Fprintln(&out, in.Text())
				mu.Unlock()
				if err != nil {
					continue
				}
				acknowledged[n] = true
				if seen++; seen == want {
					close(enough)
				}
			}
		}()
		select {
		case <-enough:
		case <-time.After(2 * time.Minute):
			c.Process.Kill()
			mu.Lock()
			t.Errorf("the writer does not get on: %s", out.String())
			mu.Unlock()
		}
		c.Process.Kill() // SIGKILL, at whatever it is about
		<-read
		c.Wait()
		s, err := store.OpenEtcd(t.Context(), store.EtcdConfig{Dir: dir, Log: quiet(t)}, storetest.Tables()...)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		snap := s.View()
		for n := range acknowledged {
			if _, ok := accounts.Get(snap, fmt.Sprintf("%d/a", n)); !ok {
				t.Errorf("round %d: %d was acknowledged and is lost", round, n)
			}
		}
		a, b := 0, 0
		for r := range accounts.All(snap, "") {
			if strings.HasSuffix(r.Name, "/a") {
				a++
			} else {
				b++
			}
		}
		t.Logf("round %d: %d acknowledged, %d there", round, len(acknowledged), a)
		if a != b {
			t.Errorf("round %d: %d first halves of updates and %d second ones", round, a, b)
		}
		s.Close()
	}
}

func writeUntilKilled(t *testing.T, dir string) {
	s, err := store.OpenEtcd(t.Context(), store.EtcdConfig{Dir: dir}, storetest.Tables()...)
	if err != nil {
		t.Fatal(err)
	}
	from, _ := strconv.Atoi(os.Getenv("STORE_TEST_FROM"))
	var mu sync.Mutex
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for n := from + w; ; n += 8 {
				_, err := s.Update(t.Context(), func(tx *store.Tx) error {
					accounts.Put(tx, &storetest.Account{Name: fmt.Sprintf("%d/a", n), Owner: strings.Repeat("x", 500)})
					accounts.Put(tx, &storetest.Account{Name: fmt.Sprintf("%d/b", n)})
					return nil
				})
				if err != nil {
					return
				}
				mu.Lock()
				fmt.Println("ack", n)
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

func TestBackup(t *testing.T) {
	s := openEtcd(t, store.EtcdConfig{Dir: t.TempDir() + "/etcd"}, storetest.Tables()...)
	for i := range 100 {
		put(t, s, fmt.Sprint(i), i)
	}
	var backup bytes.Buffer
	m, err := s.Backup(t.Context(), &backup)
	if err != nil {
		t.Fatal(err)
	}
	after := put(t, s, "after the backup", 1) // which a restore forgets
	dir := t.TempDir() + "/restored"
	o, err := store.Restore(t.Context(), dir, bytes.NewReader(backup.Bytes()), quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	if o.Epoch != 1 || o.BackupAt < m.Revision || o.RestoredAt <= after {
		t.Errorf("the origin is %+v; the backup is of %d, the last revision was %d", o, m.Revision, after)
	}
	r := openEtcd(t, store.EtcdConfig{Dir: dir}, storetest.Tables()...)
	if got, err := r.Origin(t.Context()); err != nil || cmp.Diff(o, got) != "" {
		t.Errorf("the restored store's origin is %+v, %v", got, err)
	}
	if n := accounts.Len(r.View()); n != 100 {
		t.Errorf("%d rows, want 100", n)
	}
	if rev := r.View().Revision(); rev < o.RestoredAt {
		t.Errorf("it is at revision %d, below %d", rev, o.RestoredAt)
	}
	if rev := put(t, r, "1", 77); rev <= o.RestoredAt {
		t.Errorf("its first update is revision %d, not above %d", rev, o.RestoredAt)
	}
	for _, err := range r.Follow(t.Context(), after) {
		if !errors.Is(err, store.ErrCompacted) {
			t.Errorf("a follower of before the restore is told %v", err)
		}
		break
	}
	// Restoring a restored one's backup goes further up.
	backup.Reset()
	if _, err := r.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	again, err := store.Restore(t.Context(), t.TempDir()+"/again", &backup, quiet(t))
	if err != nil || again.Epoch != 2 || again.RestoredAt <= o.RestoredAt {
		t.Errorf("the second restore's origin is %+v, %v", again, err)
	}
}

func TestRestoreRefuses(t *testing.T) {
	s := openEtcd(t, store.EtcdConfig{Dir: t.TempDir() + "/etcd"}, storetest.Tables()...)
	put(t, s, "a", 1)
	var whole bytes.Buffer
	if _, err := s.Backup(t.Context(), &whole); err != nil {
		t.Fatal(err)
	}
	b := whole.Bytes()
	flipped := bytes.Clone(b)
	flipped[len(b)/2] ^= 1
	newer := bytes.Replace(b, []byte(`"format":1`), []byte(`"format":9`), 1)
	for _, test := range []struct {
		name   string
		backup []byte
		want   error
		says   string
	}{
		{"nothing", nil, store.ErrNoBackup, ""},
		{"something else", []byte("PK\x03\x04 and so on, for longer than a magic line is"), store.ErrNoBackup, ""},
		{"no manifest", b[:30], store.ErrNoBackup, "its manifest is cut off"},
		{"the end missing", b[:len(b)-4096], store.ErrNoBackup, ""},
		{"the checksum missing", b[:len(b)-32], store.ErrNoBackup, "its end is missing"},
		{"a bit flipped", flipped, store.ErrNoBackup, "what it holds is not what was written, as its checksum tells"},
		{"a newer format", newer, store.ErrNewer, "its format is 9"},
	} {
		t.Run(test.name, func(t *testing.T) {
			parent := t.TempDir()
			_, err := store.Restore(t.Context(), parent+"/etcd", bytes.NewReader(test.backup), slog.New(slog.DiscardHandler))
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("restore: %v, want %q in it", err, test.says)
			}
			if left, _ := filepath.Glob(parent + "/*"); len(left) > 0 {
				t.Errorf("it left %v", left)
			}
		})
	}
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/precious", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Restore(t.Context(), dir, bytes.NewReader(b), quiet(t)); err == nil || !strings.Contains(err.Error(), "there is data in it already") {
		t.Errorf("into a folder with data: %v", err)
	}
}

// TestQuota fills a store to its quota: new rows are refused with the reason,
// reading, changing and deleting go on, and after deleting there is room again.
func TestQuota(t *testing.T) {
	s := openEtcd(t, store.EtcdConfig{Dir: t.TempDir() + "/etcd", Quota: 24 << 20}, storetest.Tables()...)
	large := strings.Repeat("x", 1<<20)
	add := func(name string) error {
		_, err := s.Update(t.Context(), func(tx *store.Tx) error {
			accounts.Put(tx, &storetest.Account{Name: name, Notes: []string{large}})
			return nil
		})
		return err
	}
	rows := 0
	var full error
	// What is unused inside the database counts until it is given back: full is full
	// when nothing is left to give.
	for rounds := 0; rounds < 20; rounds++ {
		for full = nil; rows < 100 && full == nil; {
			if full = add(fmt.Sprint(rows)); full == nil {
				rows++
			}
		}
		if err := s.Reclaim(t.Context()); err != nil {
			t.Fatal(err)
		}
		if full = add(fmt.Sprint(rows)); full != nil {
			break
		}
		rows++
	}
	if !errors.Is(full, store.ErrNoSpace) {
		t.Fatalf("after %d MiB: %v", rows, full)
	}
	t.Logf("after %d MiB of 24: %v", rows, full)
	if n := accounts.Len(s.View()); n != rows {
		t.Errorf("%d rows, want %d", n, rows)
	}
	if _, err := s.Update(t.Context(), func(tx *store.Tx) error {
		return accounts.Change(tx, "0", func(a *storetest.Account) error { a.Notes = nil; return nil })
	}); err != nil {
		t.Errorf("changing a row: %v", err)
	}
	if _, err := s.Update(t.Context(), func(tx *store.Tx) error {
		for i := range rows - 2 {
			accounts.Delete(tx, fmt.Sprint(i+1))
		}
		return nil
	}); err != nil {
		t.Fatalf("deleting: %v", err)
	}
	// bbolt frees pages once nobody reads them any more: it may take a second call.
	for deadline := time.Now().Add(2 * time.Minute); ; {
		if err := s.Reclaim(t.Context()); err != nil {
			t.Fatal(err)
		}
		if add("room") == nil || time.Now().After(deadline) {
			break
		}
	}
	for i := range 10 {
		if err := add(fmt.Sprint("again", i)); err != nil {
			t.Fatalf("after freeing: %v", err)
		}
	}
}

// TestCompactionWaits: history stays as long as a follower needs it.
func TestCompactionWaits(t *testing.T) {
	s := openEtcd(t, store.EtcdConfig{Dir: t.TempDir() + "/etcd"}, storetest.Tables()...)
	done := put(t, s, "a", 1)
	record := func(rev store.Revision) {
		if _, err := s.Update(t.Context(), func(tx *store.Tx) error {
			store.Followers.Put(tx, &store.Follower{Name: "events", Done: rev})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	record(done)
	// More than a server has at hand, so that following needs etcd's history.
	for range 24 {
		if _, err := s.Update(t.Context(), func(tx *store.Tx) error {
			for i := range 2_000 {
				a, _ := storetest.Counters.Get(tx, fmt.Sprint(i))
				next := &storetest.Account{Name: fmt.Sprint(i)}
				if a != nil {
					next.Balance = a.Balance + 1
				}
				storetest.Counters.Put(tx, next)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	follow := func(from store.Revision) error {
		for _, err := range s.Follow(t.Context(), from) {
			return err
		}
		return nil
	}
	if err := s.Reclaim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := follow(done); err != nil {
		t.Errorf("what the follower still needs: %v", err)
	}
	record(s.View().Revision())
	if err := s.Reclaim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := follow(done); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("what the follower has let go: %v", err)
	}
}

func TestNewerIsRefused(t *testing.T) {
	dir := t.TempDir() + "/etcd"
	other := store.NewTable("later", func(a *storetest.Account) string { return a.Name })
	s, err := store.OpenEtcd(t.Context(), store.EtcdConfig{Dir: dir, Log: quiet(t)}, other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), func(tx *store.Tx) error { other.Put(tx, &storetest.Account{Name: "x"}); return nil }); err != nil {
		t.Fatal(err)
	}
	s.Close()
	_, err = store.OpenEtcd(t.Context(), store.EtcdConfig{Dir: dir, Log: quiet(t)}, storetest.Tables()...)
	if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), `no table is named "later"`) {
		t.Errorf("open: %v", err)
	}
}

func TestLead(t *testing.T) {
	dir, socket := t.TempDir()+"/etcd", "unix://"+t.TempDir()+"/etcd.sock"
	s := []*store.Store{
		openEtcd(t, store.EtcdConfig{Dir: dir, Listen: socket}, storetest.Tables()...),
		openEtcd(t, store.EtcdConfig{Endpoints: []string{socket}}, storetest.Tables()...),
	}
	var mu sync.Mutex
	leading, most, terms := 0, 0, 0
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			err := s[i%2].Lead(t.Context(), "test", func(ctx context.Context) error {
				mu.Lock()
				leading++
				most = max(most, leading)
				terms++
				mu.Unlock()
				put(t, s[i%2], fmt.Sprint("term", i), i)
				mu.Lock()
				leading--
				mu.Unlock()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most != 1 || terms != 6 {
		t.Errorf("%d led at once, and %d in all", most, terms)
	}
}
