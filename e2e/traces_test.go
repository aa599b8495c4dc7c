package e2e

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// id is what tells this gantry's things on the host from another's.
func (s *server) id() (string, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, "gantry.json"))
	if err != nil {
		return "", err
	}
	var identity struct {
		ID string `json:"id"`
	}
	err = json.Unmarshal(text, &identity)
	return identity.ID, err
}

// traces is everything on this machine that belongs to a data directory and lies
// outside of it: mounts, interfaces, nftables tables, control groups, processes
// and files.
func (s *server) traces(t *testing.T) []string {
	t.Helper()
	id, err := s.id()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for what, look := range map[string]func(id string) ([]string, error){
		"mount": s.mounts, "interface": links, "table": tables, "control group": groups, "process": s.processes, "file": files,
	} {
		names, err := look(id)
		if err != nil {
			t.Fatalf("look for every %s: %v", what, err)
		}
		for _, n := range names {
			found = append(found, what+" "+n)
		}
	}
	slices.Sort(found)
	return found
}

func (s *server) mounts(id string) (found []string, err error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(table)) {
		if place := strings.Fields(line)[4]; strings.HasPrefix(place, s.dir+"/") || strings.HasPrefix(place, "/run/gantry/"+id) {
			found = append(found, place)
		}
	}
	return found, err
}

// links are interfaces: the bridge by its name, and what is on it.
func links(id string) (found []string, err error) {
	all, err := net.Interfaces()
	for _, i := range all {
		bridge, _ := os.Readlink("/sys/class/net/" + i.Name + "/master")
		if strings.Contains(i.Name, id) || strings.HasSuffix(bridge, id) {
			found = append(found, i.Name)
		}
	}
	return found, err
}

// tables asks the kernel for its nftables tables, since no program that could is
// on every machine.
func tables(id string) (found []string, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	const nfgenmsg = 4
	request := make([]byte, unix.SizeofNlMsghdr+nfgenmsg)
	binary.NativeEndian.PutUint32(request[0:], uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETTABLE)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	buf := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return nil, err
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			if m.Header.Type == unix.NLMSG_DONE || m.Header.Type == unix.NLMSG_ERROR {
				return found, nil
			}
			// Attributes follow; a table's name is the only text among them.
			if i := bytes.Index(m.Data, []byte(id)); i >= 0 {
				found = append(found, "with "+id+" in its name")
			}
		}
	}
}

func groups(id string) (found []string, err error) {
	for _, pattern := range []string{"/sys/fs/cgroup/*" + id + "*", "/sys/fs/cgroup/*/*" + id + "*"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

func files(id string) (found []string, err error) {
	return filepath.Glob("/run/gantry/" + id)
}

// processes are those of the containers, their shims, and gantry itself.
func (s *server) processes(id string) (found []string, err error) {
	for pid, p := range running() {
		if strings.Contains(p.command, s.dir) || strings.Contains(p.command, "/run/gantry/"+id) || strings.Contains(p.groups, "/gantry-"+id) {
			found = append(found, fmt.Sprintf("%d %s", pid, p.command))
		}
	}
	return found, nil
}

type process struct {
	command, groups string
	started         uint64 // in ticks of the machine's clock
}

// running are the processes of this machine; those that have ended and were not
// waited for are none.
func running() map[int]process {
	all := map[int]process{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		command, err2 := os.ReadFile(dir + "/cmdline")
		cgroup, err3 := os.ReadFile(dir + "/cgroup")
		stat, err4 := os.ReadFile(dir + "/stat")
		if err != nil || err2 != nil || err3 != nil || err4 != nil || len(command) == 0 {
			continue
		}
		const startTime = 22 - 3 // of the fields behind the name, which begin with the third
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		started, _ := strconv.ParseUint(fields[startTime], 10, 64)
		all[pid] = process{strings.ReplaceAll(strings.TrimRight(string(command), "\x00"), "\x00", " "), string(cgroup), started}
	}
	return all
}

// pids are the processes of each container of this gantry, by runtime id, the oldest first.
func (s *server) pids(t *testing.T) map[string][]int {
	t.Helper()
	id, err := s.id()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]int{}
	all := running()
	for pid, p := range all {
		for line := range strings.Lines(p.groups) {
			_, group, ok := strings.Cut(strings.TrimSpace(line), "/gantry-"+id+"/")
			if !ok {
				continue
			}
			if _, container, ok := strings.Cut(group, "/"); ok {
				found[container] = append(found[container], pid)
				break
			}
		}
	}
	for _, p := range found { // numbers begin again at 1 after some 30,000
		slices.SortFunc(p, func(a, b int) int { return cmp.Or(cmp.Compare(all[a].started, all[b].started), cmp.Compare(a, b)) })
	}
	return found
}

// nothingLeft fails if anything of this gantry's is left on the machine.
func (s *server) nothingLeft(t *testing.T) {
	t.Helper()
	if left := s.traces(t); len(left) > 0 {
		t.Errorf("left on this machine after gantry down:\n%s", strings.Join(left, "\n"))
	}
}
