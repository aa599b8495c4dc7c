package network

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// forgetFlows makes the kernel decide anew where an attachment's UDP ports lead. A connection of TCP ends with its
// container; a UDP sender that goes on sending keeps the way it was once given, also to a container that is gone.
func forgetFlows(host *netlink.Handle, a Attachment) error {
	flows := udpFlows(a)
	if len(flows) == 0 {
		return nil
	}
	conntrack, err := netlink.NewHandle(unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer conntrack.Close()
	_, err = conntrack.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, flows)
	// A flow that ended by itself meanwhile was not found; an interrupted listing tells only of what it could not see.
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("forget the UDP flows of container %s: %w", a.ID, err)
	}
	return nil
}

// udpPorts matches the flows that were sent to some host ports.
type udpPorts []PortRange

// MatchConntrackFlow is asked once for every flow of the host.
func (p udpPorts) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	if flow.Forward.Protocol != unix.IPPROTO_UDP {
		return false
	}
	for _, r := range p {
		if flow.Forward.DstPort >= r.First && flow.Forward.DstPort <= r.Last {
			return true
		}
	}
	return false
}

func udpFlows(a Attachment) udpPorts {
	var ports udpPorts
	for _, b := range a.Bindings {
		if b.Protocol == UDP {
			ports = append(ports, b.hostPorts())
		}
	}
	return ports
}
