package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// neighboursPorts is the host ports that the tables of other gantrys on this host send to their containers, each with the
// name of the table. A gantry that runs holds them too; one that is stopped does not, and its containers go on.
func neighboursPorts(own string) (map[hostPort]string, error) {
	conn, err := openNftables()
	if err != nil {
		return nil, err
	}
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyIPv4)
	if err != nil {
		return nil, fmt.Errorf("list nftables tables: %w", err)
	}
	ports := map[hostPort]string{}
	for _, kt := range tables {
		if kt.Name == own || !strings.HasPrefix(kt.Name, namePrefix) {
			continue
		}
		mapped, err := conn.GetSetElements(portMap(kt))
		if err != nil {
			// Its words do not tell whether the gantry was taken down meanwhile.
			if _, err := conn.GetSetByName(kt, portMap(kt).Name); errors.Is(err, unix.ENOENT) {
				continue
			}
			return nil, fmt.Errorf("read port map in nftables table %s: %w", kt.Name, err)
		}
		for _, e := range mapped {
			if p, ok := portOfKey(e.Key); ok {
				ports[p] = kt.Name
			}
		}
	}
	return ports, nil
}

// portOfKey is the reverse of what elements makes of a host port.
func portOfKey(key []byte) (hostPort, bool) {
	if len(key) < 8 {
		return hostPort{}, false
	}
	for _, p := range []Protocol{TCP, UDP} {
		if key[0] == p.number() {
			return hostPort{p, binary.BigEndian.Uint16(key[4:])}, true
		}
	}
	return hostPort{}, false
}
