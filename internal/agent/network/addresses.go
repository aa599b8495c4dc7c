package network

import (
	"fmt"
	"net/netip"
	"sync"
)

// An addressBook hands out the addresses of one range. An address that was returned comes up again only after all the
// others, so that a neighbour's stale idea of it has time to pass.
type addressBook struct {
	prefix netip.Prefix

	mu    sync.Mutex
	taken map[netip.Addr]SandboxID // guarded by mu
	last  netip.Addr               // guarded by mu; handed out last
}

// newAddressBook leaves out the network address, the bridge's own (the first) and the broadcast address.
func newAddressBook(prefix netip.Prefix) *addressBook {
	return &addressBook{
		prefix: prefix,
		taken:  map[netip.Addr]SandboxID{},
		last:   prefix.Addr().Next(),
	}
}

// assignable says whether a container may have the address.
func (b *addressBook) assignable(a netip.Addr) bool {
	first := b.prefix.Addr()
	return b.prefix.Contains(a) && a != first && a != first.Next() && b.prefix.Contains(a.Next())
}

// take gives owner the next free address.
func (b *addressBook) take(owner SandboxID) (netip.Addr, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for a := b.last.Next(); a != b.last; a = a.Next() {
		if !b.prefix.Contains(a) {
			a = b.prefix.Addr()
		}
		if _, used := b.taken[a]; b.assignable(a) && !used {
			b.taken[a], b.last = owner, a
			return a, nil
		}
		if a == b.last {
			break
		}
	}
	return netip.Addr{}, fmt.Errorf("no free address is left in %s", b.prefix)
}

// claim gives owner an address it had before; false if it is not free or not one of this range.
func (b *addressBook) claim(a netip.Addr, owner SandboxID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, used := b.taken[a]; used || !b.assignable(a) {
		return false
	}
	b.taken[a] = owner
	if b.last.Less(a) {
		b.last = a
	}
	return true
}

// release takes back what owner has of a; what another has is left alone.
func (b *addressBook) release(a netip.Addr, owner SandboxID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken[a] == owner {
		delete(b.taken, a)
	}
}
