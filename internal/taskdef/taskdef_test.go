package taskdef

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry/internal/wire/ecsapi"
)

// A scenario of testdata: a request in JSON, and after "=>" what is expected.
type scenario struct {
	title, request, want string
	line                 int
}

// scenarios reads a file of them: "# title" lines, JSON over any lines, "=>" and
// what is expected up to an empty line.
func scenarios(t *testing.T, path string) []scenario {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []scenario
	line := 1
	for block := range strings.SplitSeq(string(text), "\n\n") {
		s := scenario{line: line}
		line += strings.Count(block, "\n") + 2
		request, want, ok := strings.Cut(block, "\n=>")
		for l := range strings.Lines(request) {
			if title, ok := strings.CutPrefix(l, "# "); ok {
				s.title = strings.TrimSpace(title)
			} else {
				s.request += l
			}
		}
		if s.want = strings.TrimSpace(want); ok {
			all = append(all, s)
		}
	}
	return all
}

// request reads a scenario's request. So that each shows only what it is about,
// it is laid over a family "f" with a container "web"; the members "web" and
// "side" are laid over that container and a second one like it.
func (s scenario) read(t *testing.T) *ecsapi.RegisterTaskDefinitionInput {
	t.Helper()
	var given map[string]json.RawMessage
	if err := json.Unmarshal([]byte(s.request), &given); err != nil {
		t.Fatalf("line %d: %v", s.line, err)
	}
	var containers []map[string]json.RawMessage
	for _, name := range []string{"web", "side"} {
		over, ok := given[name]
		delete(given, name)
		if !ok && name == "side" {
			continue
		}
		c := map[string]json.RawMessage{"name": json.RawMessage(`"` + name + `"`), "image": json.RawMessage(`"busybox"`), "memory": json.RawMessage(`64`)}
		if ok {
			var members map[string]json.RawMessage
			if err := json.Unmarshal(over, &members); err != nil {
				t.Fatalf("line %d: %s: %v", s.line, name, err)
			}
			maps.Copy(c, members)
		}
		containers = append(containers, c)
	}
	whole := map[string]any{"family": "f", "containerDefinitions": containers}
	for k, v := range given {
		whole[k] = v
	}
	text, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	in := new(ecsapi.RegisterTaskDefinitionInput)
	if err := json.Unmarshal(text, in); err != nil {
		t.Fatalf("line %d: %v", s.line, err)
	}
	return in
}

// register is what the API does: the generated checks, then ours.
func register(in *ecsapi.RegisterTaskDefinitionInput) (*ecsapi.TaskDefinition, error) {
	if err := in.Check(); err != nil {
		return nil, err
	}
	return Register(in)
}

// TestRefused: what ECS does not register, with its exception and message.
func TestRefused(t *testing.T) {
	for _, s := range scenarios(t, "testdata/refused.txt") {
		_, err := register(s.read(t))
		if err == nil {
			t.Errorf("line %d: %s: registered; want %s", s.line, s.title, s.want)
		} else if err.Error() != s.want {
			t.Errorf("line %d: %s:\n got %s\nwant %s", s.line, s.title, err, s.want)
		}
	}
}

// TestRegistered: what a definition comes back as.
func TestRegistered(t *testing.T) {
	for _, s := range scenarios(t, "testdata/registered.txt") {
		in := s.read(t)
		before, _ := json.Marshal(in)
		def, err := register(in)
		if err != nil {
			t.Errorf("line %d: %s: %v", s.line, s.title, err)
			continue
		}
		if after, _ := json.Marshal(in); !bytes.Equal(before, after) {
			t.Errorf("line %d: %s: the request was changed", s.line, s.title)
		}
		text, err := json.Marshal(def)
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if err := json.Unmarshal([]byte(s.want), &want); err != nil {
			t.Fatalf("line %d: %v", s.line, err)
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("line %d: %s: (-want +got)\n%s\n%s", s.line, s.title, diff, text)
		}
	}
}

