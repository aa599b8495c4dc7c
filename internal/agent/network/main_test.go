package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// inside marks the process that runs the tests in network and mount namespaces of its own.
const inside = "GANTRY_NETWORK_TEST_INSIDE"

// TestMain runs the tests again in namespaces that end with them: the host sees no bridge, no rule, no mount and no sysctl.
func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" || os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if errors.Is(err, syscall.EPERM) {
		os.Exit(m.Run()) // root, but not allowed to make namespaces: what needs them is skipped
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "run tests in namespaces of their own:", err)
		os.Exit(1)
	}
}

// world makes the network around: a loopback, an interface with the address hostIP and the default route through it, and
// beyond that a namespace with the address outsideIP. Tests that need it are skipped without root.
func world(t testing.TB) {
	t.Helper()
	if os.Getenv(inside) == "" {
		t.Skip("needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN, to make network namespaces")
	}
	must(t, netlink.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: loopbackIndex}}))
	if _, err := netlink.LinkByName("uplink"); err == nil {
		return
	}
	pin := filepath.Join(os.TempDir(), fmt.Sprintf("gantry-outside-%d", os.Getpid()))
	handle, err := makeNamespace(pin)
	must(t, err)
	defer handle.Close()
	outside, err := netns.GetFromPath(pin)
	must(t, err)
	must(t, removeNamespace(pin))
	outsideNamespace = outside
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = "uplink", 1400
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerNamespace = "eth0", netlink.NsFd(outside)
	must(t, netlink.LinkAdd(veth))
	must(t, netlink.AddrAdd(veth, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix(hostIP + "/24"))}))
	must(t, netlink.LinkSetUp(veth))
	must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: veth.Index, Gw: net.ParseIP(outsideIP)}))
	peer, err := handle.LinkByName("eth0")
	must(t, err)
	must(t, handle.AddrAdd(peer, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix(outsideIP + "/24"))}))
	must(t, handle.LinkSetUp(peer))
	_, err = netlink.LinkByName("uplink") // as awaitCarrier does
	must(t, err)
	_, err = handle.LinkByName("eth0")
	must(t, err)
}

const (
	hostIP    = "192.0.2.2"
	outsideIP = "192.0.2.1"
)

// outsideNamespace is another machine: it knows a way to hostIP and to nothing behind it. Set once by world.
var outsideNamespace netns.NsHandle

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// testConfig is a gantry with directories of its own.
func testConfig(t testing.TB, id string) Config {
	dir := t.TempDir()
	return Config{
		ID:     id,
		Dir:    filepath.Join(dir, "data"),
		RunDir: filepath.Join(dir, "run"),
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// open opens a network that is removed with the test.
func open(t testing.TB, cfg Config) *Network {
	t.Helper()
	n, err := Open(t.Context(), cfg)
	must(t, err)
	t.Cleanup(func() {
		if err := n.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n
}

func attach(t testing.TB, n *Network, r Request) Attachment {
	t.Helper()
	a, err := n.Attach(t.Context(), r)
	must(t, err)
	return a
}

// in runs f on a thread that is inside the namespace at path.
func in(t testing.TB, path string, f func()) {
	t.Helper()
	ns, err := netns.GetFromPath(path)
	must(t, err)
	defer ns.Close()
	inHandle(t, ns, f)
}

func inHandle(t testing.TB, ns netns.NsHandle, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		err := unix.Setns(int(ns), unix.CLONE_NEWNET)
		if err == nil {
			f()
		}
		done <- err
	}()
	must(t, <-done)
}

// serve answers every connection and datagram on a port inside the namespace with name and the caller's address.
func serve(t testing.TB, path string, protocol Protocol, port uint16, name string) {
	t.Helper()
	var conn net.PacketConn
	var listener net.Listener
	var err error
	in(t, path, func() {
		if protocol == UDP {
			conn, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
		} else {
			listener, err = net.Listen("tcp4", fmt.Sprintf(":%d", port))
		}
	})
	must(t, err)
	if conn != nil {
		t.Cleanup(func() { conn.Close() })
		go func() {
			buf := make([]byte, 100)
			for {
				_, from, err := conn.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = conn.WriteTo([]byte(name+" "+host(from)), from) // a lost answer fails the test at its reader
			}
		}()
		return
	}
	answer(t, listener, name)
}

// answer tells every caller name and the caller's address.
func answer(t testing.TB, l net.Listener, name string) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, name+" "+host(c.RemoteAddr()))
			c.Close()
		}
	}()
}

// answerOn does so on an address of the host, and says where if the port was 0.
func answerOn(t testing.TB, address, name string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", address)
	must(t, err)
	answer(t, l, name)
	return netip.MustParseAddrPort(l.Addr().String())
}

func host(a net.Addr) string {
	return netip.MustParseAddrPort(a.String()).Addr().Unmap().String()
}

const (
	// patience is how long a call waits that should be answered: longer than a second, after which TCP tries again, and
	// than a busy machine holds its server up, so that only what is really lost fails a test.
	patience = 20 * time.Second
	// silence is how long one waits that should not. Were it too short a test could pass wrongly, never fail wrongly.
	silence = 300 * time.Millisecond
)

// call asks an address and tells what it answered, or "no answer".
func call(protocol Protocol, address string) string { return callFor(patience, protocol, address) }

func callFor(wait time.Duration, protocol Protocol, address string) string {
	c, err := net.DialTimeout(string(protocol)+"4", address, wait)
	if err != nil {
		return "no answer"
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(wait))
	if protocol == UDP {
		fmt.Fprint(c, "?")
	}
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	if err != nil {
		return "no answer"
	}
	return string(buf[:n])
}

// callFrom does the same inside a namespace.
func callFrom(t testing.TB, path string, protocol Protocol, address string) (answer string) {
	t.Helper()
	in(t, path, func() { answer = call(protocol, address) })
	return answer
}

func callFromOutside(t testing.TB, protocol Protocol, address string) (answer string) {
	t.Helper()
	inHandle(t, outsideNamespace, func() { answer = call(protocol, address) })
	return answer
}

// blockedFrom says of a namespace that it gets no answer; meant for packets that are dropped.
func blockedFrom(t testing.TB, path string, protocol Protocol, address string) (answer string) {
	t.Helper()
	in(t, path, func() { answer = callFor(silence, protocol, address) })
	return answer
}

func blockedOutside(t testing.TB, protocol Protocol, address string) (answer string) {
	t.Helper()
	inHandle(t, outsideNamespace, func() { answer = callFor(silence, protocol, address) })
	return answer
}

func deadline() time.Time { return time.Now().Add(patience) }

// settle lets go of what finished goroutines and the garbage collector still hold: threads and their descriptors.
func settle(t *testing.T) {
	t.Helper()
	runtime.GC()
}
