package network

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// firewallMark is on the rules that we put into somebody else's chain, so that we find them again.
func firewallMark(bridge string) []byte {
	return userdata.AppendString(nil, userdata.TypeComment, "containers of "+bridge)
}

// letThrough lets containers' packets through where another firewall on the host (Docker, ufw) drops whatever it does not
// know. A table of our own cannot overrule that: what one chain drops is dropped. So the first rules of each such chain
// accept what comes from or goes to our bridge, which our own table has judged already, and calls to the metadata server.
func letThrough(bridge string, metadata netip.AddrPort) error {
	accept := []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept}}
	return changeFirewalls(bridge, func(hook nftables.ChainHook) (rules [][]expr.Any) {
		fromBridge, toBridge := iifname(expr.CmpOpEq, bridge), oifname(expr.CmpOpEq, bridge)
		if hook == *nftables.ChainHookForward {
			return [][]expr.Any{append(fromBridge, accept...), append(toBridge, accept...)}
		}
		rule := append(fromBridge, overIPv4()...)
		rule = append(rule, destination(expr.CmpOpEq, netip.PrefixFrom(metadata.Addr(), 32))...)
		rule = append(rule, tcpTo(metadata.Port())...)
		return [][]expr.Any{append(rule, accept...)}
	})
}

// overIPv4 is needed in chains that see IPv6 too.
func overIPv4() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{unix.NFPROTO_IPV4}},
	}
}

// closeFirewalls takes those rules away.
func closeFirewalls(bridge string) error {
	return changeFirewalls(bridge, func(nftables.ChainHook) [][]expr.Any { return nil })
}

// changeFirewalls replaces our rules in every chain that drops incoming or forwarded packets by default, in one
// transaction.
func changeFirewalls(bridge string, rules func(nftables.ChainHook) [][]expr.Any) error {
	conn, err := openNftables()
	if err != nil {
		return err
	}
	chains, err := droppingChains(conn)
	if err != nil {
		return fmt.Errorf("list the host's firewall chains: %w", err)
	}
	var errs []error
	for _, c := range chains {
		old, err := conn.GetRules(c.Table, c)
		errs = append(errs, err)
		for _, r := range old {
			if bytes.Equal(r.UserData, firewallMark(bridge)) {
				errs = append(errs, conn.DelRule(r))
			}
		}
		for _, r := range rules(*c.Hooknum) {
			conn.InsertRule(&nftables.Rule{Table: c.Table, Chain: c, UserData: firewallMark(bridge), Exprs: r})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("read the host's firewall chains: %w", err)
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("change the host's firewall chains: %w", err)
	}
	return nil
}

// droppingChains is every chain on the host that sees IPv4 packets come in or pass, and drops them unless a rule accepts.
func droppingChains(conn *nftables.Conn) ([]*nftables.Chain, error) {
	var found []*nftables.Chain
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyINet} {
		chains, err := conn.ListChainsOfTableFamily(family)
		if err != nil {
			return nil, err
		}
		for _, c := range chains {
			if c.Hooknum == nil || c.Policy == nil || *c.Policy != nftables.ChainPolicyDrop {
				continue
			}
			if *c.Hooknum == *nftables.ChainHookForward || *c.Hooknum == *nftables.ChainHookInput {
				found = append(found, c)
			}
		}
	}
	return found, nil
}