// TestNotYet: what registers and is refused when it is run.
func TestNotYet(t *testing.T) {
	for _, s := range scenarios(t, "testdata/notyet.txt") {
		def, err := register(s.read(t))
		if err != nil {
			t.Errorf("line %d: %s: does not register: %v", s.line, s.title, err)
			continue
		}
		def.Revision = new(int32(1))
		got := "runs"
		if err := NotYet(def, nil); err != nil {
			got = err.Error()
		}
		if got != s.want {
			t.Errorf("line %d: %s:\n got %s\nwant %s", s.line, s.title, got, s.want)
		}
	}
}

// TestDemand: what a task takes, from definition and overrides.
func TestDemand(t *testing.T) {
	def := func(change ...func(*ecsapi.TaskDefinition)) *ecsapi.TaskDefinition {
		d := &ecsapi.TaskDefinition{ContainerDefinitions: []ecsapi.ContainerDefinition{
			{Name: new("web"), Cpu: new(int32(256)), Memory: new(int32(512)), MemoryReservation: new(int32(128)), PortMappings: []ecsapi.PortMapping{
				{ContainerPort: new(int32(80)), HostPort: new(int32(8080))}, {ContainerPort: new(int32(81)), HostPort: new(int32(0))},
				{ContainerPort: new(int32(53)), HostPort: new(int32(53)), Protocol: ecsapi.TransportProtocolUdp},
			}},
			{Name: new("side"), Memory: new(int32(64)), ResourceRequirements: []ecsapi.ResourceRequirement{{Type: ecsapi.ResourceTypeGpu, Value: new("2")}}},
		}}
		for _, f := range change {
			f(d)
		}
		return d
	}
	for _, tt := range []struct {
		name string
		def  *ecsapi.TaskDefinition
		over *ecsapi.TaskOverride
		want Demand
	}{
		{"sums of the containers, reservations first", def(), nil,
			Demand{CPU: 256, Memory: 192, Ports: []uint16{8080}, UDPPorts: []uint16{53}, GPUs: []int{0, 2}}},
		{"the task's own sizes", def(func(d *ecsapi.TaskDefinition) { d.Cpu, d.Memory = new("1024"), new("2048") }), nil,
			Demand{CPU: 1024, Memory: 2048, Ports: []uint16{8080}, UDPPorts: []uint16{53}, GPUs: []int{0, 2}}},
		{"overridden task", def(), &ecsapi.TaskOverride{Cpu: new("2 vCPU"), Memory: new("1GB")},
			Demand{CPU: 2048, Memory: 1024, Ports: []uint16{8080}, UDPPorts: []uint16{53}, GPUs: []int{0, 2}}},
		{"overridden containers", def(), &ecsapi.TaskOverride{ContainerOverrides: []ecsapi.ContainerOverride{
			{Name: new("web"), Cpu: new(int32(10)), MemoryReservation: new(int32(100))},
			{Name: new("side"), Memory: new(int32(28)), ResourceRequirements: []ecsapi.ResourceRequirement{{Type: ecsapi.ResourceTypeGpu, Value: new("1")}}},
		}}, Demand{CPU: 10, Memory: 128, Ports: []uint16{8080}, UDPPorts: []uint16{53}, GPUs: []int{0, 1}}},
		{"host mode takes the container's ports", def(func(d *ecsapi.TaskDefinition) { d.NetworkMode = ecsapi.NetworkModeHost }), nil,
			Demand{CPU: 256, Memory: 192, Ports: []uint16{80, 81}, UDPPorts: []uint16{53}, GPUs: []int{0, 2}}},
	} {
		if diff := cmp.Diff(tt.want, DemandOf(tt.def, tt.over)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
}

// TestSizes: the ways to write cpu and memory.
func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"1024": 1024, "1 vCPU": 1024, "1vcpu": 1024, ".5 vCPU": 512, "0.25vCPU": 256, "16 VCPU": 16384,
		"": -1, "one": -1, "-1": -1, "0": -1, "1.5": -1, "0.0001 vCPU": -1, "1 GB": -1, "NaN vCPU": -1, "Inf vCPU": -1, "1e300 vCPU": -1,
	} {
		if got, ok := CPUUnits(text); ok != (want > 0) || ok && got != want {
			t.Errorf("cpu %q is %d, %v", text, got, ok)
		}
	}
	for text, want := range map[string]int64{"512": 512, "1GB": 1024, "0.5 GB": 512, "2gb": 2048, "1 vCPU": -1, "1 MB": -1} {
		if got, ok := MemoryMiB(text); ok != (want > 0) || ok && got != want {
			t.Errorf("memory %q is %d, %v", text, got, ok)
		}
	}
}

