package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gantry/bench/running"
)

// dockerPackages are what Docker Engine needs that a Debian without it may lack.
var dockerPackages = []string{
	"docker.io", "containerd", "runc", "iptables", "libip4tc2", "libip6tc2", "libxtables12", "libnftnl11", "libmnl0",
	"libnetfilter-conntrack3", "libnfnetlink0", "libdevmapper1.02.1",
}

// dockerCgroup is where Docker's containers lie, apart from those of a Docker that the host may have.
const dockerCgroup = "gantry-bench-docker"

// dockerUpWithin bounds how long Docker Engine may take to answer.
const dockerUpWithin = 30 * time.Second

// A dockerPeer is Docker Engine with folders of its own, asked by its API.
type dockerPeer struct {
	cmd     *exec.Cmd
	log     *bytes.Buffer
	http    *http.Client
	version string
	folder  string
	next    atomic.Int64

	mu   sync.Mutex
	made []string // container ids; guarded by mu
}

// openDocker starts Docker Engine; if that cannot be, why says so.
func openDocker(programs, dir, image, folder string) (_ *dockerPeer, why error) {
	if _, err := os.Stat(filepath.Join(programs, "usr/sbin/dockerd")); err != nil {
		return nil, err
	}
	p := &dockerPeer{folder: folder, log: new(bytes.Buffer)}
	socket := filepath.Join(dir, "sock")
	p.cmd = exec.Command(filepath.Join(programs, "usr/sbin/dockerd"), "-H", "unix://"+socket, "--data-root", filepath.Join(dir, "data"),
		"--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"), "--bip", "10.213.0.1/24", "--cgroup-parent", dockerCgroup, "--log-level", "error")
	libraries := filepath.Join(programs, "usr/lib/x86_64-linux-gnu")
	p.cmd.Env = append(os.Environ(),
		"PATH="+filepath.Join(programs, "usr/sbin")+":"+filepath.Join(programs, "usr/bin")+":"+os.Getenv("PATH"),
		"LD_LIBRARY_PATH="+libraries, "XTABLES_LIBDIR="+filepath.Join(libraries, "xtables"))
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.http = &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: crowd,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	if err := p.prepare(image); err != nil {
		return nil, errors.Join(err, p.close(), errors.New(p.log.String()))
	}
	return p, nil
}

// unpackDocker fetches Debian's packages and unpacks them into a folder, unless they
// are there. It needs the host's network.
func unpackDocker(ctx context.Context, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "usr/sbin/dockerd")); err == nil {
		return nil
	}
	for _, program := range []string{"apt-get", "dpkg"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("fetch docker.io: %w", err)
		}
	}
	packages := filepath.Join(dir, "packages")
	if err := os.MkdirAll(packages, 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	fetch := exec.CommandContext(ctx, "apt-get", append([]string{"download"}, dockerPackages...)...)
	fetch.Dir = packages
	if out, err := fetch.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch docker.io: %w: %s", err, bytes.TrimSpace(out))
	}
	found, err := filepath.Glob(filepath.Join(packages, "*.deb"))
	if err != nil {
		return err
	}
	for _, deb := range found {
		if out, err := exec.CommandContext(ctx, "dpkg", "-x", deb, dir).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", filepath.Base(deb), err, out)
		}
	}
	// Debian makes these links when it installs.
	for _, name := range []string{"iptables", "ip6tables"} {
		if err := os.Symlink("xtables-nft-multi", filepath.Join(dir, "usr/sbin", name)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return os.RemoveAll(packages)
}

func (p *dockerPeer) prepare(image string) error {
	var version struct{ Version string }
	for end := time.Now().Add(dockerUpWithin); ; time.Sleep(50 * time.Millisecond) {
		err := p.call(http.MethodGet, "/version", nil, &version)
		if err == nil {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("start Docker Engine: %w", err)
		}
	}
	p.version = version.Version
	f, err := os.Open(image)
	if err != nil {
		return err
	}
	defer f.Close()
	answer, err := p.http.Post("http://docker/images/load?quiet=1", "application/x-tar", f)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || strings.Contains(string(text), "errorDetail") {
		return fmt.Errorf("load the image: status %d: %s: %w", answer.StatusCode, text, err)
	}
	return nil
}

func (p *dockerPeer) name() string { return "Docker Engine " + p.version + ", bridge, port, json-file" }

func (p *dockerPeer) pid() int { return p.cmd.Process.Pid }

func (p *dockerPeer) counted() bool { return false }

func (p *dockerPeer) begin() error {
	var made struct{ ID string }
	err := p.call(http.MethodPost, "/containers/create?name=bench-"+strconv.FormatInt(p.next.Add(1), 10), map[string]any{
		"Image": running.ImageName, "ExposedPorts": map[string]any{"8080/tcp": struct{}{}},
		"HostConfig": map[string]any{
			"Binds": []string{p.folder + ":/bench"}, "NetworkMode": "bridge",
			"PortBindings": map[string]any{"8080/tcp": []map[string]string{{"HostPort": ""}}},
			"Memory":       32 << 20, "CpuShares": 10,
		},
	}, &made)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.made = append(p.made, made.ID)
	p.mu.Unlock()
	return p.call(http.MethodPost, "/containers/"+made.ID+"/start", nil, nil)
}

func (p *dockerPeer) settle() error {
	p.mu.Lock()
	made := p.made
	p.made = nil
	p.mu.Unlock()
	var all sync.WaitGroup
	errs := make([]error, len(made))
	for i, id := range made {
		all.Go(func() { errs[i] = p.call(http.MethodDelete, "/containers/"+id+"?force=1", nil, nil) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// call makes one call of the Docker API.
func (p *dockerPeer) call(method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequest(method, "http://docker"+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := p.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: status %d: %s", method, path, answer.StatusCode, bytes.TrimSpace(text))
	}
	if out == nil || len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, out)
}

// close ends Docker Engine, which ends its containerd, and removes the control groups that it leaves.
func (p *dockerPeer) close() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := p.cmd.Wait()
	left, globErr := filepath.Glob("/sys/fs/cgroup/*/" + dockerCgroup)
	for _, group := range append(left, "/sys/fs/cgroup/"+dockerCgroup) {
		if removeErr := os.Remove(group); !errors.Is(removeErr, os.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}
	return errors.Join(err, globErr)
}
