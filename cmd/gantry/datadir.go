package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"crypto/rand"

	"gantry"
	"gantry/internal/wholefile"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// dirFormat is the version of the data directory's layout. An older gantry
// refuses a newer one.
const dirFormat = 1

// The names in a data directory. Everything else in it belongs to the packages
// that are given a folder: the store, the logs, the agent.
const (
	identityFile    = "gantry.json"
	lockFile        = "lock"
	endpointFile    = "endpoint"
	credentialsFile = "credentials" // AWS shared-file format
	configFile      = "config"      // AWS shared-file format
	storeFolder     = "store"
	logsFolder      = "logs"
	eventsFolder    = "events"
	agentFolder     = "agent"
	imagesFolder    = "images"
	mountsFolder    = "run/mnt" // where the mount namespace is pinned
)

// An identity is what a data directory says of itself. It is written once, when
// the directory is made.
type identity struct {
	Format int `json:"format"`
	// ID tells this gantry's bridges, cgroups and rules from another's on the same host.
	ID        string         `json:"id"`
	Region    gantry.Region  `json:"region"`
	Account   gantry.Account `json:"account"`
	Role      role           `json:"role,omitzero"`
	CreatedAt time.Time      `json:"createdAt"`
}

// A role is what a data directory is for.
type role string

const (
	serverRole role = "" // a control plane, with or without a machine beside it
	agentRole  role = "agent"
)

// refuse says that a directory is for something else than was asked.
func (r role) refuse(d dataDir) error {
	if r == agentRole {
		return fmt.Errorf("%s belongs to a machine that has joined a server: start it with gantry agent, or choose another --data-dir", d.path)
	}
	return fmt.Errorf("%s belongs to a server: start it with gantry up or gantry server, or choose another --data-dir", d.path)
}

// noServer says that commands which ask a server find none by a directory: nothing was
// started there, or a machine whose server is elsewhere. id is what the directory says of itself.
func noServer(d dataDir, id *identity) error {
	if id != nil && id.Role == agentRole {
		return fmt.Errorf(`%s belongs to a machine that has joined a server elsewhere: ask there, or set what "gantry env" prints there`, d.path)
	}
	return fmt.Errorf(`no gantry was ever started on %s: start one with "gantry up --data-dir %s"`, d.path, d.path)
}

func (i *identity) place() gantry.Place { return gantry.Place{Region: i.Region, Account: i.Account} }

// A dataDir is a directory that belongs to gantry.
type dataDir struct{ path string }

// defaultDataDir is /var/lib/gantry for root, and else where XDG wants state.
func defaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/gantry"
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "gantry")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "gantry-data"
	}
	return filepath.Join(home, ".local", "state", "gantry")
}

// addDataDir adds --data-dir to a command.
func addDataDir(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "data-dir", defaultDataDir(), "the folder that holds everything gantry keeps")
}

// file is a name in the directory.
func (d dataDir) file(name ...string) string {
	return filepath.Join(append([]string{d.path}, name...)...)
}

// openDataDir makes a path absolute. It does not look at the directory.
func openDataDir(path string) (dataDir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return dataDir{}, fmt.Errorf("data dir %s: %w", path, err)
	}
	return dataDir{abs}, nil
}

// read returns the identity; nil where the directory is empty or not there. A
// directory that holds something else is refused.
func (d dataDir) read() (*identity, error) {
	text, err := os.ReadFile(d.file(identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, d.mustBeEmpty()
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%s is not a folder: choose another --data-dir", d.path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the data dir: %w", err)
	}
	var i identity
	if err := json.Unmarshal(text, &i); err != nil || i.Format < 1 || i.ID == "" {
		return nil, fmt.Errorf("%s is damaged: restore it from a backup, or choose another --data-dir", d.file(identityFile))
	}
	if i.Format > dirFormat {
		return nil, fmt.Errorf("%s was written by a newer gantry (format %d, this one knows %d): run that version or a later one",
			d.path, i.Format, dirFormat)
	}
	return &i, nil
}

