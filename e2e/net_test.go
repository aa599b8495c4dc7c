package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
)

// hello asks a probe's "serve" through a port of this machine.
func hello(t *testing.T, network string, port int32) string {
	t.Helper()
	return helloAt(t, network, "127.0.0.1", port)
}

// helloAt is hello at the address of another machine.
func helloAt(t *testing.T, network, host string, port int32) string {
	t.Helper()
	conn, err := net.DialTimeout(network, fmt.Sprintf("%s:%d", host, port), answerWithin)
	if err != nil {
		t.Errorf("%s port %d: %v", network, port, err)
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(answerWithin))
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Errorf("%s port %d: %v", network, port, err)
	}
	answer := make([]byte, 100)
	n, err := conn.Read(answer)
	if err != nil && err != io.EOF {
		t.Errorf("%s port %d: %v", network, port, err)
	}
	return string(answer[:n])
}

// TestPorts: static and dynamic ports and ranges, TCP and UDP, as networkBindings tell them.
func TestPorts(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	j := s.job(t, s.probe("probe", "serve=tcp/8080-8084", "serve=udp/5300-5301", "list=/tmp", "wait"))
	j.in.ContainerDefinitions[0].PortMappings = []types.PortMapping{
		{ContainerPort: aws.Int32(8080)},
		{ContainerPort: aws.Int32(8081), HostPort: aws.Int32(18081), Protocol: types.TransportProtocolTcp},
		{ContainerPort: aws.Int32(5300), Protocol: types.TransportProtocolUdp},
		{ContainerPort: aws.Int32(5301), HostPort: aws.Int32(15301), Protocol: types.TransportProtocolUdp},
		{ContainerPortRange: aws.String("8082-8084")},
	}
	j.start().running()
	j.saying("probe", "list=/tmp")
	bindings := part(t, j.look(), "probe").NetworkBindings
	if len(bindings) != 5 {
		t.Fatalf("bindings: %d of 5", len(bindings))
	}
	for _, b := range bindings {
		if *b.BindIP != "0.0.0.0" {
			t.Errorf("bound to %s", *b.BindIP)
		}
		if b.ContainerPortRange != nil {
			var first, last int32
			if _, err := fmt.Sscanf(*b.HostPortRange, "%d-%d", &first, &last); err != nil || *b.ContainerPortRange != "8082-8084" || last != first+2 {
				t.Errorf("range %s on %s: %v", *b.ContainerPortRange, *b.HostPortRange, err)
			}
			for i := range int32(3) {
				if got, want := hello(t, "tcp", first+i), fmt.Sprintf("tcp %d", 8082+i); got != want {
					t.Errorf("port %d answers %q, want %q", first+i, got, want)
				}
			}
			continue
		}
		if fixed := map[int32]int32{8081: 18081, 5301: 15301}[*b.ContainerPort]; fixed != 0 && *b.HostPort != fixed || fixed == 0 && *b.HostPort < 32768 {
			t.Errorf("container port %d is on host port %d", *b.ContainerPort, *b.HostPort)
		}
		if got, want := hello(t, string(b.Protocol), *b.HostPort), fmt.Sprintf("%s %d", b.Protocol, *b.ContainerPort); got != want {
			t.Errorf("host port %d answers %q, want %q", *b.HostPort, got, want)
		}
	}

	// Another task that wants the same static port cannot be placed here.
	out := must(t, s.sdk().RunTask, &ecs.RunTaskInput{TaskDefinition: j.run.TaskDefinition})
	if len(out.Failures) != 1 || *out.Failures[0].Reason != "RESOURCE:PORTS" {
		t.Errorf("a second task on the same ports: %+v", out)
	}
	j.stop()
	if conn, err := net.DialTimeout("tcp", "127.0.0.1:18081", 2*time.Second); err == nil {
		conn.Close()
		t.Error("the port of a stopped task still answers")
	}
}

// TestHostNetwork: the machine's own interfaces, hostname and ports.
func TestHostNetwork(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	j := s.job(t, s.probe("probe", "serve=tcp/18090", "report", "get=$ECS_CONTAINER_METADATA_URI_V4/task", "wait"))
	j.in.NetworkMode = types.NetworkModeHost
	j.in.ContainerDefinitions[0].PortMappings = []types.PortMapping{{ContainerPort: aws.Int32(18090)}}
	j.start().running()
	got := j.saying("probe", "get=$ECS_CONTAINER_METADATA_URI_V4/task")
	if own, err := os.Readlink("/proc/self/ns/net"); err != nil || got.report(t).Namespaces["net"] != own {
		t.Errorf("network namespace %s, and the machine's is %s (%v)", got.report(t).Namespaces["net"], own, err)
	}
	if name, _ := os.Hostname(); got.report(t).Hostname != name {
		t.Errorf("hostname %q, and the machine's is %q", got.report(t).Hostname, name)
	}
	if text := got.text(t, "get=$ECS_CONTAINER_METADATA_URI_V4/task"); !strings.Contains(text, j.arn) {
		t.Errorf("task metadata: %s", text)
	}
	bindings := part(t, j.look(), "probe").NetworkBindings
	if len(bindings) != 1 || *bindings[0].HostPort != 18090 || *bindings[0].ContainerPort != 18090 {
		t.Errorf("bindings: %+v", bindings)
	}
	if answer := hello(t, "tcp", 18090); answer != "tcp 18090" {
		t.Errorf("port 18090 answers %q", answer)
	}
}

