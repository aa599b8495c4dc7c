package runtime

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"pgregory.net/rapid"
)

// plainBlueprint is of a container that asks for nothing.
func plainBlueprint() blueprint {
	return blueprint{
		spec:  Spec{ID: "0123456789abcdef", Task: "t", Image: "i"},
		image: ocispec.ImageConfig{Entrypoint: []string{"/run"}, Cmd: []string{"default"}, Env: []string{"A=1", "PATH=/own"}, WorkingDir: "/work"},
		host:  host{capabilities: knownCapabilities, seccomp: true, hostname: "host"},
		home:  "/root", cgroup: "/p/t/c",
	}
}

func TestArguments(t *testing.T) {
	for _, c := range []struct {
		name                string
		entry, command      []string
		imageEntry, imageCm []string
		want                string
	}{
		{name: "image's", imageEntry: []string{"e"}, imageCm: []string{"c"}, want: "e c"},
		{name: "command", command: []string{"x"}, imageEntry: []string{"e"}, imageCm: []string{"c"}, want: "e x"},
		{name: "entry point drops the image's command", entry: []string{"x"}, imageEntry: []string{"e"}, imageCm: []string{"c"}, want: "x"},
		{name: "both", entry: []string{"x"}, command: []string{"y"}, imageEntry: []string{"e"}, want: "x y"},
		{name: "image without entry point", imageCm: []string{"c"}, want: "c"},
		{name: "nothing", want: "no command specified: image i has neither entry point nor command, and the container definition gives none"},
	} {
		got, err := arguments(Spec{Image: "i", EntryPoint: c.entry, Command: c.command}, ocispec.ImageConfig{Entrypoint: c.imageEntry, Cmd: c.imageCm})
		text := strings.Join(got, " ")
		if err != nil {
			text = err.Error()
		}
		if text != c.want {
			t.Errorf("%s: %s", c.name, text)
		}
	}
}

func TestEnvironment(t *testing.T) {
	b := plainBlueprint()
	b.spec.Environment = []string{"A=2", "B=x=y", "HOME=/mine"}
	want := []string{"PATH=/own", "HOSTNAME=0123456789ab", "A=2", "B=x=y", "HOME=/mine"}
	if diff := cmp.Diff(want, environment(b)); diff != "" {
		t.Error(diff)
	}
	// Ten thousand are no trouble.
	for i := range 10_000 {
		b.spec.Environment = append(b.spec.Environment, "N"+strings.Repeat("x", i%50)+"=1")
	}
	if got := environment(b); len(got) != len(want)+50 {
		t.Errorf("%d variables", len(got))
	}
}

