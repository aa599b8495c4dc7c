package network

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers of 16 bytes (reg1, reg2) and, inside the first, the second of its 4-byte parts.
const (
	reg1       = 1
	reg2       = 2
	reg1Second = 9
)

// addRules says what happens to packets. In words, where "the range" is this gantry's container addresses:
//
//	guard        from the bridge: only with a source in the range, and never to the host's own loopback, which
//	             route_localnet would otherwise open to containers
//	prerouting   from the bridge to 169.254.170.2:80 → the metadata server
//	             to any address of this host → whom the map of host ports names
//	output       the same two for the host's own programs and containers in host mode
//	forward      to the bridge from elsewhere: only answers, and what came by a host port
//	input        to the bridge's address, where the metadata server listens: only from this host and its containers
//	postrouting  to the bridge from loopback, or from the range by a host port → with the bridge's address, so that the
//	             answer comes back this way
//	             from the range to elsewhere → with this host's address
func (t *table) addRules(conn *nftables.Conn, kt *nftables.Table, ports *nftables.Set) {
	gateway := t.prefix.Addr().Next()
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	fromBridge, notFromBridge := iifname(expr.CmpOpEq, t.name), iifname(expr.CmpOpNeq, t.name)
	toBridge, notToBridge := oifname(expr.CmpOpEq, t.name), oifname(expr.CmpOpNeq, t.name)
	accept := nftables.ChainPolicyAccept
	chain := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority) func(...[]expr.Any) {
		c := conn.AddChain(&nftables.Chain{Name: name, Table: kt, Type: kind, Hooknum: hook, Priority: priority, Policy: &accept})
		return func(parts ...[]expr.Any) {
			rule := &nftables.Rule{Table: kt, Chain: c}
			for _, p := range parts {
				rule.Exprs = append(rule.Exprs, p...)
			}
			conn.AddRule(rule)
		}
	}
	metadata := [][]expr.Any{
		destination(expr.CmpOpEq, netip.PrefixFrom(MetadataIP, 32)), tcpTo(80), dnatTo(netip.AddrPortFrom(gateway, t.metadata)),
	}
	hostPorts := [][]expr.Any{toThisHost(), dnatByMap(ports)}

	guard := chain("guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	guard(fromBridge, destination(expr.CmpOpEq, loopback), drop())
	guard(fromBridge, source(expr.CmpOpNeq, t.prefix), drop())

	pre := chain("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	pre(append([][]expr.Any{fromBridge}, metadata...)...)
	pre(hostPorts...)

	out := chain("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	out(metadata...)
	out(hostPorts...)

	forward := chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	forward(notFromBridge, toBridge, ctLacks(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED),
		ctLacks(expr.CtKeySTATUS, statusDNAT), drop())

	input := chain("input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter)
	input(notFromBridge, iifname(expr.CmpOpNeq, "lo"), destination(expr.CmpOpEq, netip.PrefixFrom(gateway, 32)), drop())

	post := chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	post(toBridge, source(expr.CmpOpEq, loopback), masquerade())
	post(toBridge, source(expr.CmpOpEq, t.prefix), ctHas(expr.CtKeySTATUS, statusDNAT), masquerade())
	post(notToBridge, source(expr.CmpOpEq, t.prefix), masquerade())
}

// statusDNAT marks a connection whose destination was translated (IPS_DST_NAT in linux/netfilter/nf_conntrack_common.h).
const statusDNAT = 1 << 5

func iifname(op expr.CmpOp, name string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}, &expr.Cmp{Op: op, Register: reg1, Data: linkName(name)}}
}

func oifname(op expr.CmpOp, name string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1}, &expr.Cmp{Op: op, Register: reg1, Data: linkName(name)}}
}

// linkName pads a name to the width in which the kernel compares whole names.
func linkName(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

func source(op expr.CmpOp, p netip.Prefix) []expr.Any      { return address(12, op, p) }
func destination(op expr.CmpOp, p netip.Prefix) []expr.Any { return address(16, op, p) }

// address compares the address at an offset in the IPv4 header.
func address(offset uint32, op expr.CmpOp, p netip.Prefix) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: ipNet(p).Mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: op, Register: reg1, Data: p.Masked().Addr().AsSlice()},
	}
}

func tcpTo(port uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{unix.IPPROTO_TCP}},
		destinationPort(reg1),
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: binary.BigEndian.AppendUint16(nil, port)},
	}
}

// destinationPort loads the port that TCP and UDP both have at offset 2.
func destinationPort(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

// toThisHost is whether the destination is one of the host's own addresses.
func toThisHost() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: reg1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)},
	}
}

// dnatByMap looks protocol and destination port up and sends the packet to what is found; what is not found goes on.
func dnatByMap(ports *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
		destinationPort(reg1Second),
		&expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetID: ports.ID, SetName: ports.Name},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg1, RegProtoMin: reg1Second, Specified: true},
	}
}

func dnatTo(target netip.AddrPort) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: reg1, Data: target.Addr().AsSlice()},
		&expr.Immediate{Register: reg2, Data: binary.BigEndian.AppendUint16(nil, target.Port())},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg1, RegProtoMin: reg2, Specified: true},
	}
}

func ctHas(key expr.CtKey, bits uint32) []expr.Any   { return ct(key, bits, expr.CmpOpNeq) }
func ctLacks(key expr.CtKey, bits uint32) []expr.Any { return ct(key, bits, expr.CmpOpEq) }

// ct compares some bits of what the kernel knows about a packet's connection with zero.
func ct(key expr.CtKey, bits uint32, op expr.CmpOp) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: reg1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: binary.NativeEndian.AppendUint32(nil, bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: op, Register: reg1, Data: make([]byte, 4)},
	}
}

func drop() []expr.Any       { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }
func masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }
