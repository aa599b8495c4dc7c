package taskdef

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

const (
	maxPort = 65535
	// maxPortRanges is the number of containerPortRanges that ECS takes for one container.
	maxPortRanges = 100
)

// portName is what ECS takes as the name of a port mapping.
var portName = regexp.MustCompile(`^[a-z0-9_][a-z0-9_-]{0,63}$`)

// mode is the network mode that counts: bridge where none was given, since
// gantry's container instances are Linux.
func mode(def *ecsapi.TaskDefinition) ecsapi.NetworkMode {
	if def.NetworkMode == "" {
		return ecsapi.NetworkModeBridge
	}
	return def.NetworkMode
}

// checkNetwork checks what depends on the network mode: port mappings, links, names.
func checkNetwork(def *ecsapi.TaskDefinition) error {
	taken, names := map[string]string{}, map[string]bool{}
	for i := range def.ContainerDefinitions {
		c := &def.ContainerDefinitions[i]
		if len(c.Links) > 0 && mode(def) != ecsapi.NetworkModeBridge {
			return client("Links are not supported when networkMode=%s.", mode(def))
		}
		if wire.Value(c.Hostname) != "" && mode(def) == ecsapi.NetworkModeAwsvpc {
			return client("The hostname parameter is not supported when networkMode=awsvpc.")
		}
		if len(c.PortMappings) > 0 && mode(def) == ecsapi.NetworkModeNone {
			return client("Port mappings are not supported when networkMode=none.")
		}
		if err := checkPorts(def, c, taken, names); err != nil {
			return err
		}
	}
	return nil
}

// checkPorts checks one container's mappings; taken and names carry host ports
// (with the container that has them) and mapping names over all containers.
func checkPorts(def *ecsapi.TaskDefinition, c *ecsapi.ContainerDefinition, taken map[string]string, names map[string]bool) error {
	ranges, protocols := 0, map[int32]ecsapi.TransportProtocol{}
	for _, p := range c.PortMappings {
		if p.ContainerPortRange != nil {
			if ranges++; ranges > maxPortRanges {
				return client("Container '%s' has more than %d port ranges.", *c.Name, maxPortRanges)
			}
			if err := checkPortRange(def, c, p); err != nil {
				return err
			}
		} else if err := checkPort(def, c, p, protocols); err != nil {
			return err
		}
		if host := hostPort(def, p); host != 0 {
			key := fmt.Sprintf("%d/%s", host, protocol(p))
			if other, ok := taken[key]; ok {
				return client("Invalid 'hostPort' setting for container '%s'. Host port %s is already used by container '%s' of the same task definition.", *c.Name, key, other)
			}
			taken[key] = *c.Name
		}
		if p.Name != nil {
			if !portName.MatchString(*p.Name) {
				return client("Invalid name '%s' of a port mapping of container '%s'. Lower-case letters, digits, '_' and '-' are allowed.", wire.Shorten(*p.Name), *c.Name)
			}
			if names[*p.Name] {
				return client("Port mapping names must be unique: '%s' is used more than once.", *p.Name)
			}
			names[*p.Name] = true
		}
	}
	return nil
}

func checkPort(def *ecsapi.TaskDefinition, c *ecsapi.ContainerDefinition, p ecsapi.PortMapping, protocols map[int32]ecsapi.TransportProtocol) error {
	port := wire.Value(p.ContainerPort)
	if port < 1 || port > maxPort {
		return client("Invalid 'containerPort' setting for container '%s'.", *c.Name)
	}
	if host := wire.Value(p.HostPort); host < 0 || host > maxPort {
		return client("Invalid 'hostPort' setting for container '%s'.", *c.Name)
	}
	if m := mode(def); m == ecsapi.NetworkModeAwsvpc || m == ecsapi.NetworkModeHost {
		if host := wire.Value(p.HostPort); host != 0 && host != port {
			return client("When networkMode=%s, the host ports and container ports in port mappings must match.", m)
		}
	}
	if other, ok := protocols[port]; ok && other != protocol(p) {
		return client("Container '%s' exposes container port %d for more than one protocol, which is not supported.", *c.Name, port)
	}
	protocols[port] = protocol(p)
	return nil
}

func checkPortRange(def *ecsapi.TaskDefinition, c *ecsapi.ContainerDefinition, p ecsapi.PortMapping) error {
	if _, _, ok := PortRange(*p.ContainerPortRange); !ok {
		return client("Invalid 'containerPortRange' setting for container '%s'. It should read first-last.", *c.Name)
	}
	if p.ContainerPort != nil || p.HostPort != nil {
		return client("Invalid 'containerPortRange' setting for container '%s'. It excludes 'containerPort' and 'hostPort'.", *c.Name)
	}
	if m := mode(def); m != ecsapi.NetworkModeBridge && m != ecsapi.NetworkModeAwsvpc {
		return client("Invalid 'containerPortRange' setting for container '%s'. It is supported when networkMode is bridge or awsvpc.", *c.Name)
	}
	return nil
}

// PortRange reads "first-last", both within 1 to 65535.
func PortRange(text string) (first, last uint16, ok bool) {
	a, b, found := strings.Cut(text, "-")
	x, errX := strconv.ParseUint(strings.TrimSpace(a), 10, 16)
	y, errY := strconv.ParseUint(strings.TrimSpace(b), 10, 16)
	if !found || errX != nil || errY != nil || x == 0 || x > y {
		return 0, 0, false
	}
	return uint16(x), uint16(y), true
}

func protocol(p ecsapi.PortMapping) ecsapi.TransportProtocol {
	if p.Protocol == "" {
		return ecsapi.TransportProtocolTcp
	}
	return p.Protocol
}

// hostPort is the port that a mapping takes on the instance; 0 where the agent
// picks one, or the task has an address of its own.
func hostPort(def *ecsapi.TaskDefinition, p ecsapi.PortMapping) uint16 {
	switch mode(def) {
	case ecsapi.NetworkModeHost:
		return uint16(wire.Value(p.ContainerPort))
	case ecsapi.NetworkModeBridge:
		return uint16(wire.Value(p.HostPort))
	}
	return 0
}
