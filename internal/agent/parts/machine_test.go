package parts

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry/internal/agent/engine"
	"gantry/internal/agent/logdriver"
	"gantry/internal/agent/runtime"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"
)

// run sends a task, lets it run and returns its last report.
func (h *host) run(task acsapi.Task) ecsapi.SubmitTaskStateChangeInput {
	h.t.Helper()
	h.send(task)
	return h.plane.Change(task.Arn, "STOPPED")
}

func (h *host) send(task acsapi.Task) {
	h.t.Helper()
	id := fmt.Sprint("payload ", len(h.plane.Said()), task.Arn)
	h.plane.Payload(id, 1, task)
	h.plane.Acked(id)
}

// arn is a task's, by number.
func arn(n int) string {
	return fmt.Sprintf("arn:aws:ecs:us-east-1:123456789012:task/demo/%032d", n)
}

// told is a container as a report tells it: "7" for its exit code, and the reason.
func told(t testing.TB, change ecsapi.SubmitTaskStateChangeInput, name string) string {
	t.Helper()
	for _, c := range change.Containers {
		if *c.ContainerName != name {
			continue
		}
		text := "no exit code"
		if c.ExitCode != nil {
			text = fmt.Sprint(*c.ExitCode)
		}
		if c.Reason != nil {
			text += " " + *c.Reason
		}
		return text
	}
	t.Fatalf("the report tells nothing of %s: %+v", name, change)
	return ""
}

// printed is what a container printed, read from where its driver keeps it.
func (h *host) printed(task, name string) string {
	h.t.Helper()
	v, ok := h.agent.Engine().Task(task)
	if !ok {
		h.t.Fatalf("task %s is not known", task)
	}
	var out bytes.Buffer
	must(h.t, h.logs.Print(h.t.Context(), &out, v.Task.Container(name).RuntimeID, logdriver.UntilNow))
	return out.String()
}

// patience is how long a test waits for what has to come: a busy machine takes its time.
const patience = 2 * time.Minute

