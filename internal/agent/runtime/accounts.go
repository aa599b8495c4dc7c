package runtime

import (
	"bufio"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// accounts are the users and groups that an image knows.
type accounts struct {
	users  []account
	groups []group
	// narrow is whether the image can run 32-bit programs.
	narrow bool
}

type account struct {
	name     string
	uid, gid uint32
	home     string
}

type group struct {
	name    string
	gid     uint32
	members []string
}

// accounts reads an image's /etc/passwd and /etc/group, and looks for 32-bit
// programs, once per image and process: it needs the image mounted for a moment.
func (r *Runtime) accounts(ctx context.Context, info *imageInfo) (*accounts, error) {
	info.accounts.Lock()
	defer info.accounts.Unlock()
	if info.users != nil {
		return info.users, nil
	}
	var found *accounts
	err := r.withImage(ctx, info, func(root *os.Root) (err error) {
		if found, err = readAccounts(root); err != nil {
			return err
		}
		found.narrow = runsNarrow(root, slices.Concat(info.config.Entrypoint, info.config.Cmd))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the image's users: %w", err)
	}
	info.users = found
	return found, nil
}

// withImage shows an image's files, read-only, to a function.
func (r *Runtime) withImage(ctx context.Context, info *imageInfo, look func(root *os.Root) error) (err error) {
	key := "look-" + newToken()
	layers := r.client.SnapshotService(snapshotter)
	mounts, err := layers.View(ctx, key, info.chain)
	if err != nil {
		return err
	}
	defer func() {
		// The collector may have been faster: nothing refers to the view.
		if gone := layers.Remove(context.WithoutCancel(ctx), key); gone != nil && !errdefs.IsNotFound(gone) {
			err = errors.Join(err, gone)
		}
	}()
	return mount.WithReadonlyTempMount(ctx, mounts, func(dir string) error {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		return look(root)
	})
}

func readAccounts(root *os.Root) (*accounts, error) {
	a := &accounts{}
	err := eachLine(root, "etc/passwd", func(fields []string) {
		if len(fields) < 6 {
			return
		}
		uid, err1 := strconv.ParseUint(fields[2], 10, 32)
		gid, err2 := strconv.ParseUint(fields[3], 10, 32)
		if err1 == nil && err2 == nil {
			a.users = append(a.users, account{fields[0], uint32(uid), uint32(gid), fields[5]})
		}
	})
	if err != nil {
		return nil, err
	}
	return a, eachLine(root, "etc/group", func(fields []string) {
		if len(fields) < 4 {
			return
		}
		if gid, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
			a.groups = append(a.groups, group{fields[0], uint32(gid), strings.Split(fields[3], ",")})
		}
	})
}

func eachLine(root *os.Root, name string, do func(fields []string)) error {
	f, err := root.Open(filepath.FromSlash(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // images without users are fine
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		do(strings.Split(strings.TrimSpace(lines.Text()), ":"))
	}
	return lines.Err()
}

// find resolves "user[:group]" by Docker's rules, and the user's home. The
// primary group is among the additional ones too, so that a file that denies
// it cannot be had by dropping it.
func (a *accounts) find(text string) (specs.User, string, error) {
	u, home, err := a.resolve(text)
	u.AdditionalGids = slices.Insert(u.AdditionalGids, 0, u.GID)
	return u, home, err
}

func (a *accounts) resolve(text string) (specs.User, string, error) {
	name, groupName, _ := strings.Cut(text, ":")
	who, err := a.user(name)
	if err != nil {
		return specs.User{}, "", err
	}
	u := specs.User{UID: who.uid, GID: who.gid}
	if groupName == "" {
		u.AdditionalGids = a.besides(who)
		return u, who.home, nil
	}
	u.GID, err = a.group(groupName)
	return u, who.home, err
}

// user finds a user by name or number; "" is number 0. A number that the image does not know is a user without a name.
func (a *accounts) user(text string) (account, error) {
	number, err := strconv.ParseUint(text, 10, 31)
	numeric := err == nil || text == ""
	for _, candidate := range a.users {
		if candidate.name == text || numeric && candidate.uid == uint32(number) {
			return candidate, nil
		}
	}
	switch {
	case !numeric:
		return account{}, fmt.Errorf("unable to find user %s: no matching entries in passwd file", text)
	case number == 0:
		return account{home: "/root"}, nil
	}
	return account{uid: uint32(number), home: "/"}, nil
}

// besides are the groups that a user is in beside its own.
func (a *accounts) besides(who account) (gids []uint32) {
	for _, g := range a.groups {
		if who.name != "" && g.gid != who.gid && slices.Contains(g.members, who.name) {
			gids = append(gids, g.gid)
		}
	}
	return gids
}

// group finds a group by name or number.
func (a *accounts) group(text string) (uint32, error) {
	for _, g := range a.groups {
		if g.name == text {
			return g.gid, nil
		}
	}
	number, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("unable to find group %s: no matching entries in group file", text)
	}
	return uint32(number), nil
}

// narrowLoaders are what a 32-bit program of a 64-bit image needs to start.
var narrowLoaders = []string{
	"lib/ld-linux.so.2", "lib/ld-musl-i386.so.1", // x86
	"lib/ld-linux.so.3", "lib/ld-linux-armhf.so.3", "lib/ld-musl-armhf.so.1", // Arm
}

// runsNarrow is whether an image has a loader for 32-bit programs, or starts a
// 32-bit program that needs none.
func runsNarrow(root *os.Root, command []string) bool {
	for _, loader := range narrowLoaders {
		if _, err := root.Lstat(loader); err == nil {
			return true
		}
	}
	if len(command) == 0 || !strings.HasPrefix(command[0], "/") {
		return false
	}
	f, err := root.Open(strings.TrimLeft(command[0], "/"))
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, elf.EI_CLASS+1)
	_, err = io.ReadFull(f, head)
	return err == nil && string(head[:4]) == elf.ELFMAG && elf.Class(head[elf.EI_CLASS]) == elf.ELFCLASS32
}
