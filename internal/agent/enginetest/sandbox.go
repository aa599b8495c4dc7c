package enginetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"

	"gantry"
	"gantry/internal/agent/engine"
	"gantry/internal/wire/ecsapi"
)

// Prepare pretends to make a task's cgroup and volumes.
func (m *Machine) Prepare(_ context.Context, t engine.TaskSandbox) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sandboxes[t.ID] = true
	for _, v := range t.Volumes {
		if v.MustExist {
			return fmt.Errorf("CannotCreateVolumeError: the shared volume %s does not exist", v.Name)
		}
		if v.Shared {
			m.volumes[v.Name] = ""
		} else {
			m.volumes[v.Name] = t.ID
		}
	}
	return nil
}

// Release gives a task's cgroup back.
func (m *Machine) Release(_ context.Context, id gantry.TaskID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sandboxes, id)
	return nil
}

// RemoveVolumes removes a task's own volumes.
func (m *Machine) RemoveVolumes(_ context.Context, id gantry.TaskID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.volumes, func(_ string, of gantry.TaskID) bool { return of == id })
	return nil
}

// Network is the machine's network: its method names collide with those for logs.
func (m *Machine) Network() engine.Network { return network{m} }

// Logs is the machine's logs, which forget everything.
func (m *Machine) Logs() engine.Logs { return logs{m} }

// Parts is the machine as the engine uses it; submit is told of the tasks.
func (m *Machine) Parts(submit engine.Submitter) engine.Parts {
	return engine.Parts{
		Images: m, Containers: m, Prober: m, Sandboxes: m, Network: m.Network(), Logs: m.Logs(), Disk: m,
		Submitter: submit, Random: randomIDs(),
	}
}

func randomIDs() io.Reader { return rand.Reader }

type network struct{ m *Machine }

func (n network) Attach(_ context.Context, r engine.AttachRequest) (engine.Attached, error) {
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	if a, ok := n.m.networks[r.ContainerID]; ok {
		return a, nil
	}
	a := engine.Attached{Namespace: "/run/netns/" + r.ContainerID, IP: n.m.nextIP}
	n.m.nextIP = n.m.nextIP.Next()
	if r.Mode == "host" {
		a.Namespace = ""
	}
	for _, p := range r.Ports {
		host := int32(p.HostPort)
		if host == 0 {
			host = n.m.nextPort
			n.m.nextPort++
		}
		key := fmt.Sprintf("%s/%d", p.Protocol, host)
		if owner := n.m.ports[key]; owner != "" && owner != r.ContainerID {
			return a, fmt.Errorf("CannotStartContainerError: host port %d/%s: port is already in use", host, p.Protocol)
		}
		n.m.ports[key] = r.ContainerID
		a.Bindings = append(a.Bindings, engine.Binding{
			BindIP: new("0.0.0.0"), ContainerPort: new(int32(p.Container)), HostPort: &host,
			Protocol: ecsapi.TransportProtocol(p.Protocol),
		})
	}
	n.m.networks[r.ContainerID] = a
	return a, nil
}

func (n network) Detach(_ context.Context, id string) error {
	n.m.mu.Lock()
	defer n.m.mu.Unlock()
	delete(n.m.networks, id)
	maps.DeleteFunc(n.m.ports, func(_, owner string) bool { return owner == id })
	return nil
}

type logs struct{ m *Machine }

func (l logs) Attach(_ context.Context, out engine.LogOutput) error {
	switch out.Driver {
	case "", "json-file", "awslogs", "none":
		return nil
	}
	return fmt.Errorf("CannotStartContainerError: logging driver %s is not offered", out.Driver)
}

func (l logs) Drain(context.Context, string) error  { return nil }
func (l logs) Forget(context.Context, string) error { return nil }