// until returns when something has come true.
func (h *host) until(what string, done func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// get asks until somebody answers: a container is RUNNING before its program listens.
func get(t *testing.T, url string) string {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		r, err := http.Get(url)
		if err == nil {
			body, err := io.ReadAll(r.Body)
			must(t, err)
			must(t, r.Body.Close())
			return string(body)
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func one(n int, c acsapi.Container) acsapi.Task {
	c.Name, c.Essential = "web", true
	return payload(arn(n), c)
}

func TestHowTasksEnd(t *testing.T) {
	h := newHost(t)
	for n, c := range []struct {
		name string
		c    acsapi.Container
		stop bool
		want string
	}{
		{"its exit code", acsapi.Container{Command: []string{"exit", "7"}}, false, "7"},
		{"out of memory", acsapi.Container{Command: []string{"eat", "200"}}, false, "137 OutOfMemoryError: Container killed due to memory usage"},
		{"no such program", acsapi.Container{EntryPoint: []string{"/nothing"}}, false, "no exit code Cannot…/nothing…no such file or directory…"},
		{"no such image", acsapi.Container{Image: "127.0.0.1:1/nothing:1"}, false, "no exit code CannotPullContainerError: …"},
		{"asked to end", acsapi.Container{Command: []string{"wait"}}, true, "0"},
		{"made to end", acsapi.Container{Command: []string{"deaf"}, StopTimeout: new(int64(1))}, true, "137"},
		{"a limit above the host's", acsapi.Container{DockerConfig: acsapi.DockerConfig{
			HostConfig: `{"Sysctls":{"kernel.nonsense":"1"}}`}}, false, "no exit code CannotCreateContainerError: …kernel.nonsense…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			task := one(n, c.c)
			h.send(task)
			if c.stop {
				h.plane.Change(task.Arn, "RUNNING")
				h.until("it printed", func() bool { return h.printed(task.Arn, "web") != "" }) // its signals are set then
				h.send(stop(task.Arn))
			}
			if got := told(t, h.plane.Change(task.Arn, "STOPPED"), "web"); !like(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// like compares with a pattern in which … stands for anything.
func like(got, pattern string) bool {
	parts := strings.Split(pattern, "…")
	rest, ok := strings.CutPrefix(got, parts[0])
	for _, p := range parts[1:] {
		i := strings.Index(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return ok && (len(parts) > 1 || rest == "")
}

func TestWhatAContainerSees(t *testing.T) {
	h := newHost(t)
	env := filepath.Join(t.TempDir(), "first.env")
	must(t, os.WriteFile(env, []byte("# comment\nFROM_FILE=file\nA=file\n\nnothing\n"), 0o644))
	second := filepath.Join(filepath.Dir(env), "second.env")
	must(t, os.WriteFile(second, []byte("FROM_FILE=second\n"), 0o644))
	task := payload(arn(1),
		acsapi.Container{
			Name: "web", Essential: true, Command: []string{"serve", "8080"}, Links: []string{"db:database"},
			Environment:      map[string]string{"A": "definition"},
			EnvironmentFiles: []acsapi.EnvironmentFile{{Value: env, Type: "s3"}, {Value: "file://" + second, Type: "s3"}},
			PortMappings:     []acsapi.PortMapping{{ContainerPort: 8080}, {ContainerPortRange: "9000-9002", Protocol: "udp"}},
			DockerConfig:     acsapi.DockerConfig{HostConfig: `{"ExtraHosts":["other:10.1.2.3"]}`, Config: `{"Labels":{"a":"b"}}`},
		},
		acsapi.Container{Name: "db", Essential: true, Command: []string{"wait"}, PortMappings: []acsapi.PortMapping{{ContainerPort: 5432, HostPort: 15432}}},
	)
	h.send(task)
	running := h.plane.Change(task.Arn, "RUNNING")
	var web ecsapi.ContainerStateChange
	for _, c := range slices.Concat(running.Containers) {
		if *c.ContainerName == "web" {
			web = c
		}
	}
	if len(web.NetworkBindings) != 2 || web.ImageDigest == nil {
		t.Fatalf("RUNNING with %+v", running)
	}
	if b := web.NetworkBindings[1]; b.HostPort != nil || *b.ContainerPortRange != "9000-9002" || b.HostPortRange == nil {
		t.Errorf("the range is bound to %+v", b)
	}
	seen := "\n" + get(t, fmt.Sprintf("http://127.0.0.1:%d/", *web.NetworkBindings[0].HostPort))
	for _, want := range []string{
		"\nA=definition\n", "\nFROM_FILE=file\n", "\nAWS_REGION=us-east-1\n", "\nECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/…\n",
		"\nDATABASE_PORT_5432_TCP_PORT=5432\n", "\n10.1.2.3\tother\n", "\tdatabase …",
	} {
		if !strings.Contains(seen, strings.Split(want, "…")[0]) {
			t.Errorf("%q is missing in %s", want, seen)
		}
	}
	h.send(stop(task.Arn))
	h.plane.Change(task.Arn, "STOPPED")
	if got := h.printed(task.Arn, "web"); got != "serving\n" {
		t.Errorf("printed %q", got)
	}
}

func TestVolumes(t *testing.T) {
	h := newHost(t)
	folder := t.TempDir()
	task := payload(arn(1),
		acsapi.Container{Name: "writer", Essential: true, Command: []string{"write", "/data/file", "text"}, MountPoints: []acsapi.MountPoint{
			{SourceVolume: "task", ContainerPath: "/data"}, {SourceVolume: "host", ContainerPath: "/host"}, {SourceVolume: "scratch", ContainerPath: "/scratch"},
		}},
		acsapi.Container{
			Name: "reader", Command: []string{"exists", "/data/file"}, VolumesFrom: []acsapi.VolumeFrom{{SourceContainer: "writer", ReadOnly: true}},
			DependsOn: []acsapi.DependsOn{{ContainerName: "writer", Condition: "HEALTHY"}},
		},
		acsapi.Container{
			Name: "intruder", Command: []string{"write", "/data/other", "text"}, VolumesFrom: []acsapi.VolumeFrom{{SourceContainer: "writer", ReadOnly: true}},
			DependsOn: []acsapi.DependsOn{{ContainerName: "writer", Condition: "HEALTHY"}},
		},
	)
	task.Containers[0].HealthCheckType = "docker"
	task.Containers[0].DockerConfig.Config = `{"Healthcheck":{"Test":["CMD","/program","exists","/data/file"],"Interval":100000000}}`
	task.Volumes = []acsapi.Volume{
		{Name: "task", Type: "docker", Docker: &acsapi.DockerVolume{Scope: "task", Driver: "local"}},
		{Name: "host", Type: "host", Host: &acsapi.HostVolume{SourcePath: folder}},
		{Name: "scratch", Type: "host", Host: &acsapi.HostVolume{}},
	}
	h.send(task)
	h.plane.Change(task.Arn, "RUNNING")
	ends := map[string]string{}
	h.until("reader and intruder ended", func() bool {
		for _, change := range h.plane.Changes(task.Arn) {
			for _, c := range change.Containers {
				if *c.Status == "STOPPED" {
					ends[*c.ContainerName] = told(t, change, *c.ContainerName)
				}
			}
		}
		return len(ends) == 2
	})
	if ends["reader"] != "0" || ends["intruder"] != "1" {
		t.Errorf("ended with %v", ends)
	}
	volumes, err := h.machine.Runtime.Volumes()
	must(t, err)
	if len(volumes) != 2 {
		t.Errorf("volumes %+v", volumes)
	}
	h.send(stop(task.Arn))
	h.plane.Change(task.Arn, "STOPPED")

	missing := one(2, acsapi.Container{Command: []string{"wait"}})
	missing.Volumes = []acsapi.Volume{{Name: "shared", Type: "docker", Docker: &acsapi.DockerVolume{Scope: "shared"}}}
	if got := *h.run(missing).Reason; got != "CannotCreateVolumeError: the shared volume shared does not exist on this instance, and its autoprovision is false" {
		t.Errorf("reason %q", got)
	}
}

func TestRestartInPlace(t *testing.T) {
	h := newHost(t)
	// Each run appends a byte to a file of its own layer and exits with the number of bytes; 3 is not restarted.
	const period = time.Second
	task := one(1, acsapi.Container{Command: []string{"count", "/tmp/count"}, RestartPolicy: &acsapi.RestartPolicy{
		Enabled: true, RestartAttemptPeriod: int64(period / time.Second), IgnoredExitCodes: []int32{3},
	}})
	h.send(task)
	for n, printed := range []string{"1\n", "1\n2\n", "1\n2\n3\n"} {
		var web *engine.Container
		h.until("a run has lasted for the period", func() bool {
			v, ok := h.agent.Engine().Task(task.Arn)
			if !ok {
				return false
			}
			web = v.Task.Container("web")
			return web.Phase == engine.Up && web.Restarts == n && time.Since(web.StartedAt) > period
		})
		h.until("it counted", func() bool { return h.printed(task.Arn, "web") == printed })
		must(t, h.machine.Runtime.Kill(t.Context(), runtime.ContainerID(web.RuntimeID), ""))
	}
	if got := told(t, h.plane.Change(task.Arn, "STOPPED"), "web"); got != "3" {
		t.Errorf("ended with %s", got)
	}
	if got := h.printed(task.Arn, "web"); got != "1\n2\n3\n" {
		t.Errorf("printed %q", got)
	}
}

func TestNamespacesOfATask(t *testing.T) {
	h := newHost(t)
	task := payload(arn(1),
		acsapi.Container{Name: "web", Essential: true, Command: []string{"wait"}},
		acsapi.Container{Name: "side", Essential: true, Command: []string{"pids"}, DependsOn: []acsapi.DependsOn{{ContainerName: "web", Condition: "START"}}},
	)
	task.PIDMode, task.IPCMode = "task", "task"
	h.run(task)
	sees := ""
	for _, change := range h.plane.Changes(task.Arn) { // its end may be told before the task's
		for _, c := range change.Containers {
			if *c.ContainerName == "side" && *c.Status == "STOPPED" {
				sees = told(t, change, "side")
			}
		}
	}
	// The holder of the namespaces, web and side itself.
	if sees != "3" {
		t.Errorf("side sees %q processes, want 3", sees)
	}
}

func TestSharedMemoryOfATask(t *testing.T) {
	h := newHost(t)
	task := payload(arn(1),
		acsapi.Container{Name: "web", Essential: true, Command: []string{"wait"}, DockerConfig: acsapi.DockerConfig{HostConfig: `{"ShmSize":8388608}`}},
		acsapi.Container{Name: "side", Essential: true, Command: []string{"shm"}},
	)
	task.IPCMode = "task"
	h.run(task)
	v, _ := h.agent.Engine().Task(task.Arn)
	if exit := v.Task.Container("side").Exit; exit == nil || exit.Code != 8 {
		t.Errorf("the shared memory of the task: %+v, want the 8 MiB that one of its containers asks for", exit)
	}
}

func TestTheAgentComesBack(t *testing.T) {
	h := newHost(t)
	short := one(1, acsapi.Container{Command: []string{"count", "/tmp/count"}})
	long := one(2, acsapi.Container{Command: []string{"serve", "8080"}, PortMappings: []acsapi.PortMapping{{ContainerPort: 8080, HostPort: 18080}}})
	h.send(short)
	h.send(long)
	h.plane.Change(short.Arn, "RUNNING")
	h.plane.Change(long.Arn, "RUNNING")
	h.until("short minds its signals", func() bool { return h.printed(short.Arn, "web") != "" })
	v, _ := h.agent.Engine().Task(short.Arn)
	h.halt()
	get(t, "http://127.0.0.1:18080/")
	must(t, h.machine.Runtime.Kill(t.Context(), runtime.ContainerID(v.Task.Container("web").RuntimeID), ""))
	h.until("short ended while nobody looks", func() bool { return ended(t, h) })
	h.start()
	if got := told(t, h.plane.Change(short.Arn, "STOPPED"), "web"); got != "1" {
		t.Errorf("ended with %s", got)
	}
	get(t, "http://127.0.0.1:18080/")
	h.plane.Connected(2)
	h.send(stop(long.Arn))
	h.plane.Change(long.Arn, "STOPPED")
	// RUNNING may be told again, by an agent that was stopped before it heard that it was heard.
	for _, c := range h.plane.Changes(long.Arn)[1:] {
		if *c.Status == "PENDING" {
			t.Errorf("told %+v", c)
		}
	}
}

// ended reports whether a container of the runtime has ended.
func ended(t testing.TB, h *host) bool {
	t.Helper()
	list, err := h.machine.Runtime.List(t.Context())
	must(t, err)
	return slices.ContainsFunc(list, func(c runtime.Container) bool { return c.State == runtime.Stopped })
}

func TestTaskLimits(t *testing.T) {
	h := newHost(t)
	task := payload(arn(1),
		acsapi.Container{Name: "web", Essential: true, Command: []string{"wait"}, Memory: 96},
		acsapi.Container{Name: "eater", Command: []string{"eat", "200"}, Memory: 96},
	)
	task.CPU, task.Memory = 0.5, 96
	h.send(task)
	h.plane.Change(task.Arn, "RUNNING")
	var web, eater *engine.Container
	h.until("eater ended", func() bool {
		v, ok := h.agent.Engine().Task(task.Arn)
		if ok {
			web, eater = v.Task.Container("web"), v.Task.Container("eater")
		}
		return ok && eater.Exit != nil
	})
	if eater.Exit.Code != 137 || !eater.Exit.OOMKilled {
		t.Errorf("eater ended with %+v", eater.Exit)
	}
	if web.Exit != nil {
		t.Errorf("web ended with %+v", web.Exit)
	}
	h.send(stop(task.Arn))
	h.plane.Change(task.Arn, "STOPPED")
}
