package engine

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gantry/internal/wire/acsapi"
)

// Identity is what containers are told about the instance they run on.
type Identity struct {
	Cluster string // as configured
	Region  string
	// HostMetadata is where containers in network mode host reach the task endpoint, "http://address:port": in the
	// host's network MetadataHost leads to one agent only, and there may be several. Empty is MetadataHost.
	HostMetadata string
}

// CPU shares that the kernel takes; ECS raises 0 and 1 to 2.
const (
	leastCPUShares = 2
	mostCPUShares  = 262144
)

// unitsOfVCPU are the CPU units of one vCPU.
const unitsOfVCPU = 1024

// MetadataHost is where containers reach the task endpoint.
const MetadataHost = "http://169.254.170.2"

// buildSpec makes the container that a definition asks for. fileEnv is what its environment files say.
func buildSpec(me Identity, def *Definition, c *ContainerDefinition, t *Task, fileEnv []string) (*Spec, error) {
	state := t.Container(c.Name)
	s := &Spec{
		ID: state.RuntimeID, TaskID: def.ID, DockerName: state.DockerName,
		Image: c.Config.Image, Command: c.Config.Cmd, EntryPoint: c.Config.Entrypoint,
		WorkingDir: c.Config.WorkingDir, User: c.Config.User, StopSignal: c.Config.StopSignal,
		TTY: c.Config.TTY, OpenStdin: c.Config.OpenStdin,
		Labels: Labels(me.Cluster, def, c),

		CPUShares: min(max(c.Host.CPUShares, leastCPUShares), mostCPUShares),
		Memory:    c.Host.Memory, MemoryReservation: c.Host.MemoryReservation,
		MemorySwap: c.Host.MemorySwap, Swappiness: c.Host.MemorySwappiness,

		Privileged: c.Host.Privileged, ReadonlyRoot: c.Host.ReadonlyRootfs,
		CapAdd: c.Host.CapAdd, CapDrop: c.Host.CapDrop,
		ShmSize: sharedMemory(c), Tmpfs: c.Host.Tmpfs, Ulimits: c.Host.Ulimits, Sysctls: c.Host.Sysctls,
		PIDMode: c.Host.PIDMode, IPCMode: c.Host.IPCMode,

		HostNetwork: NetworkMode(c) == "host", Namespace: state.Network.Namespace, IP: state.Network.IP,
		Hostname: c.Config.Hostname, Domainname: c.Config.Domainname,
		DNS: DNS{Servers: c.Host.DNS, Search: c.Host.DNSSearch, Options: c.Host.DNSOptions},
	}
	if s.Hostname == "" && !s.HostNetwork {
		s.Hostname = s.ID[:12]
	}
	if c.Host.PIDsLimit != nil {
		s.PIDsLimit = *c.Host.PIDsLimit
	}
	if c.Host.Init != nil {
		s.Init = *c.Host.Init
	}
	for _, opt := range c.Host.SecurityOpt {
		securityOptions[opt](s)
	}
	for _, d := range c.Host.Devices {
		s.Devices = append(s.Devices, device(d.PathOnHost, d.PathInContainer, d.CgroupPermissions))
	}
	addLinuxParameters(s, c.LinuxParameters)
	if err := addHosts(s, c, t); err != nil {
		return nil, err
	}
	s.Env = environment(me, def, c, t, fileEnv)
	s.Mounts = Mounts(def, c)
	for _, from := range c.VolumesFrom {
		if source := t.Container(from.SourceContainer); source != nil {
			s.VolumesFrom = append(s.VolumesFrom, VolumesFrom{ID: source.RuntimeID, ReadOnly: from.ReadOnly})
		}
	}
	return s, nil
}

func addLinuxParameters(s *Spec, p *acsapi.LinuxParameters) {
	if p == nil {
		return
	}
	if p.Capabilities != nil {
		s.CapAdd = union(s.CapAdd, p.Capabilities.Add)
		s.CapDrop = union(s.CapDrop, p.Capabilities.Drop)
	}
	for _, d := range p.Devices {
		permissions := ""
		for _, permission := range d.Permissions {
			permissions += map[string]string{"read": "r", "write": "w", "mknod": "m"}[permission]
		}
		s.Devices = append(s.Devices, device(d.HostPath, d.ContainerPath, permissions))
	}
	s.Init = s.Init || p.InitProcessEnabled
}

// sharedMemory is the size of a container's /dev/shm in bytes; 0 where it asks for none in particular.
func sharedMemory(c *ContainerDefinition) int64 {
	if p := c.LinuxParameters; p != nil && p.SharedMemorySize > 0 {
		return p.SharedMemorySize * MiB
	}
	return c.Host.ShmSize
}

// device fills in Docker's defaults: the same path, and every permission.
func device(host, container, permissions string) Device {
	return Device{HostPath: host, ContainerPath: cmp.Or(container, host), Permissions: cmp.Or(permissions, "rwm")}
}

// union is a with what b has beside it, in order.
func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// Labels are the task definition's dockerLabels and the five by which tools find a task's containers.
func Labels(cluster string, def *Definition, c *ContainerDefinition) map[string]string {
	l := maps.Clone(c.Config.Labels)
	if l == nil {
		l = map[string]string{}
	}
	const prefix = "com.amazonaws.ecs."
	l[prefix+"cluster"] = cluster
	l[prefix+"container-name"] = c.Name
	l[prefix+"task-arn"] = def.ARN
	l[prefix+"task-definition-family"] = def.Task.Family
	l[prefix+"task-definition-version"] = def.Task.Version
	return l
}

