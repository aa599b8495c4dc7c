// Package network connects containers on a container instance: it is what networkMode bridge, host and none mean there.
//
// In bridge mode every container has an address of its own on a bridge, may reach the outside through the instance's
// address, and is reached from outside by the host ports of its port mappings. In mode none it has a loopback and nothing
// else. In mode host there is nothing to make.
//
// What exists on the host, all of it carrying the identity of one data directory so that two gantrys live side by side:
// a bridge, one nftables table with one map of host ports, and per container a pinned network namespace and a veth pair.
// What is remembered: the address range in Config.Dir, and a record per attached container in Config.RunDir, beside the
// pins, since both end with a reboot. Nothing else is state: the table is rebuilt from the records whenever a Network is
// opened, so a killed gantry finds its own and leaves nothing behind.
//
// Operations: Open, Attach, Detach, Reconcile, Counters, Close, Remove; and pure functions for the contents of
// /etc/hosts, /etc/resolv.conf and /etc/hostname. It never runs a program, never touches another gantry's networks, and
// knows no tasks: whoever asks says which containers are alive.
//
// All of it happens in the network namespace in which the process was started.
package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// DefaultPool is where a data directory's address range is chosen from: 256 ranges of 4,093 container addresses each, in
// a corner of 10/8 that Docker (172.16/12, 192.168/16), Podman, k3s and flannel leave alone.
var DefaultPool = netip.MustParsePrefix("10.208.0.0/12")

const (
	// rangeBits is the size of one gantry's range. A /20 holds 4,093 containers, several times what one host runs.
	rangeBits = 20

	// DefaultMetadataPort is the port on which the genuine ECS agent serves task metadata.
	DefaultMetadataPort = 51679

	// namePrefix begins the names of every gantry's bridge and table.
	namePrefix = "gantry-"

	// maxIDLength keeps "gantry-<id>" within the 15 characters that a network interface's name may have.
	maxIDLength = 8
)

// MetadataIP is where containers find task metadata and credentials, on port 80.
var MetadataIP = netip.MustParseAddr("169.254.170.2")

// A Config says whose network this is and where it keeps what it must remember.
type Config struct {
	// ID tells this gantry from others on the host: 1 to 8 letters or digits, usually a hash of the data directory.
	ID string
	// Dir, below the data directory, keeps the chosen address range across reboots.
	Dir string
	// RunDir keeps pinned namespaces and the records of what is attached, and should not outlive a reboot: /run/gantry/<id>.
	RunDir string
	// Pool is where the address range is chosen from; the zero value means DefaultPool.
	Pool netip.Prefix
	// ReservedPorts are never handed out as dynamic host ports: what the instance registers as reserved.
	ReservedPorts []uint16
	// MetadataPort is where the task metadata server listens on the bridge; 0 means DefaultMetadataPort.
	MetadataPort uint16
	// Logger is told what was repaired and what could not be; nil means slog's default.
	Logger *slog.Logger
}

// check fills in defaults and refuses what could not work.
func (c *Config) check() error {
	if len(c.ID) == 0 || len(c.ID) > maxIDLength || strings.IndexFunc(c.ID, notIDRune) >= 0 {
		return fmt.Errorf("id %q: want 1 to %d letters or digits", c.ID, maxIDLength)
	}
	if !filepath.IsAbs(c.Dir) || !filepath.IsAbs(c.RunDir) {
		return fmt.Errorf("directories %q and %q: both must be absolute paths", c.Dir, c.RunDir)
	}
	if !c.Pool.IsValid() {
		c.Pool = DefaultPool
	}
	if !c.Pool.Addr().Is4() {
		return fmt.Errorf("address pool %s: only IPv4 is supported", c.Pool)
	}
	if c.MetadataPort == 0 {
		c.MetadataPort = DefaultMetadataPort
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

func notIDRune(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
}

func (c *Config) bridgeName() string { return namePrefix + c.ID }
func (c *Config) pinDir() string     { return filepath.Join(c.RunDir, "netns") }
func (c *Config) pin(id SandboxID) string {
	return filepath.Join(c.pinDir(), string(id))
}

// A Network is one gantry's container network on this host. Its methods may be called from many goroutines.
type Network struct {
	cfg    Config
	log    *slog.Logger
	prefix netip.Prefix // the range; its first address is the bridge's
	host   *netlink.Handle
	bridge *netlink.Bridge
	mtu    int

	ports     *portBook
	addresses *addressBook
	table     *table

	mu       sync.Mutex
	attached map[SandboxID]Attachment // guarded by mu; complete attachments only
	busy     map[SandboxID]bool       // guarded by mu; being attached, detached or torn down
	leaving  []Attachment             // guarded by mu; detached, to be torn down
	tearing  bool                     // guarded by mu; a goroutine works on leaving

	background sync.WaitGroup // that goroutine
}

// Open makes the bridge and the table, or finds those of an earlier gantry with the same identity, takes up the
// containers that are recorded and still have their namespace, and clears away whatever no record speaks of.
func Open(ctx context.Context, cfg Config) (*Network, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("open container network: %w", err)
	}
	n := &Network{
		cfg:      cfg,
		log:      cfg.Logger,
		attached: map[SandboxID]Attachment{},
		busy:     map[SandboxID]bool{},
	}
	if err := n.open(ctx); err != nil {
		return nil, fmt.Errorf("open container network %s: %s%w", cfg.bridgeName(), advice(err), errors.Join(err, n.Close()))
	}
	return n, nil
}

// advice says what to do about an error, where it can be known.
func advice(err error) string {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "making networks needs root: "
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return "this kernel needs bridge, veth and nf_tables with nat, masquerade and fib: "
	}
	return ""
}