// TestFargateSizes: every size of AWS's table registers for Fargate, and its neighbours do not.
func TestFargateSizes(t *testing.T) {
	offered := map[int64][]int64{256: {512, 1024, 2048}}
	for _, s := range fargateSizes[1:] {
		for m := s.least; m <= s.most; m += s.step {
			offered[s.cpu] = append(offered[s.cpu], m)
		}
	}
	for cpu, memories := range offered {
		ok := map[int64]bool{}
		for _, m := range memories {
			ok[m] = true
		}
		for m := int64(256); m <= 131072; m += 256 {
			if got := fargateOffers(cpu, m); got != ok[m] {
				t.Errorf("%d units with %d MiB: %v, want %v", cpu, m, got, ok[m])
			}
		}
	}
	if fargateOffers(128, 512) || fargateOffers(32768, 122880) {
		t.Error("a cpu value outside of the table is offered")
	}
}

// TestTooMuch: the limits on a definition's size.
func TestTooMuch(t *testing.T) {
	in := &ecsapi.RegisterTaskDefinitionInput{Family: new("f")}
	for i := range 11 {
		in.ContainerDefinitions = append(in.ContainerDefinitions, ecsapi.ContainerDefinition{Name: new(fmt.Sprint("c", i)), Image: new("i"), Memory: new(int32(4))})
	}
	if _, err := register(in); err == nil || err.Error() != "ClientException: The task definition has 11 containers; at most 10 are allowed." {
		t.Error(err)
	}
	in.ContainerDefinitions = in.ContainerDefinitions[:1]
	for i := range 10_000 {
		in.ContainerDefinitions[0].Environment = append(in.ContainerDefinitions[0].Environment, ecsapi.KeyValuePair{Name: new(fmt.Sprint("VARIABLE_", i)), Value: new("x")})
	}
	if _, err := register(in); err == nil || !strings.HasSuffix(err.Error(), "at most 65536 are allowed.") {
		t.Error(err)
	}
}

// TestOverridesChecked: overrides obey the same rules as what they override.
func TestOverridesChecked(t *testing.T) {
	def := &ecsapi.TaskDefinition{ContainerDefinitions: []ecsapi.ContainerDefinition{{Name: new("web"), Memory: new(int32(64)), MemoryReservation: new(int32(32))}}}
	over := func(o ecsapi.ContainerOverride) *ecsapi.TaskOverride {
		o.Name = new("web")
		return &ecsapi.TaskOverride{ContainerOverrides: []ecsapi.ContainerOverride{o}}
	}
	if err := CheckOverridden(def, over(ecsapi.ContainerOverride{Memory: new(int32(128))})); err != nil {
		t.Error(err)
	}
	err := CheckOverridden(def, over(ecsapi.ContainerOverride{Memory: new(int32(16))}))
	if want := "ClientException: Invalid setting for container 'web'. The 'memory' value must be greater than or equal to the 'memoryReservation' value."; err == nil || err.Error() != want {
		t.Error(err)
	}
}
