package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/wire/acsapi"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const testARN = "arn:aws:ecs:us-east-1:123456789012:task/demo/0123456789abcdef0123456789abcdef"

func read(t *testing.T, task acsapi.Task) *Definition {
	t.Helper()
	task.Arn = testARN
	if task.DesiredStatus == "" {
		task.DesiredStatus = "RUNNING"
	}
	def, err := ReadDefinition(&task, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return def
}

func TestDockerStringsAreDecodedOverThePayload(t *testing.T) {
	def := read(t, acsapi.Task{NetworkMode: "bridge", Containers: []acsapi.Container{{
		Name: "web", Image: "web", Command: []string{"a"}, Memory: 64, CPU: 128, Links: []string{"db"},
		DockerConfig: acsapi.DockerConfig{
			Config:     `{"User":"app","Cmd":["b"],"cmd2":null,"ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":7000000000}}`,
			HostConfig: `{"memory":1048576,"Links":["db:database"],"CapAdd":[],"Binds":null,"BlkioWeight":0,"RestartPolicy":{"Name":"","MaximumRetryCount":0}}`,
		},
	}, {Name: "db", Image: "db"}}})
	if def.Refusal != nil {
		t.Fatalf("refused: %+v", def.Refusal)
	}
	c := def.Containers[0]
	got := fmt.Sprint(c.Config.User, c.Config.Cmd, c.Config.Image, c.Host.Memory, c.Host.Links, c.Host.CPUShares, c.Host.NetworkMode, c.Order)
	if want := "app[b]web1048576[db:database]128bridge[{db START}]"; strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("got %s, want %s", got, want)
	}
	want := &HealthCheck{Command: []string{"/bin/sh", "-c", "true"}, Interval: 7 * time.Second, Timeout: 5 * time.Second, Retries: 3}
	if diff := cmp.Diff(want, c.HealthCheck); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A health check of NONE, which turns off that of an image, is announced as any other.
func TestHealthCheckOfNone(t *testing.T) {
	def, err := ReadDefinition(&acsapi.Task{Arn: "arn:aws:ecs:us-east-1:123456789012:task/default/0123", DesiredStatus: "RUNNING",
		Containers: []acsapi.Container{{Name: "web", Image: "web", HealthCheckType: "docker",
			DockerConfig: acsapi.DockerConfig{Config: `{"Healthcheck":{"Test":["NONE"],"Interval":30000000000}}`}}}}, time.Second)
	if err != nil || def.Refusal != nil || def.Containers[0].HealthCheck != nil {
		t.Errorf("%v, %+v", err, def)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		want string
		task acsapi.Task
	}{
		{"web: HostConfigError: Unable decode given host config: BlkioWeight is not offered by this agent",
			acsapi.Task{Containers: []acsapi.Container{{Name: "web", Image: "web", DockerConfig: acsapi.DockerConfig{HostConfig: `{"BlkioWeight":10}`}}}}},
		{"web: HostConfigError: security option \"label:type:x\" is not offered; no-new-privileges and seccomp=unconfined are",
			acsapi.Task{Containers: []acsapi.Container{{Name: "web", Image: "web", DockerConfig: acsapi.DockerConfig{HostConfig: `{"SecurityOpt":["label:type:x"]}`}}}}},
		{"web: HostConfigError: container web asks for more memory (64 MiB) than the task has (32 MiB)",
			acsapi.Task{Memory: 32, Containers: []acsapi.Container{{Name: "web", Image: "web", Memory: 64}}}},
		{"web: DockerClientConfigError: the payload announces a health check and its docker config has none",
			acsapi.Task{Containers: []acsapi.Container{{Name: "web", Image: "web", HealthCheckType: "docker"}}}},
		{"web: DockerClientConfigError: the health check [\"RUN\" \"x\"] is neither CMD with a program nor CMD-SHELL with one command line",
			acsapi.Task{Containers: []acsapi.Container{{Name: "web", Image: "web", DockerConfig: acsapi.DockerConfig{Config: `{"Healthcheck":{"Test":["RUN","x"]}}`}}}}},
		{"web: TaskDependencyError: container web depends on db, which the task does not have",
			acsapi.Task{Containers: []acsapi.Container{{Name: "web", Image: "web", Links: []string{"db"}}}}},
		{"web: TaskDependencyError: container web waits for db to be HEALTHY, which has no health check",
			acsapi.Task{Containers: []acsapi.Container{{Name: "web", Image: "web", DependsOn: []acsapi.DependsOn{{ContainerName: "db", Condition: OnHealthy}}}, {Name: "db", Image: "db"}}}},
		{": ResourceInitializationError: shipping the logs of container web with the credentials of the execution role is not offered yet",
			acsapi.Task{ExecutionRoleCredentials: &acsapi.RoleCredentials{CredentialsID: "x"}, Containers: []acsapi.Container{{Name: "web", Image: "web", LogsAuthStrategy: "ExecutionRole"}}}},
		{": TaskDependencyError: the containers of the task depend on each other in a circle through web",
			acsapi.Task{Containers: []acsapi.Container{{Name: "web", Image: "web", VolumesFrom: []acsapi.VolumeFrom{{SourceContainer: "web"}}}}}},
		{": ResourceInitializationError: volume v: the driver \"rexray\" is not offered; local is",
			acsapi.Task{Volumes: []acsapi.Volume{{Name: "v", Type: "docker", Docker: &acsapi.DockerVolume{Driver: "rexray"}}}, Containers: []acsapi.Container{{Name: "web", Image: "web"}}}},
		{"web: HostConfigError: container port range 80-90 takes no host port",
			acsapi.Task{Containers: []acsapi.Container{{Name: "web", Image: "web", PortMappings: []acsapi.PortMapping{{ContainerPortRange: "80-90", HostPort: 80}}}}}},
	} {
		def := read(t, c.task)
		if def.Refusal == nil {
			t.Errorf("not refused: %s", c.want)
			continue
		}
		if got := def.Refusal.Container + ": " + def.Refusal.Reason; got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestPayloadsThatMakeNoSense(t *testing.T) {
	web := []acsapi.Container{{Name: "web", Image: "web"}}
	for want, task := range map[string]acsapi.Task{
		`"x" is not an ARN: an ARN has six parts, arn:partition:service:region:account:resource`: {Arn: "x", DesiredStatus: "RUNNING", Containers: web},
		`"arn:aws:ecs:us-east-1:123456789012:service/demo/a" is not the ARN of a task`:           {Arn: "arn:aws:ecs:us-east-1:123456789012:service/demo/a", DesiredStatus: "RUNNING", Containers: web},
		`unrecognized desired status "SOON"`:                                                     {Arn: testARN, DesiredStatus: "SOON", Containers: web},
		`the task has no containers`:                                                             {Arn: testARN, DesiredStatus: "RUNNING"},
		`container name "web" is empty or used twice`:                                            {Arn: testARN, DesiredStatus: "RUNNING", Containers: append(web, web...)},
		`container web: read its overrides: unexpected end of JSON input`:                        {Arn: testARN, DesiredStatus: "RUNNING", Containers: []acsapi.Container{{Name: "web", Image: "web", Overrides: "{"}}},
		`container web: health check type "http" is not known`:                                   {Arn: testARN, DesiredStatus: "RUNNING", Containers: []acsapi.Container{{Name: "web", Image: "web", HealthCheckType: "http"}}},
	} {
		if _, err := ReadDefinition(&task, 0); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestHealth(t *testing.T) {
	begin := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	check := &HealthCheck{Interval: 10 * time.Second, StartPeriod: 35 * time.Second, Retries: 2}
	for _, c := range []struct {
		name   string
		probes string // a letter every ten seconds: p passes, f fails
		want   string // the status after each: U, H, x for UNHEALTHY
	}{
		{"healthy at once", "pp", "HH"},
		{"failures while starting do not count", "fffff", "UUUUx"},
		{"a success ends the start period", "pff", "HHx"},
		{"one failure is forgiven", "pfpfp", "HHHHH"},
		{"unhealthy and back", "pffp", "HHxH"},
	} {
		h := firstHealth(check, begin)
		got := ""
		for i, p := range c.probes {
			at := begin.Add(time.Duration(i+1) * 10 * time.Second)
			if !h.Next.Equal(at) {
				t.Errorf("%s: probe %d is due at %v", c.name, i, h.Next)
			}
			code := 0
			if p == 'f' {
				code = 1
			}
			h = h.after(ProbeResult{At: at, ExitCode: code}, check, begin)
			got += map[HealthStatus]string{HealthUnknown: "U", Healthy: "H", Unhealthy: "x"}[h.Status]
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// Whose networking is disabled has none, also in a task that has the machine's.
func TestDisabledNetworking(t *testing.T) {
	def := read(t, acsapi.Task{NetworkMode: "host", Containers: []acsapi.Container{
		{Name: "web", Image: "web"},
		{Name: "alone", Image: "web", DockerConfig: acsapi.DockerConfig{Config: `{"NetworkDisabled":true}`, HostConfig: `{"NetworkMode":"host"}`}},
	}})
	task := &Task{Containers: []Container{{Name: "web", RuntimeID: strings.Repeat("a", 32)}, {Name: "alone", RuntimeID: strings.Repeat("b", 32)}}}
	for name, want := range map[string]bool{"web": true, "alone": false} {
		s, err := buildSpec(Identity{}, def, def.Container(name), task, nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.HostNetwork != want {
			t.Errorf("%s has the machine's network: %v", name, s.HostNetwork)
		}
	}
}

func TestTheCommandMayBeOverridden(t *testing.T) {
	for overrides, want := range map[string]string{"": "[a]", "{}": "[a]", `{"command":["b","c"],"cpu":1}`: "[b c]", `{"command":[]}`: "[]"} {
		def := read(t, acsapi.Task{Containers: []acsapi.Container{{Name: "web", Image: "web", Command: []string{"a"}, Overrides: overrides}}})
		if got := fmt.Sprint(def.Containers[0].Config.Cmd); got != want {
			t.Errorf("%s: got %s, want %s", overrides, got, want)
		}
	}
}

func TestEnvironmentFiles(t *testing.T) {
	got, err := parseEnvironment(strings.NewReader("A=1\r\n# B=2\n\nnothing\n=x\nC= spaced \nD=a=b\nA=2\n"))
	if diff := cmp.Diff([]string{"A=1", "C= spaced ", "D=a=b", "A=2"}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	for value, want := range map[string]string{"/etc/x.env": "/etc/x.env", "file:///etc/x.env": "/etc/x.env", "x.env": "", "arn:aws:s3:::b/x.env": ""} {
		if path, ok := environmentFilePath(value); ok != (want != "") || ok && path != want {
			t.Errorf("%s: %s %v", value, path, ok)
		}
	}
	if _, err := readEnvironmentFile("/etc/hostname"); err == nil || !strings.Contains(err.Error(), "must end in .env") {
		t.Errorf("got %v", err)
	}
}

func TestSpec(t *testing.T) {
	def := read(t, acsapi.Task{
		Family: "web", Version: "3", PIDMode: "task",
		RoleCredentials: &acsapi.RoleCredentials{CredentialsID: "cred-1"},
		Associations:    []acsapi.Association{{Name: "gpu-0", Type: "gpu", Containers: []string{"web"}, Content: acsapi.AssociationContent{Value: "R1BVLTE=", Encoding: "base64"}}},
		Volumes:         []acsapi.Volume{{Name: "host", Type: "host", Host: &acsapi.HostVolume{SourcePath: "/srv"}}, {Name: "data", Type: "docker", Docker: &acsapi.DockerVolume{Scope: "shared", Autoprovision: true}}},
		Containers: []acsapi.Container{{
			Name: "web", Image: "web", CPU: 1, Memory: 64, Links: []string{"db:database"},
			Environment: map[string]string{"B": "task", "A": "task", "AWS_REGION": "mine"},
			MountPoints: []acsapi.MountPoint{{SourceVolume: "host", ContainerPath: "/host", ReadOnly: true}},
			VolumesFrom: []acsapi.VolumeFrom{{SourceContainer: "db", ReadOnly: true}},
			LinuxParameters: &acsapi.LinuxParameters{
				Capabilities: &acsapi.Capabilities{Add: []string{"NET_ADMIN"}}, InitProcessEnabled: true, SharedMemorySize: 16,
				Devices: []acsapi.Device{{HostPath: "/dev/null", Permissions: []string{"read", "write"}}},
			},
			DockerConfig: acsapi.DockerConfig{
				Config:     `{"Labels":{"team":"a"}}`,
				HostConfig: `{"CapAdd":["SYS_TIME"],"ExtraHosts":["other:10.1.2.3"],"SecurityOpt":["no-new-privileges"],"MemorySwap":134217728}`,
			},
		}, {
			Name: "db", Image: "db", PortMappings: []acsapi.PortMapping{{ContainerPort: 5432}},
			Environment: map[string]string{"USER": "app", "PATH": "/bin"},
			MountPoints: []acsapi.MountPoint{{SourceVolume: "data", ContainerPath: "/data"}, {SourceVolume: "data", ContainerPath: "/host"}},
		}},
	})
	if def.Refusal != nil {
		t.Fatalf("refused: %+v", def.Refusal)
	}
	id := strings.Repeat("ab", 32)
	task := &Task{Containers: []Container{
		{Name: "web", RuntimeID: id, MetadataID: "m1", DockerName: "ecs-web", Network: Attached{Namespace: "/run/x", IP: netip.MustParseAddr("10.0.0.2")}},
		{Name: "db", RuntimeID: strings.Repeat("cd", 32), DockerName: "ecs-db", Network: Attached{IP: netip.MustParseAddr("10.0.0.3")}},
	}}
	got, err := buildSpec(Identity{Cluster: "demo", Region: "us-east-1"}, def, &def.Containers[0], task, []string{"A=file", "F=file"})
	if err != nil {
		t.Fatal(err)
	}
	want := &Spec{
		ID: id, TaskID: "0123456789abcdef0123456789abcdef", DockerName: "ecs-web", Image: "web",
		Env: []string{
			"A=task", "F=file", "AWS_REGION=mine", "B=task", "DATABASE_NAME=/ecs-web/database", "DATABASE_PORT=tcp://10.0.0.3:5432",
			"DATABASE_PORT_5432_TCP=tcp://10.0.0.3:5432", "DATABASE_PORT_5432_TCP_ADDR=10.0.0.3", "DATABASE_PORT_5432_TCP_PORT=5432",
			"DATABASE_PORT_5432_TCP_PROTO=tcp", "DATABASE_ENV_USER=app",
			"ECS_CONTAINER_METADATA_URI=http://169.254.170.2/v3/m1", "ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/m1",
			"ECS_AGENT_URI=http://169.254.170.2/api/m1", "AWS_DEFAULT_REGION=us-east-1",
			"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/cred-1", "NVIDIA_VISIBLE_DEVICES=GPU-1",
		},
		Labels: map[string]string{
			"team": "a", "com.amazonaws.ecs.cluster": "demo", "com.amazonaws.ecs.container-name": "web", "com.amazonaws.ecs.task-arn": testARN,
			"com.amazonaws.ecs.task-definition-family": "web", "com.amazonaws.ecs.task-definition-version": "3",
		},
		CPUShares: 2, Memory: 64 * MiB, MemorySwap: 128 * MiB, Init: true, NoNewPrivileges: true, ShmSize: 16 * MiB,
		CapAdd: []string{"SYS_TIME", "NET_ADMIN"}, PIDMode: "task",
		Devices:   []Device{{HostPath: "/dev/null", ContainerPath: "/dev/null", Permissions: "rw"}},
		Namespace: "/run/x", IP: netip.MustParseAddr("10.0.0.2"), Hostname: id[:12],
		Hosts: []Host{{Names: []string{"other"}, Address: "10.1.2.3"}, {Names: []string{"database", "cdcdcdcdcdcd", "db", "ecs-db"}, Address: "10.0.0.3"}},
		Mounts: []Mount{
			{Source: "/srv", Path: "/host", ReadOnly: true},
			{Volume: &Volume{Name: "data", Shared: true}, Path: "/data", ReadOnly: true},
		},
		VolumesFrom: []VolumesFrom{{ID: strings.Repeat("cd", 32), ReadOnly: true}},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Containers in the host's network find their own agent among several.
func TestHostMetadata(t *testing.T) {
	me := Identity{HostMetadata: "http://10.9.0.1:51679"}
	for mode, want := range map[string]string{"host": "http://10.9.0.1:51679/v4/m1", "bridge": "http://169.254.170.2/v4/m1"} {
		task := &Task{Containers: []Container{{Name: "web", MetadataID: "m1"}}}
		def := &Definition{Task: &acsapi.Task{}, Containers: []ContainerDefinition{{Container: acsapi.Container{Name: "web"}, Host: HostConfig{NetworkMode: mode}}}}
		env := environment(me, def, &def.Containers[0], task, nil)
		if !slices.Contains(env, "ECS_CONTAINER_METADATA_URI_V4="+want) {
			t.Errorf("%s: %q, want %s in it", mode, env, want)
		}
	}
}

// Whatever comes and goes: what was taken never passes the capacity, no port is taken twice, and a task that fits is not
// kept waiting by one that does not.
func TestLedger(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		l := newLedger(Capacity{CPU: 1000, Memory: 1000})
		wants := map[string]needs{}
		held := map[string]needs{}
		for i := range rapid.IntRange(1, 40).Draw(r, "steps") {
			if len(held) > 0 && rapid.Bool().Draw(r, "give") {
				arn := rapid.SampledFrom(slices.Sorted(maps.Keys(held))).Draw(r, "who")
				l.give(arn)
				delete(held, arn)
			} else {
				arn := fmt.Sprintf("task %02d", i)
				wants[arn] = needs{
					cpu: rapid.Int64Range(0, 700).Draw(r, "cpu"), memory: rapid.Int64Range(0, 700).Draw(r, "memory"),
					ports: map[hostPort]bool{{"tcp", uint16(rapid.IntRange(1, 3).Draw(r, "port"))}: true},
				}
				l.await(candidate{arn: arn, needs: wants[arn], order: int64(i), wake: func() {}})
			}
			for again := true; again; {
				again = false
				for _, arn := range slices.Sorted(maps.Keys(wants)) {
					if l.take(arn) {
						held[arn], again = wants[arn], true
						delete(wants, arn)
					}
				}
			}
			var cpu, memory int64
			ports := map[hostPort]bool{}
			for _, n := range held {
				cpu, memory = cpu+n.cpu, memory+n.memory
				for p := range n.ports {
					if ports[p] {
						r.Fatalf("%v is taken twice", p)
					}
					ports[p] = true
				}
			}
			if cpu > 1000 || memory > 1000 {
				r.Fatalf("%d CPU and %d MiB are taken", cpu, memory)
			}
			for arn, n := range wants {
				busy := false
				for p := range n.ports {
					busy = busy || ports[p]
				}
				if !busy && cpu+n.cpu <= 1000 && memory+n.memory <= 1000 {
					r.Fatalf("%s fits and waits", arn)
				}
			}
		}
	})
}

func TestReasonsAreCut(t *testing.T) {
	if got := cut(strings.Repeat("ö", 2000), maxReason); len([]rune(got)) != maxReason {
		t.Errorf("%d characters", len([]rune(got)))
	}
	if got := cut("short", maxReason); got != "short" {
		t.Errorf("got %q", got)
	}
}

func TestOnlyOneProcessHasAJournal(t *testing.T) {
	path := t.TempDir() + "/agent.db"
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(path); err == nil || !strings.HasSuffix(err.Error(), "another process has it open") {
		t.Errorf("got %v", err)
	}
	if err := j.Remember(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	if err := j.put(&entry{recordID: recordID{bucketFormat, "format"}, value: []byte("99")}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(path); err == nil || !strings.Contains(err.Error(), "use the gantry that wrote it, or a newer one") {
		t.Errorf("got %v", err)
	}
}

// TestTaskShares: a task that says how much CPU it needs weighs as much beside others, whatever its containers say.
func TestTaskShares(t *testing.T) {
	for _, test := range []struct {
		vcpu  float64
		units []int64
		want  int64
	}{
		{0, []int64{0}, 2}, {0, []int64{256, 1}, 258}, {0.5, []int64{0, 0}, 512}, {1, []int64{256}, 1024}, {192, []int64{0}, 196608},
	} {
		task := acsapi.Task{Family: "web", CPU: test.vcpu}
		for i, units := range test.units {
			task.Containers = append(task.Containers, acsapi.Container{Name: string(rune('a' + i)), Image: "i", CPU: units})
		}
		if got := taskShares(read(t, task)); got != test.want {
			t.Errorf("task of %g vCPU, containers of %v units: %d, want %d", test.vcpu, test.units, got, test.want)
		}
	}
}

// Whoever sees first that the time of a transition is up, it is told in the same words; what fails before is told as it is.
func TestWithin(t *testing.T) {
	const late = "ContainerRuntimeTimeoutError: Could not transition to RUNNING; timed out after waiting 3m0s"
	shim := fmt.Errorf("start the task: %w", context.DeadlineExceeded)
	for _, test := range []struct {
		name  string
		after time.Duration
		err   error
		want  string
	}{
		{"our clock", 4 * time.Minute, errors.New("cut off"), late},
		{"the shim's clock", 3*time.Minute - time.Millisecond, shim, late},
		{"another limit's", time.Minute, shim, shim.Error()},
		{"a failure", time.Second, errors.New("no such program"), "no such program"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := within(t.Context(), 3*time.Minute, "RUNNING", func(context.Context) error {
					time.Sleep(test.after)
					return test.err
				})
				if err == nil || err.Error() != test.want {
					t.Errorf("got  %v\nwant %s", err, test.want)
				}
			})
		})
	}
}

// A task that nobody wants to hear of any more goes as others do; one that was not told yet stays.
func TestATaskThatIsNotWantedIsForgotten(t *testing.T) {
	ended := time.Date(2026, 11, 28, 4, 0, 0, 0, time.UTC)
	def := read(t, acsapi.Task{Containers: []acsapi.Container{{Name: "web", Image: "web", Essential: true}}})
	for _, test := range []struct {
		told  Told
		after time.Duration
		want  string
	}{
		{Told{Status: gantry.Running}, 24 * time.Hour, "[]"},
		{Told{Status: gantry.Running, GivenUp: true}, time.Minute, "[]"},
		{Told{Status: gantry.Running, GivenUp: true}, time.Hour, "[forget]"},
		{Told{Status: gantry.Stopped}, time.Hour, "[forget]"},
	} {
		task := &Task{Desired: gantry.Stopped, Admitted: true, Prepared: true, Released: true, StoppedAt: ended, Told: test.told, Containers: []Container{{Name: "web", Phase: Ended}}}
		if got := fmt.Sprint(MakePlan(ended.Add(test.after), Rules{Cleanup: time.Hour}, def, task).Steps); got != test.want {
			t.Errorf("told %+v, %s after its end: %s, want %s", test.told, test.after, got, test.want)
		}
	}
}

// What others depend on ends after them, also while they are only being started.
func TestADependencyOutlivesWhatIsBeingStarted(t *testing.T) {
	def := read(t, acsapi.Task{Containers: []acsapi.Container{
		{Name: "db", Image: "db", Essential: true},
		{Name: "web", Image: "web", DependsOn: []acsapi.DependsOn{{ContainerName: "db", Condition: OnStart}}},
	}})
	for phase, want := range map[Phase]string{Launching: "[]", Restarting: "[]", Up: "[]", Ended: "[signal db]"} {
		task := &Task{Desired: gantry.Stopped, Admitted: true, Prepared: true, Containers: []Container{
			{Name: "db", Phase: Up, StartedAt: time.Now()}, {Name: "web", Phase: phase, Busy: Launch, StartedAt: time.Now()},
		}}
		if got := fmt.Sprint(MakePlan(time.Now(), Rules{}, def, task).Steps); got != want {
			t.Errorf("web is %s: %s, want %s", phase, got, want)
		}
	}
}
