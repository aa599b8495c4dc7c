package network

import (
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// tearDown removes a detached container's interface and namespace in the background. The kernel takes some 30 ms for
// an interface, in which no other may be made, and no longer for many at once: so one goroutine takes all that have
// come together while it was busy with those before.
func (n *Network) tearDown(a Attachment) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leaving = append(n.leaving, a)
	if !n.tearing {
		n.tearing = true
		n.background.Go(n.tearDownAll)
	}
}

func (n *Network) tearDownAll() {
	for {
		n.mu.Lock()
		batch := n.leaving
		n.leaving = nil
		n.tearing = len(batch) > 0
		n.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		if err := n.tearDownBatch(batch); err != nil {
			n.log.Warn("container networks not removed; the next reconciliation tries again", "err", err)
		}
		n.mu.Lock()
		for _, a := range batch {
			delete(n.busy, a.ID)
		}
		n.mu.Unlock()
	}
}

// tearDownBatch removes some containers' interfaces and namespaces and frees their addresses.
func (n *Network) tearDownBatch(batch []Attachment) error {
	// A handle of its own, since whoever attaches meanwhile would else wait for this one's answer.
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer host.Close()
	var links []string
	for _, a := range batch {
		if a.Mode == ModeBridge {
			links = append(links, n.cfg.hostLink(a.ID))
		}
	}
	errs := []error{removeLinks(host, links)}
	for _, a := range batch {
		if a.NamespacePath != "" {
			errs = append(errs, removeNamespace(a.NamespacePath))
		}
		n.addresses.release(a.IP, a.ID)
	}
	return errors.Join(errs...)
}

// removeLinks deletes the host's interfaces of these names, as far as they are there. Several are first put into a group
// that is then deleted as one.
func removeLinks(host *netlink.Handle, names []string) error {
	var found []netlink.Link
	var errs []error
	for _, name := range names {
		link, err := host.LinkByName(name)
		if err == nil {
			found = append(found, link)
		} else if !isMissing(err) {
			errs = append(errs, fmt.Errorf("find interface %s: %w", name, err))
		}
	}
	if len(found) > 1 && removeGroup(host, found) == nil {
		return errors.Join(errs...)
	}
	// One alone; or the kernel refused the group, and then says below what it has against each.
	for _, link := range found {
		if err := host.LinkDel(link); err != nil && !isMissing(err) {
			errs = append(errs, fmt.Errorf("delete interface %s: %w", link.Attrs().Name, err))
		}
	}
	return errors.Join(errs...)
}

func isMissing(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing) || errors.Is(err, unix.ENODEV)
}

// removeGroup deletes links as one. Their group's number is made from their own names, so that it is nobody else's.
func removeGroup(host *netlink.Handle, links []netlink.Link) error {
	h := fnv.New32a()
	for _, l := range links {
		h.Write([]byte(l.Attrs().Name))
	}
	group := h.Sum32() | 1<<30 // far from the small numbers that people choose
	group &^= 1 << 31
	for _, l := range links {
		if err := host.LinkSetGroup(l, int(group)); err != nil && !isMissing(err) {
			return err
		}
	}
	request := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	request.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(group)))
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
