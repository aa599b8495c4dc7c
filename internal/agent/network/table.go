package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// mapChunk is how many entries of the port map travel in one message, whose list may have 64 KiB in all.
	mapChunk = 512
	// batchBuffer is room for a transaction of some 20,000 entries: a whole table is replaced at once.
	batchBuffer = 4 << 20
)

// A table is one gantry's nftables table: what its rules say is in rules.go, and here is how the map of host ports in it
// is kept. The truth is here; the kernel's copy is made anew whenever it turns out that another program flushed it.
type table struct {
	name     string // also the bridge's
	prefix   netip.Prefix
	metadata uint16

	mu     sync.Mutex               // held through a transaction, so that the kernel sees them in order
	mapped map[SandboxID]Attachment // guarded by mu
}

func newTable(name string, prefix netip.Prefix, metadata uint16) *table {
	return &table{name: name, prefix: prefix, metadata: metadata, mapped: map[SandboxID]Attachment{}}
}

func openNftables() (*nftables.Conn, error) {
	return nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		// Both are requests: a smaller buffer serves smaller tables, and the transaction says so if it does not fit.
		return errors.Join(c.SetWriteBuffer(batchBuffer), c.SetReadBuffer(batchBuffer))
	}))
}

func (t *table) kernelTable() *nftables.Table {
	return &nftables.Table{Name: t.name, Family: nftables.TableFamilyIPv4}
}

// portMap is (protocol, host port) → (container address, container port).
func (t *table) portMap(kt *nftables.Table) *nftables.Set {
	return &nftables.Set{
		Table:    kt,
		Name:     "host_ports",
		IsMap:    true,
		KeyType:  nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService),
		DataType: nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService),
	}
}

// load makes the table with the ports of what is attached already.
func (t *table) load(attached map[SandboxID]Attachment) error {
	t.mu.Lock()
	maps.Copy(t.mapped, attached)
	t.mu.Unlock()
	return t.rebuild()
}

// rebuild replaces the whole table in one step: no packet sees it half made.
func (t *table) rebuild() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rebuildLocked()
}

func (t *table) rebuildLocked() error {
	conn, err := openNftables()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	kt := conn.AddTable(t.kernelTable()) // so that deleting it cannot fail
	conn.DelTable(kt)
	conn.AddTable(kt)
	ports := t.portMap(kt)
	if err := conn.AddSet(ports, nil); err != nil {
		return fmt.Errorf("make port map: %w", err)
	}
	for _, a := range t.mapped {
		if err := inChunks(elements(a), func(e []nftables.SetElement) error { return conn.SetAddElements(ports, e) }); err != nil {
			return fmt.Errorf("map the ports of container %s: %w", a.ID, err)
		}
	}
	t.addRules(conn, kt, ports)
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("write nftables table %s: %w", t.name, err)
	}
	return nil
}

// add maps the attachment's ports.
func (t *table) add(a Attachment) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mapped[a.ID] = a
	err := t.change(a, (*nftables.Conn).SetAddElements)
	if errors.Is(err, unix.ENOENT) {
		err = t.rebuildLocked()
	}
	if err != nil {
		delete(t.mapped, a.ID)
	}
	return err
}

// remove takes the attachment's ports out of the map.
func (t *table) remove(a Attachment) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mapped, a.ID)
	err := t.change(a, (*nftables.Conn).SetDeleteElements)
	if errors.Is(err, unix.ENOENT) {
		err = t.rebuildLocked()
	}
	return err
}

func (t *table) change(a Attachment, how func(*nftables.Conn, *nftables.Set, []nftables.SetElement) error) error {
	conn, err := openNftables()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	ports := t.portMap(t.kernelTable())
	err = inChunks(elements(a), func(e []nftables.SetElement) error { return how(conn, ports, e) })
	if err == nil {
		err = conn.Flush()
	}
	if err != nil {
		return fmt.Errorf("change port map in nftables table %s: %w", t.name, err)
	}
	return nil
}

// delete removes the table with all that is in it.
func (t *table) delete() error {
	conn, err := openNftables()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	kt := conn.AddTable(t.kernelTable())
	conn.DelTable(kt)
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("delete nftables table %s: %w", t.name, err)
	}
	return nil
}

func inChunks(all []nftables.SetElement, do func([]nftables.SetElement) error) error {
	for len(all) > 0 {
		n := min(mapChunk, len(all))
		if err := do(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// elements is the attachment's part of the port map.
func elements(a Attachment) []nftables.SetElement {
	var all []nftables.SetElement
	if a.Mode != ModeBridge {
		return nil
	}
	for _, b := range a.Bindings {
		host, container := b.hostPorts(), b.containerPorts()
		for i := range host.Len() {
			all = append(all, nftables.SetElement{
				Key: append(protocolKey(b.Protocol), portKey(host.First+uint16(i))...),
				Val: append(a.IP.AsSlice(), portKey(container.First+uint16(i))...),
			})
		}
	}
	return all
}

// protocolKey and portKey are parts of a concatenation, each of which fills whole registers of 4 bytes.
func protocolKey(p Protocol) []byte {
	return []byte{p.number(), 0, 0, 0}
}

func portKey(port uint16) []byte {
	return append(binary.BigEndian.AppendUint16(nil, port), 0, 0)
}

// number is the protocol's number in an IP header.
func (p Protocol) number() byte {
	if p == UDP {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
}
