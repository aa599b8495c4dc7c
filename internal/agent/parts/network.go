package parts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"gantry/internal/agent/engine"
	"gantry/internal/agent/network"
	"gantry/internal/wire/ecsapi"
)

type networks struct{ Machine }

func (m networks) Attach(ctx context.Context, r engine.AttachRequest) (engine.Attached, error) {
	request := network.Request{ID: network.SandboxID(r.ContainerID), Mode: network.Mode(r.Mode)}
	for _, p := range r.Ports {
		port := network.PortRequest{HostPort: p.HostPort, Protocol: network.Protocol(p.Protocol)}
		if p.Ranged {
			port.ContainerPortRange = network.PortRange{First: p.Container, Last: p.Container + uint16(p.Count-1)}
		} else {
			port.ContainerPort = p.Container
		}
		request.Ports = append(request.Ports, port)
	}
	a, err := m.Network.Attach(ctx, request)
	var inUse *network.PortInUseError
	switch {
	case errors.As(err, &inUse):
		return engine.Attached{}, &reasonError{text: "CannotStartContainerError: " + inUse.Error(), err: err}
	case err != nil:
		return engine.Attached{}, &reasonError{text: "ContainerNetworkingError: " + err.Error(), err: err}
	}
	out := engine.Attached{Namespace: a.NamespacePath, IP: a.IP}
	for _, b := range a.Bindings {
		out.Bindings = append(out.Bindings, binding(b))
	}
	return out, nil
}

func binding(b network.Binding) engine.Binding {
	out := engine.Binding{BindIP: new(b.BindIP.String()), Protocol: ecsapi.TransportProtocol(b.Protocol)}
	if b.ContainerPort != 0 {
		out.ContainerPort, out.HostPort = new(int32(b.ContainerPort)), new(int32(b.HostPort))
	} else {
		out.ContainerPortRange, out.HostPortRange = new(b.ContainerPortRange.String()), new(b.HostPortRange.String())
	}
	return out
}

func (m networks) Detach(ctx context.Context, id string) error {
	return m.Network.Detach(ctx, network.SandboxID(id))
}

// readHostsFile is the machine's /etc/hosts, from which that of a container in host mode goes on. Without it the file
// is empty.
func readHostsFile() ([]byte, error) {
	text, err := os.ReadFile("/etc/hosts")
	if errors.Is(err, fs.ErrNotExist) {
		return []byte{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the machine's host names: %w", err)
	}
	return text, nil
}
