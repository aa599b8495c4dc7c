package network

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Remove takes away all that the gantry with this identity has on the host: table, bridge, interfaces, namespaces and
// records. Nobody may have the network open: it serves `gantry down`, also when gantry itself is dead. Removing what is
// not there does nothing. Sysctls of the host (ip_forward) stay as they are, since others may rely on them by now.
func Remove(ctx context.Context, cfg Config) error {
	if err := cfg.check(); err != nil {
		return fmt.Errorf("remove container network: %w", err)
	}
	if err := remove(ctx, cfg); err != nil {
		return fmt.Errorf("remove container network %s: %w", cfg.bridgeName(), err)
	}
	return nil
}

func remove(ctx context.Context, cfg Config) error {
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer host.Close()
	none := func(SandboxID) bool { return false }
	errs := []error{
		newTable(cfg.bridgeName(), cfg.Pool, cfg.MetadataPort).delete(),
		closeFirewalls(cfg.bridgeName()),
	}
	links, err := cfg.hostLinks(host)
	errs = append(errs, err, removeLinks(host, links))
	errs = append(errs,
		removeLinks(host, []string{cfg.bridgeName()}),
		cfg.removePins(none),
		cfg.removeRecords(none),
		ctx.Err(),
	)
	if err := errors.Join(errs...); err != nil {
		return err // what is left stays recorded, for another try
	}
	return errors.Join(os.RemoveAll(cfg.pinDir()), os.RemoveAll(cfg.recordDir()), os.RemoveAll(cfg.rangeFile()))
}

// Remove closes the network and removes it with every container's.
func (n *Network) Remove(ctx context.Context) error {
	return errors.Join(n.Close(), Remove(ctx, n.cfg))
}
