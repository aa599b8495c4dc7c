package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Attach gives a container its network and returns once that works. Asked again for a container that has one, it
// answers with that, so a caller that does not know whether an earlier call went through just asks again. Asked while
// the container's former network is being removed or made, it refuses.
//
// It gives all or nothing. A host port that is taken is a *PortInUseError.
func (n *Network) Attach(ctx context.Context, r Request) (Attachment, error) {
	if err := r.check(); err != nil {
		return Attachment{}, fmt.Errorf("attach container %s to network: %w", r.ID, err)
	}
	a, found, err := n.begin(ctx, r.ID)
	if err != nil || found {
		return a, err
	}
	a, err = n.attach(ctx, r)
	n.mu.Lock()
	if err == nil {
		n.attached[r.ID] = a
	}
	delete(n.busy, r.ID)
	n.mu.Unlock()
	if err != nil {
		return Attachment{}, fmt.Errorf("attach container %s to network: %w", r.ID, err)
	}
	return a, nil
}

// begin marks id as being worked on, or finds that it is attached already.
func (n *Network) begin(ctx context.Context, id SandboxID) (a Attachment, found bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a, ok := n.attached[id]; ok {
		return a, true, nil
	}
	if n.busy[id] {
		return Attachment{}, false, fmt.Errorf("attach container %s to network: it is being attached or removed", id)
	}
	if err := ctx.Err(); err != nil {
		return Attachment{}, false, err
	}
	n.busy[id] = true
	return Attachment{}, false, nil
}

func (n *Network) attach(ctx context.Context, r Request) (a Attachment, err error) {
	a = Attachment{ID: r.ID, Mode: r.Mode}
	switch r.Mode {
	case ModeHost:
		for _, p := range r.Ports {
			b := unbound(p)
			b.HostPort, b.HostPortRange = b.ContainerPort, b.ContainerPortRange
			a.Bindings = append(a.Bindings, b)
		}
		return a, n.cfg.writeRecord(a)
	case ModeNone:
		a.NamespacePath = n.cfg.pin(r.ID)
		inside, err := makeNamespace(a.NamespacePath)
		if err != nil {
			return a, err
		}
		inside.Close()
	case ModeBridge:
		if a, err = n.attachBridge(ctx, r); err != nil {
			return a, err
		}
	}
	if err = ctx.Err(); err == nil {
		err = n.cfg.writeRecord(a)
	}
	if err != nil {
		err = errors.Join(err, n.unmap(a), n.unmake(a))
	}
	return a, err
}

// attachBridge takes ports and an address and makes namespace, link and port map. On error nothing is left.
func (n *Network) attachBridge(ctx context.Context, r Request) (a Attachment, err error) {
	a = Attachment{ID: r.ID, Mode: r.Mode, NamespacePath: n.cfg.pin(r.ID)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.unmake(a))
		}
	}()
	if a.Bindings, err = n.ports.bind(r.ID, r.Ports); err != nil {
		return a, err
	}
	if a.IP, err = n.addresses.take(r.ID); err != nil {
		return a, err
	}
	inside, err := makeNamespace(a.NamespacePath)
	if err != nil {
		return a, err
	}
	defer inside.Close()
	if err := n.plug(ctx, r.ID, a.NamespacePath, inside, a.IP); err != nil {
		return a, err
	}
	if err := n.mapPorts(a); err != nil {
		return a, err
	}
	return a, nil
}

// mapPorts sends the attachment's host ports to its address, all of them or none.
func (n *Network) mapPorts(a Attachment) error {
	if len(a.Bindings) == 0 {
		return nil
	}
	if err := n.table.add(a); err != nil {
		return err
	}
	if err := forgetFlows(n.host, a); err != nil {
		return errors.Join(err, n.table.remove(a))
	}
	return nil
}

// unmap is the reverse of mapPorts.
func (n *Network) unmap(a Attachment) error {
	if a.Mode != ModeBridge || len(a.Bindings) == 0 {
		return nil
	}
	if err := n.table.remove(a); err != nil {
		return err
	}
	return forgetFlows(n.host, a)
}

// unmake removes what a failed Attach has made, as far as it is there.
func (n *Network) unmake(a Attachment) error {
	if a.Mode == ModeHost {
		return nil
	}
	n.ports.release(a.ID)
	err := errors.Join(removeLinks(n.host, []string{n.cfg.hostLink(a.ID)}), removeNamespace(a.NamespacePath))
	n.addresses.release(a.IP, a.ID)
	return err
}

// Detach takes a container's network away. When it returns the host ports are free and lead nowhere; interface and
// namespace go in the background, which Close awaits. Detaching what is not attached does nothing.
func (n *Network) Detach(ctx context.Context, id SandboxID) error {
	n.mu.Lock()
	a, ok := n.attached[id]
	if ok {
		delete(n.attached, id)
		n.busy[id] = true
	}
	n.mu.Unlock()
	if !ok {
		return nil
	}
	err := errors.Join(n.unmap(a), n.cfg.removeRecord(id))
	n.ports.release(id)
	n.tearDown(a)
	if err != nil {
		return fmt.Errorf("detach container %s from network: %w", id, err)
	}
	return nil
}

// Counters is what passed a container's interface since it was attached, as the container sees it: received is what
// came to it.
type Counters struct {
	RxBytes, RxPackets, RxErrors, RxDropped uint64
	TxBytes, TxPackets, TxErrors, TxDropped uint64
}

// Counters reads a container's interface. Containers without one of their own (modes host and none) answer false.
func (n *Network) Counters(id SandboxID) (Counters, bool, error) {
	n.mu.Lock()
	a, ok := n.attached[id]
	n.mu.Unlock()
	if !ok || a.Mode != ModeBridge {
		return Counters{}, false, nil
	}
	link, err := n.host.LinkByName(n.cfg.hostLink(id))
	if err != nil {
		return Counters{}, false, fmt.Errorf("read network counters of container %s: %w", id, err)
	}
	return seenFromInside(link.Attrs().Statistics), true, nil
}

// seenFromInside turns the counters of the host's end around: what the host sent there, the container received.
func seenFromInside(s *netlink.LinkStatistics) Counters {
	if s == nil {
		return Counters{}
	}
	return Counters{
		RxBytes: s.TxBytes, RxPackets: s.TxPackets, RxErrors: s.TxErrors, RxDropped: s.TxDropped,
		TxBytes: s.RxBytes, TxPackets: s.RxPackets, TxErrors: s.RxErrors, TxDropped: s.RxDropped,
	}
}

// Lookup is a container's network, if it has one.
func (n *Network) Lookup(id SandboxID) (Attachment, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a, ok := n.attached[id]
	return a, ok
}

// LookupIP finds the container that has an address: who it was that called.
func (n *Network) LookupIP(ip netip.Addr) (SandboxID, bool) {
	n.addresses.mu.Lock()
	defer n.addresses.mu.Unlock()
	id, ok := n.addresses.taken[ip]
	return id, ok
}