func TestResources(t *testing.T) {
	b := plainBlueprint()
	b.spec.Resources = Resources{CPUs: 0.5, MemoryBytes: 64 << 20, MemoryReservationBytes: 32 << 20, SwapBytes: new(int64(8 << 20)), Swappiness: new(uint64(10)), PidsLimit: 50}
	got := linuxResources(b)
	want := &specs.LinuxResources{
		CPU:     &specs.LinuxCPU{Shares: new(uint64(2)), Period: new(uint64(100_000)), Quota: new(int64(50_000))},
		Memory:  &specs.LinuxMemory{Limit: new(int64(64 << 20)), Reservation: new(int64(32 << 20)), Swap: new(int64(72 << 20)), Swappiness: new(uint64(10))},
		Pids:    &specs.LinuxPids{Limit: new(int64(50))},
		Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	b.host.pids = 8192
	for asked, limit := range map[int64]*specs.LinuxPids{0: {Limit: new(int64(8192))}, 50: {Limit: new(int64(50))}, -1: nil} {
		b.spec.Resources = Resources{PidsLimit: asked}
		if diff := cmp.Diff(limit, linuxResources(b).Pids); diff != "" {
			t.Errorf("asked for %d processes: %s", asked, diff)
		}
	}
	b.spec.Resources = Resources{CPUShares: 1 << 30}
	if got := *linuxResources(b).CPU.Shares; got != 262144 {
		t.Errorf("%d shares", got)
	}
}

func TestNamespaces(t *testing.T) {
	kinds := func(change func(*blueprint)) string {
		b := plainBlueprint()
		change(&b)
		var text []string
		for _, n := range linuxNamespaces(b) {
			text = append(text, string(n.Type)+n.Path)
		}
		return strings.Join(text, " ")
	}
	for _, c := range []struct {
		want   string
		change func(*blueprint)
	}{
		{"mount uts network pid ipc", func(*blueprint) {}},
		{"mount uts pid ipc", func(b *blueprint) { b.spec.Network.Host = true }},
		{"mount uts network/run/x pid ipc", func(b *blueprint) { b.spec.Network.Path = "/run/x" }},
		{"mount uts network", func(b *blueprint) { b.spec.PID.Host, b.spec.IPC.Host = true, true }},
		{"mount uts network pid/p ipc/i", func(b *blueprint) { b.pid, b.ipc = "/p", "/i" }},
		{"mount uts network cgroup pid ipc", func(b *blueprint) { b.host.unified = true }},
	} {
		if got := kinds(c.change); got != c.want {
			t.Errorf("got %s, not %s", got, c.want)
		}
	}
}

// No wish of a definition gives a container what gantry does not hold, or what
// it asked to be dropped; and without wishes it is Docker's list.
func TestCapabilities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfDistinct(rapid.SampledFrom(append([]string{"ALL"}, knownCapabilities...)), rapid.ID)
		s := Security{CapAdd: names.Draw(t, "add"), CapDrop: names.Draw(t, "drop")}
		h := host{capabilities: slices.DeleteFunc(slices.Clone(knownCapabilities), func(c string) bool { return c == "CAP_SYS_RESOURCE" })}
		got, err := capabilities(s, h)
		if slices.Contains(s.CapAdd, "CAP_SYS_RESOURCE") {
			if err == nil {
				t.Fatal("added what gantry does not hold")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range got {
			if !h.has(c) {
				t.Fatalf("gives %s, which gantry does not hold", c)
			}
			if slices.Contains(s.CapDrop, c) && !slices.Contains(s.CapAdd, c) {
				t.Fatalf("gives %s, which was dropped", c)
			}
		}
		for _, c := range s.CapAdd {
			if c != "ALL" && !slices.Contains(got, c) {
				t.Fatalf("lacks %s, which was added", c)
			}
		}
		if len(s.CapAdd)+len(s.CapDrop) == 0 && len(got) != len(defaultCapabilities) {
			t.Fatalf("got %v", got)
		}
	})
}

func TestRlimits(t *testing.T) {
	h := host{hardLimits: map[string]uint64{"RLIMIT_NOFILE": 1000}}
	_, err := rlimits([]Ulimit{{"nofile", 500, 2000}}, h)
	if err == nil || err.Error() != "ulimit nofile: the hard limit 2000 is above this host's 1000, which gantry may not raise" {
		t.Errorf("got %v", err)
	}
	if _, err := rlimits([]Ulimit{{"nofile", 20, 10}}, h); err == nil {
		t.Error("a soft limit above the hard one")
	}
	got, err := rlimits([]Ulimit{{"nproc", 1, 2}, {"nofile", 3, 4}}, h)
	want := []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 3, Hard: 4}, {Type: "RLIMIT_NPROC", Soft: 1, Hard: 2}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

// 32-bit system calls cost time at every start, and are there where needed.
func TestSeccomp(t *testing.T) {
	b := plainBlueprint()
	for _, narrow := range []bool{false, true} {
		b.narrow = narrow
		s, err := ociSpec(b)
		if err != nil {
			t.Fatal(err)
		}
		own := []specs.Arch{nativeArch[goarch]}
		if got := s.Linux.Seccomp.Architectures; narrow == slices.Equal(got, own) {
			t.Errorf("narrow %t: %v", narrow, got)
		}
	}
	b.spec.Security.Options = []string{"seccomp=unconfined"}
	if s, err := ociSpec(b); err != nil || s.Linux.Seccomp != nil {
		t.Errorf("unconfined: %v", err)
	}
	for option, want := range map[string]string{
		"label:level:s0":   "SELinux labels are not supported",
		"apparmor:mine":    "AppArmor is not enabled on this host",
		"credentialspec:x": "is not supported",
	} {
		b.spec.Security.Options = []string{option}
		if _, err := ociSpec(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", option, err)
		}
	}
}

func TestSignals(t *testing.T) {
	for text, want := range map[string]int{"SIGTERM": 15, "term": 15, "9": 9, "SIGRTMIN+3": 37, "RTMAX-1": 63, "SIGUSR1": 10} {
		if got, err := parseSignal(text); err != nil || int(got) != want {
			t.Errorf("%s: %d %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "65", "SIGNOPE", "RTMIN+99"} {
		if got, err := parseSignal(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}
