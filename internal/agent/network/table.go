package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"

	"github.com/google/nftables"
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
	// conn is kept, because closing one waits some 10 ms for what was deleted through it to be let go; nil until it is
	// needed, and after an error, whose other half may still be in it. Guarded by mu.
	conn *nftables.Conn
}

func newTable(name string, prefix netip.Prefix, metadata uint16) *table {
	return &table{name: name, prefix: prefix, metadata: metadata, mapped: map[SandboxID]Attachment{}}
}

// openNftables prepares a connection; with AsLasting it is kept open, else it is made for each transaction.
func openNftables(options ...nftables.ConnOption) (*nftables.Conn, error) {
	conn, err := nftables.New(append(options, nftables.WithSockOptions(makeRoom))...)
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return conn, nil
}

// makeRoom gives a connection buffers for a large transaction and its answers.
func makeRoom[C interface {
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
}](conn C) error {
	return errors.Join(conn.SetReadBuffer(batchBuffer), conn.SetWriteBuffer(batchBuffer))
}

// transactLocked lets prepare queue changes and makes them, all or none.
func (t *table) transactLocked(prepare func(*nftables.Conn) error) (err error) {
	if t.conn == nil {
		if t.conn, err = openNftables(nftables.AsLasting()); err != nil {
			return err
		}
	}
	if err = prepare(t.conn); err == nil {
		err = t.conn.Flush()
	}
	if err != nil {
		err = errors.Join(err, t.conn.CloseLasting())
		t.conn = nil
	}
	return err
}

// close lets go of the connection; the kernel keeps the table.
func (t *table) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil {
		return nil
	}
	err := t.conn.CloseLasting()
	t.conn = nil
	return err
}

func (t *table) kernelTable() *nftables.Table {
	return &nftables.Table{Name: t.name, Family: nftables.TableFamilyIPv4}
}

// portMap is (protocol, host port) → (container address, container port).
func portMap(kt *nftables.Table) *nftables.Set {
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
	err := t.transactLocked(func(conn *nftables.Conn) error {
		kt := conn.AddTable(t.kernelTable()) // so that deleting it cannot fail
		conn.DelTable(kt)
		conn.AddTable(kt)
		ports := portMap(kt)
		if err := conn.AddSet(ports, nil); err != nil {
			return err
		}
		for _, a := range t.mapped {
			if err := inChunks(elements(a), func(e []nftables.SetElement) error { return conn.SetAddElements(ports, e) }); err != nil {
				return err
			}
		}
		t.addRules(conn, kt, ports)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write nftables table %s: %w", t.name, err)
	}
	return nil
}

// add maps the attachment's ports.
func (t *table) add(a Attachment) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mapped[a.ID] = a
	err := t.changeLocked(a, (*nftables.Conn).SetAddElements)
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
	err := t.changeLocked(a, (*nftables.Conn).SetDeleteElements)
	if errors.Is(err, unix.ENOENT) {
		err = t.rebuildLocked()
	}
	return err
}

func (t *table) changeLocked(a Attachment, how func(*nftables.Conn, *nftables.Set, []nftables.SetElement) error) error {
	err := t.transactLocked(func(conn *nftables.Conn) error {
		ports := portMap(t.kernelTable())
		return inChunks(elements(a), func(e []nftables.SetElement) error { return how(conn, ports, e) })
	})
	if err != nil {
		return fmt.Errorf("change port map in nftables table %s: %w", t.name, err)
	}
	return nil
}

// delete removes the table with all that is in it.
func (t *table) delete() error {
	conn, err := openNftables()
	if err != nil {
		return err
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
