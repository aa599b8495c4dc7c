package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
)

// chooseRange picks one gantry's addresses out of pool: the first range of rangeBits that overlaps nothing in used,
// looking from a place that id decides, so that two gantrys that start together look in different places.
func chooseRange(pool netip.Prefix, id string, used []netip.Prefix) (netip.Prefix, error) {
	bits := max(rangeBits, pool.Bits())
	count := uint32(1) << (bits - pool.Bits())
	step := uint32(1) << (32 - bits)
	base := addrNumber(pool.Masked().Addr())
	h := fnv.New32a()
	h.Write([]byte(id))
	for i := range count {
		candidate := netip.PrefixFrom(numberAddr(base+(h.Sum32()+i)%count*step), bits)
		if !overlapsAny(candidate, used) {
			return candidate, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("every /%d range in %s overlaps a network that this host already knows", bits, pool)
}

func overlapsAny(p netip.Prefix, used []netip.Prefix) bool {
	for _, u := range used {
		if p.Overlaps(u) {
			return true
		}
	}
	return false
}

func addrNumber(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func numberAddr(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// usedRanges is every network that the host has an address in or a route to, except by the named bridge.
func usedRanges(host *netlink.Handle, bridge string) ([]netip.Prefix, error) {
	own := 0
	if link, err := host.LinkByName(bridge); err == nil {
		own = link.Attrs().Index
	}
	addrs, err := undisturbed(func() ([]netlink.Addr, error) { return host.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	routes, err := undisturbed(func() ([]netlink.Route, error) { return host.RouteList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return nil, fmt.Errorf("list the host's routes: %w", err)
	}
	var used []netip.Prefix
	for _, a := range addrs {
		if a.LinkIndex != own {
			used = appendNet(used, a.IPNet)
		}
	}
	for _, r := range routes {
		if r.LinkIndex != own {
			used = appendNet(used, r.Dst)
		}
	}
	return used, nil
}

// appendNet adds what n covers, unless that is everything: a default route is no reason to avoid an address.
func appendNet(used []netip.Prefix, n *net.IPNet) []netip.Prefix {
	if n == nil {
		return used
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	if !ok || ones == 0 {
		return used
	}
	return append(used, netip.PrefixFrom(addr.Unmap(), ones).Masked())
}

// rangeRecord is the file that keeps a gantry's range.
type rangeRecord struct {
	Version int          `json:"version"`
	Range   netip.Prefix `json:"range"`
}

const rangeRecordVersion = 1

func (c *Config) rangeFile() string { return filepath.Join(c.Dir, "network.json") }

// readRange is the recorded range, or an invalid one if none was chosen yet.
func (c *Config) readRange() (netip.Prefix, error) {
	data, err := os.ReadFile(c.rangeFile())
	if errors.Is(err, fs.ErrNotExist) {
		return netip.Prefix{}, nil
	}
	if err != nil {
		return netip.Prefix{}, err
	}
	var r rangeRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return netip.Prefix{}, fmt.Errorf("read %s: %w", c.rangeFile(), err)
	}
	if r.Version > rangeRecordVersion {
		return netip.Prefix{}, fmt.Errorf("%s was written by a newer gantry", c.rangeFile())
	}
	return r.Range, nil
}

func (c *Config) writeRange(p netip.Prefix) error {
	data, err := json.Marshal(rangeRecord{rangeRecordVersion, p})
	if err != nil {
		return err
	}
	return writeFile(c.rangeFile(), data)
}

const (
	// chooserWait is how long an Open waits for another gantry's that is choosing: each needs a few milliseconds, and
	// on a busy machine more.
	chooserWait = time.Minute
	// chooserPoll is how often it looks. A name has nothing to wait on.
	chooserPoll = 5 * time.Millisecond
)

// lockChoice keeps every other gantry in this network namespace from choosing a range until unlock is called, so that no
// two choose the same. The lock is a name that ends with its holder, however that ends.
func lockChoice(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, chooserWait)
	defer cancel()
	for {
		l, err := net.Listen("unix", "@gantry-network-range")
		if err == nil {
			return func() { l.Close() }, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another gantry is choosing its address range: %w", err)
		case <-time.After(chooserPoll):
		}
	}
}