func (n *Network) open(ctx context.Context) (err error) {
	for _, dir := range []string{n.cfg.Dir, n.cfg.pinDir(), n.cfg.recordDir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if n.host, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	records, err := n.cfg.readRecords()
	if err != nil {
		return err
	}
	maps.DeleteFunc(records, func(id SandboxID, a Attachment) bool {
		if a.NamespacePath == "" || isNamespace(a.NamespacePath) {
			return false
		}
		n.log.Warn("container network namespace is gone", "container", id)
		return true
	})
	if err := n.openBridge(ctx, len(records) > 0); err != nil {
		return err
	}

	n.addresses = newAddressBook(n.prefix)
	host := portHost{holdPort, func() (map[hostPort]string, error) { return neighboursPorts(n.cfg.bridgeName()) }}
	n.ports = newPortBook(host, dynamicPorts(), append(unassignablePorts(), n.cfg.ReservedPorts...))
	n.table = newTable(n.cfg.bridgeName(), n.prefix, n.cfg.MetadataPort)
	for id, a := range records {
		if a.IP.IsValid() && !n.addresses.claim(a.IP, id) {
			n.log.Warn("container address is outside the range or recorded twice", "container", id, "address", a.IP)
		}
		if a.Mode == ModeBridge {
			for _, err := range n.ports.retake(id, a.Bindings) {
				n.log.Warn("host port could not be reserved again", "container", id, "err", err)
			}
		}
		n.attached[id] = a
	}
	if err := n.table.load(n.attached); err != nil {
		return err
	}
	n.openFirewalls()
	return n.removeStrays()
}

// openFirewalls asks other firewalls on the host to let containers through. Most hosts have none, and where one cannot
// be asked it may still be willing: so that alone stops nothing.
func (n *Network) openFirewalls() {
	if err := letThrough(n.cfg.bridgeName(), n.MetadataAddress()); err != nil {
		n.log.Warn("another firewall on this host may drop container traffic", "err", err)
	}
}

// removeStrays deletes what carries this gantry's identity and belongs to no container that is attached or being worked
// on. Everything is listed before it is asked about, so that what an Attach makes meanwhile is not among it.
func (n *Network) removeStrays() error {
	links, err := n.cfg.hostLinks(n.host)
	known := n.knownLinks()
	strays := slices.DeleteFunc(links, func(name string) bool { return known[name] })
	return errors.Join(err, removeLinks(n.host, strays), n.cfg.removeRecords(n.known), n.cfg.removePins(n.known))
}

func (n *Network) known(id SandboxID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.attached[id]
	return ok || n.busy[id]
}

// knownLinks is the names of the host's ends of all containers that are known.
func (n *Network) knownLinks() map[string]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	links := map[string]bool{}
	for id := range n.attached {
		links[n.cfg.hostLink(id)] = true
	}
	for id := range n.busy {
		links[n.cfg.hostLink(id)] = true
	}
	return links
}

// Gateway is the bridge's address: what containers in bridge mode know the instance by.
func (n *Network) Gateway() netip.Addr { return n.prefix.Addr().Next() }

// Range is the addresses that containers in bridge mode get.
func (n *Network) Range() netip.Prefix { return n.prefix }

// MetadataAddress is where the task metadata server has to listen: containers that call http://169.254.170.2 arrive
// there. It exists on this gantry's bridge only, so that two gantrys on a host need not share a port.
//
// Containers in host mode arrive there too. Where two gantrys share a host nothing tells apart who of them calls: all
// calls from the host reach one of the two. Such containers are better given this address itself.
func (n *Network) MetadataAddress() netip.AddrPort {
	return netip.AddrPortFrom(n.Gateway(), n.cfg.MetadataPort)
}

// Reconcile makes the host agree with alive, the containers whose network is still wanted: everything else of this
// gantry is removed, and rules are put back if something else on the host flushed them. Containers that are being
// attached meanwhile are left alone.
func (n *Network) Reconcile(ctx context.Context, alive []SandboxID) error {
	wanted := map[SandboxID]bool{}
	for _, id := range alive {
		wanted[id] = true
	}
	var errs []error
	for _, id := range n.Attached() {
		if !wanted[id] {
			errs = append(errs, n.Detach(ctx, id))
		}
	}
	n.openFirewalls()
	errs = append(errs, n.table.rebuild(), n.removeStrays())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("reconcile container network: %w", err)
	}
	return nil
}

// Attached is the containers that have a network now, in order of their ids.
func (n *Network) Attached() []SandboxID {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.attached))
}

// Close waits for teardowns under way and lets go of the reserved ports; nothing may be called after or beside it.
// Containers keep their networks: their host ports work on. Nothing holds these until the next Open, but no other gantry
// on the host takes what this one's table maps.
func (n *Network) Close() error {
	n.background.Wait()
	if n.ports != nil {
		n.ports.close()
	}
	if n.host != nil {
		n.host.Close()
	}
	if n.table != nil {
		return n.table.close()
	}
	return nil
}