// TestNoNetwork: networkMode none, and disableNetworking of one container, leave nothing but loopback.
func TestNoNetwork(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	for name, change := range map[string]func(*job, *types.ContainerDefinition){
		"networkMode none":  func(j *job, _ *types.ContainerDefinition) { j.in.NetworkMode = types.NetworkModeNone },
		"disableNetworking": func(_ *job, c *types.ContainerDefinition) { c.DisableNetworking = aws.Bool(true) },
	} {
		r := s.alone(t, change).report(t)
		for device, addresses := range r.Addresses {
			if device != "lo" && addresses != "" {
				t.Errorf("%s: there is %s with %s", name, device, addresses)
			}
		}
		if _, ok := r.Addresses["lo"]; !ok {
			t.Errorf("%s: there is no lo: %v", name, r.Addresses)
		}
	}
}

// TestNames: hostname, extraHosts, dnsServers and dnsSearchDomains.
func TestNames(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	got := s.alone(t, func(_ *job, c *types.ContainerDefinition) {
		c.Hostname = aws.String("shop")
		c.ExtraHosts = []types.HostEntry{{Hostname: aws.String("db"), IpAddress: aws.String("10.1.2.3")}, {Hostname: aws.String("six"), IpAddress: aws.String("2001:db8::1")}}
		c.DnsServers = []string{"10.9.9.9", "10.9.9.8"}
		c.DnsSearchDomains = []string{"example.com", "example.org"}
	}, "report", "read=/etc/hosts", "read=/etc/resolv.conf", "read=/etc/hostname")
	address, _, _ := strings.Cut(got.report(t).Addresses["eth0"], "/")
	hosts := map[string]string{}
	for line := range strings.Lines(got.text(t, "read=/etc/hosts")) {
		f := strings.Fields(line)
		for _, name := range f[min(1, len(f)):] {
			hosts[name] = f[0]
		}
	}
	for name, want := range map[string]string{"db": "10.1.2.3", "six": "2001:db8::1", "shop": address} {
		if hosts[name] != want || want == "" {
			t.Errorf("/etc/hosts has %q for %s, want %q", hosts[name], name, want)
		}
	}
	var servers []string
	search := ""
	for line := range strings.Lines(got.text(t, "read=/etc/resolv.conf")) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name {
		case "nameserver":
			servers = append(servers, value)
		case "search":
			search = value
		}
	}
	if diff := cmp.Diff([]string{"10.9.9.9", "10.9.9.8"}, servers); diff != "" || search != "example.com example.org" {
		t.Errorf("/etc/resolv.conf: search %q, servers (-want +got):\n%s", search, diff)
	}
	if name := strings.TrimSpace(got.text(t, "read=/etc/hostname")); name != "shop" {
		t.Errorf("/etc/hostname is %q", name)
	}
}

// TestLinks: a linked container is found by its alias, and by the variables that Docker's links set.
func TestLinks(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	j := s.job(t, s.probe("server", "serve=tcp/7000", "wait"), s.probe("client", "until=dial=tcp/backend:7000", "dial=tcp/server:7000", "dial=tcp/$BACKEND_PORT_7000_TCP_ADDR:7000", "report"))
	j.in.ContainerDefinitions[0].PortMappings = []types.PortMapping{{ContainerPort: aws.Int32(7000)}}
	j.in.ContainerDefinitions[1].Links = []string{"server:backend"}
	j.start().stopped()
	got := j.said("client")
	for _, dial := range []string{"until=dial=tcp/backend:7000", "dial=tcp/server:7000", "dial=tcp/$BACKEND_PORT_7000_TCP_ADDR:7000"} {
		if text := got.text(t, dial); text != "tcp 7000" {
			t.Errorf("%s: %q", dial, text)
		}
	}
	env := got.report(t).Env
	if env["BACKEND_PORT"] != "tcp://"+env["BACKEND_PORT_7000_TCP_ADDR"]+":7000" || env["BACKEND_PORT_7000_TCP_PROTO"] != "tcp" || !strings.HasSuffix(env["BACKEND_NAME"], "/backend") {
		t.Errorf("variables of the link: %v", env)
	}
}

// TestSystemControls: sysctls of the container's own namespaces; others would change the machine and are refused.
func TestSystemControls(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	control := func(name, value string) func(*job, *types.ContainerDefinition) {
		return func(_ *job, c *types.ContainerDefinition) {
			c.SystemControls = append(c.SystemControls, types.SystemControl{Namespace: &name, Value: &value})
		}
	}
	got := s.alone(t, func(j *job, c *types.ContainerDefinition) {
		control("net.core.somaxconn", "1234")(j, c)
		control("net.ipv4.ip_local_port_range", "2000 3000")(j, c)
		control("kernel.msgmax", "65000")(j, c)
	}, "read=/proc/sys/net/core/somaxconn", "read=/proc/sys/net/ipv4/ip_local_port_range", "read=/proc/sys/kernel/msgmax")
	for what, want := range map[string]string{
		"read=/proc/sys/net/core/somaxconn": "1234", "read=/proc/sys/net/ipv4/ip_local_port_range": "2000 3000", "read=/proc/sys/kernel/msgmax": "65000",
	} {
		if text := strings.Join(strings.Fields(got.text(t, what)), " "); text != want {
			t.Errorf("%s: %q, want %q", what, text, want)
		}
	}
	for name, test := range map[string]struct {
		control string
		mode    types.NetworkMode
	}{"the machine's": {"kernel.hostname", ""}, "with the host's network": {"net.core.somaxconn", types.NetworkModeHost}} {
		j := s.job(t, s.probe("probe"))
		j.in.NetworkMode = test.mode
		control(test.control, "1")(j, &j.in.ContainerDefinitions[0])
		got := j.start().stopped()
		if text := tell(got); !strings.Contains(text, "CannotCreateContainerError") || !strings.Contains(text, test.control) {
			t.Errorf("%s: %s", name, text)
		}
	}
}