// mustBeEmpty refuses a directory that somebody else has filled. What gantry
// itself leaves behind when it is killed while making one does not count.
func (d dataDir) mustBeEmpty() error {
	entries, err := os.ReadDir(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the data dir: %w", err)
	}
	for _, e := range entries {
		if name := e.Name(); name != lockFile && name != "lost+found" && !strings.HasPrefix(name, identityFile+".") && !strings.HasPrefix(name, homeFile) {
			return fmt.Errorf("%s holds files that are not gantry's (%s): choose an empty folder with --data-dir", d.path, name)
		}
	}
	return nil
}

// create makes the directory gantry's, or returns the identity that it has. A
// place that was asked for and differs from the recorded one is refused: every
// ARN given out so far names it.
func (d dataDir) create(r role, asked gantry.Place, now time.Time) (*identity, error) {
	have, err := d.read()
	if err != nil {
		return nil, err
	}
	if have != nil {
		if asked.Region != "" && asked.Region != have.Region {
			return nil, fmt.Errorf("%s belongs to region %s, and --region says %s: leave it out, or choose another --data-dir", d.path, have.Region, asked.Region)
		}
		if asked.Account != "" && asked.Account != have.Account {
			return nil, fmt.Errorf("%s belongs to account %s, and --account says %s: leave it out, or choose another --data-dir", d.path, have.Account, asked.Account)
		}
		return have, nil
	}
	var id [4]byte
	rand.Read(id[:])
	made := &identity{Format: dirFormat, ID: hex.EncodeToString(id[:]), Role: r, Region: asked.Region, Account: asked.Account, CreatedAt: now.UTC().Truncate(time.Second)}
	if made.Region == "" {
		made.Region = defaultRegion
	}
	if made.Account == "" {
		made.Account = defaultAccount
	}
	text, err := json.MarshalIndent(made, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("make the data dir: %w", err)
	}
	if err := wholefile.Write(d.file(identityFile), append(text, '\n'), 0o644); err != nil {
		return nil, fmt.Errorf("make the data dir: %w", err)
	}
	return made, nil
}

// lock keeps a second gantry off the directory, until the returned function is
// called or the process ends.
func (d dataDir) lock() (unlock func(), err error) {
	if err := os.MkdirAll(d.path, 0o755); err != nil {
		return nil, fmt.Errorf("make the data dir: %w; choose another with --data-dir", err)
	}
	f, err := os.OpenFile(d.file(lockFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the data dir: %w; choose another with --data-dir", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, heldError{dir: d.path, pid: readPID(f)}
		}
		return nil, fmt.Errorf("lock the data dir: %w", err)
	}
	if err := f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock the data dir: %w", err)
	}
	return func() { f.Close() }, nil
}

// holder is the pid of the gantry that runs on the directory; 0 where none does.
func (d dataDir) holder() (pid int, err error) {
	unlock, err := d.lock()
	if held, ok := errors.AsType[heldError](err); ok {
		if held.pid == 0 {
			return 0, fmt.Errorf("another process holds %s: stop it first", d.file(lockFile))
		}
		return held.pid, nil
	}
	if err == nil {
		unlock()
	}
	return 0, err
}

// pollLock is how often a lock that is held is looked at again.
const pollLock = 20 * time.Millisecond

// waitFree waits until no gantry runs on the directory.
func (d dataDir) waitFree(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		pid, err := d.holder()
		if err != nil || pid == 0 {
			return err
		}
		select {
		case <-time.After(pollLock):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A heldError says that another gantry runs on a data directory.
type heldError struct {
	dir string
	pid int // 0 where it is not known
}

func (e heldError) Error() string {
	who := "another gantry"
	if e.pid > 0 {
		who = fmt.Sprintf("another gantry (pid %d)", e.pid)
	}
	return who + " is running on " + e.dir + `: stop it with "gantry down --data-dir ` + e.dir + `", or choose another --data-dir`
}

// readPID reads what the holder of the lock has written.
func readPID(f *os.File) int {
	var pid int
	if _, err := fmt.Fscan(f, &pid); err != nil {
		return 0
	}
	return pid
}