// environment is, from weak to strong: what environment files say, what the task definition says, and what ECS injects.
// Docker's own Env, where dockerConfig carries one, takes the place of the first two.
func environment(me Identity, def *Definition, c *ContainerDefinition, t *Task, fileEnv []string) []string {
	state := t.Container(c.Name)
	env := c.Config.Env
	if env == nil {
		env = slices.Clone(fileEnv)
		for _, name := range slices.Sorted(maps.Keys(c.Environment)) {
			env = append(env, name+"="+c.Environment[name])
		}
	}
	env = append(slices.Clone(env), linkVariables(def, c, t)...)
	endpoint := MetadataHost
	if NetworkMode(c) == "host" && me.HostMetadata != "" {
		endpoint = me.HostMetadata
	}
	env = append(env,
		"ECS_CONTAINER_METADATA_URI="+endpoint+"/v3/"+state.MetadataID,
		"ECS_CONTAINER_METADATA_URI_V4="+endpoint+"/v4/"+state.MetadataID,
		"ECS_AGENT_URI="+endpoint+"/api/"+state.MetadataID,
	)
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		set := slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		if !set && me.Region != "" {
			env = append(env, name+"="+me.Region)
		}
	}
	if r := def.Task.RoleCredentials; r != nil && r.CredentialsID != "" {
		env = append(env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/"+r.CredentialsID)
	}
	if gpus := gpusOf(def, c.Name); len(gpus) > 0 {
		env = append(env, "NVIDIA_VISIBLE_DEVICES="+strings.Join(gpus, ","))
	}
	return lastOfEach(env)
}

// lastOfEach keeps the last value of a variable that is set several times, at the place of its first.
func lastOfEach(env []string) []string {
	at := make(map[string]int, len(env))
	var out []string
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		if i, ok := at[name]; ok {
			out[i] = v
			continue
		}
		at[name] = len(out)
		out = append(out, v)
	}
	return out
}

// gpusOf is the ids of the GPUs that a container was given.
func gpusOf(def *Definition, container string) []string {
	var ids []string
	for _, a := range def.Task.Associations {
		if a.Type != "gpu" || !slices.Contains(a.Containers, container) {
			continue
		}
		id := a.Content.Value
		if a.Content.Encoding == "base64" {
			if text, err := base64.StdEncoding.DecodeString(id); err == nil {
				id = string(text)
			}
		}
		ids = append(ids, cmp.Or(id, a.Name))
	}
	return ids
}

// addHosts fills in /etc/hosts: extraHosts, and the containers that this one links to.
func addHosts(s *Spec, c *ContainerDefinition, t *Task) error {
	for _, extra := range c.Host.ExtraHosts {
		name, address, ok := strings.Cut(extra, ":")
		if !ok {
			return fmt.Errorf("%s: extra host %q is not name:address", errHostConfig, extra)
		}
		s.Hosts = append(s.Hosts, Host{Names: []string{name}, Address: address})
	}
	for _, link := range c.Host.Links {
		name, alias, _ := strings.Cut(link, ":")
		on := t.Container(name)
		if on == nil || !on.Network.IP.IsValid() {
			return fmt.Errorf("%s: container %s, to which %s links, has no address: links need networkMode bridge", errHostConfig, name, c.Name)
		}
		names := lastOfEach([]string{cmp.Or(alias, name), on.RuntimeID[:12], name, on.DockerName})
		s.Hosts = append(s.Hosts, Host{Names: names, Address: on.Network.IP.String()})
	}
	return nil
}

// linkVariables are the environment variables that Docker's links set: WEB_NAME, WEB_PORT_8080_TCP_ADDR and so on, and
// WEB_ENV_NAME for those that the definition gives to the other container.
func linkVariables(def *Definition, c *ContainerDefinition, t *Task) []string {
	var env []string
	for _, link := range c.Host.Links {
		name, alias, _ := strings.Cut(link, ":")
		alias = cmp.Or(alias, name)
		on, onDef := t.Container(name), def.Container(name)
		if on == nil || onDef == nil {
			continue
		}
		prefix := strings.ToUpper(strings.ReplaceAll(alias, "-", "_"))
		env = append(env, prefix+"_NAME=/"+t.Container(c.Name).DockerName+"/"+alias)
		for i, m := range onDef.PortMappings {
			if m.ContainerPort == 0 {
				continue
			}
			protocol := cmp.Or(m.Protocol, "tcp")
			url := fmt.Sprintf("%s://%s:%d", protocol, on.Network.IP, m.ContainerPort)
			if i == 0 {
				env = append(env, prefix+"_PORT="+url)
			}
			port := fmt.Sprintf("%s_PORT_%d_%s", prefix, m.ContainerPort, strings.ToUpper(protocol))
			env = append(env, port+"="+url,
				port+"_ADDR="+on.Network.IP.String(),
				fmt.Sprintf("%s_PORT=%d", port, m.ContainerPort),
				port+"_PROTO="+protocol)
		}
		for _, variable := range slices.Sorted(maps.Keys(onDef.Environment)) {
			if variable != "HOME" && variable != "PATH" {
				env = append(env, prefix+"_ENV_"+variable+"="+onDef.Environment[variable])
			}
		}
	}
	return env
}
