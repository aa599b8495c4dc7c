package network

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
)

// forwardMark is on the rules that we put into somebody else's chain, so that we find them again.
func forwardMark(bridge string) []byte {
	return userdata.AppendString(nil, userdata.TypeComment, "containers of "+bridge)
}

// allowForwarding lets containers' packets through where another firewall on the host (Docker, ufw) drops whatever is
// forwarded unless it knows it. A table of our own cannot overrule that: what one chain drops is dropped. So the first
// rules of each such chain accept what comes from or goes to our bridge; our own table has judged it already.
func allowForwarding(bridge string) error {
	return changeForwarding(bridge, func(conn *nftables.Conn, c *nftables.Chain) {
		for _, match := range [][]expr.Any{iifname(expr.CmpOpEq, bridge), oifname(expr.CmpOpEq, bridge)} {
			conn.InsertRule(&nftables.Rule{
				Table:    c.Table,
				Chain:    c,
				UserData: forwardMark(bridge),
				Exprs:    append(match, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept}),
			})
		}
	})
}

// disallowForwarding takes those rules away.
func disallowForwarding(bridge string) error {
	return changeForwarding(bridge, func(*nftables.Conn, *nftables.Chain) {})
}

// changeForwarding deletes our rules from every IPv4 chain that drops forwarded packets by default, and lets add put new
// ones there, in one transaction.
func changeForwarding(bridge string, add func(*nftables.Conn, *nftables.Chain)) error {
	conn, err := openNftables()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyIPv4)
	if err != nil {
		return fmt.Errorf("list nftables chains: %w", err)
	}
	var errs []error
	for _, c := range chains {
		if c.Hooknum == nil || *c.Hooknum != *nftables.ChainHookForward || c.Policy == nil || *c.Policy != nftables.ChainPolicyDrop {
			continue
		}
		rules, err := conn.GetRules(c.Table, c)
		errs = append(errs, err)
		for _, r := range rules {
			if bytes.Equal(r.UserData, forwardMark(bridge)) {
				errs = append(errs, conn.DelRule(r))
			}
		}
		add(conn, c)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("read the host's forward chains: %w", err)
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("change the host's forward chains: %w", err)
	}
	return nil
}
