package metadata

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what is rendered to testdata instead of comparing it")

func noon(seconds int) time.Time { return time.Date(2026, 11, 23, 12, 0, seconds, 0, time.UTC) }

const (
	taskARN  = "arn:aws:ecs:us-east-1:123456789012:task/demo/96a7e6e7d2ccd49d680096a7e6e7d2cc"
	webID    = "89ca4137a48d000000000000000000000000000000000000000000000000aaaa"
	webUUID  = "97b3ffcc-7e30-4279-91f2-a4fe75bbe812"
	sideUUID = "0d0d1f64-1f5a-4b4c-8f1b-0c6f5a9b7a11"
)

// demo is a task with a running container that has everything and one that is not created yet.
func demo() Task {
	return Task{
		ARN: taskARN, Cluster: "demo", Family: "web", Revision: "1", ServiceName: "websvc",
		DesiredStatus: "RUNNING", KnownStatus: "PENDING", Limits: &TaskLimits{0.5, 128},
		PullStartedAt: noon(8), PullStoppedAt: noon(9), AvailabilityZone: "local-1a", LaunchType: "EXTERNAL",
		Containers: []Container{{
			MetadataID: webUUID, ID: webID, Name: "web", RuntimeName: "ecs-web-1-web-8aa5bbf9a7efcacdb301",
			ARN:   "arn:aws:ecs:us-east-1:123456789012:container/demo/96a7/0206",
			Image: "local/busybox:1", ImageDigest: "sha256:00ff",
			Ports:         []Port{{8080, 32769, "tcp", "0.0.0.0"}},
			Labels:        map[string]string{"com.amazonaws.ecs.container-name": "web"},
			DesiredStatus: "RUNNING", KnownStatus: "RUNNING", CPU: 128, MemoryMiB: 64,
			CreatedAt: noon(10), StartedAt: noon(11),
			Networks:  []Network{{"bridge", []string{"10.208.0.2"}}},
			Health:    &Health{Status: "HEALTHY", Since: noon(13)},
			Volumes:   []Volume{{"data", "/var/lib/data", "/data"}},
			LogDriver: "awslogs", LogOptions: map[string]string{"awslogs-group": "g"}, RestartCount: new(0),
		}, {
			MetadataID: sideUUID, Name: "side", RuntimeName: "ecs-web-1-side-96a7e6e7d2ccd49d6800",
			Image: "local/busybox:1", DesiredStatus: "RUNNING", KnownStatus: "NONE", ExitCode: new(3), FinishedAt: noon(20),
		}},
	}
}

func demoSample() Sample {
	before := Stats{
		Read: noon(30), CPU: CPUStats{Total: 100, System: 5000, OnlineCPUs: 2},
		Networks: map[string]InterfaceStats{"eth0": {RxBytes: 1000, TxBytes: 900}},
	}
	return Sample{Before: &before, Latest: Stats{
		Read:     noon(32),
		CPU:      CPUStats{Total: 200, User: 150, Kernel: 50, System: 9000, OnlineCPUs: 2, Periods: 10, ThrottledPeriods: 2, ThrottledTime: 77},
		Memory:   MemoryStats{Usage: 4096, MaxUsage: 8192, Limit: 65536, Details: map[string]uint64{"cache": 1, "rss": 2}},
		Pids:     3,
		BlockIO:  []BlockIO{{8, 0, "Read", 512, 1}, {8, 0, "Write", 1024, 2}},
		Networks: map[string]InterfaceStats{"eth0": {1500, 5, 0, 1, 200, 4, 0, 0}},
	}}
}

// fake is an agent with one task.
type fake struct{ tasks []Task }

func (f fake) Tasks() []Task { return f.tasks }

func (f fake) TaskByMetadataID(id string) (Task, bool) {
	for _, t := range f.tasks {
		for _, c := range t.Containers {
			if c.MetadataID == id {
				return t, true
			}
		}
	}
	return Task{}, false
}

func (f fake) Stats(id string) (Sample, bool) { return demoSample(), id == webID }

func (f fake) Credentials(id string) (Credentials, bool) {
	switch id {
	case "ready":
		return Credentials{"arn:aws:iam::123456789012:role/r", "AKID", "secret", "token", noon(0)}, true
	case "expected":
		return Credentials{}, true
	}
	return Credentials{}, false
}

func (f fake) Tags(_ context.Context, arn string) Tags {
	return Tags{
		Task:   map[string]string{"task": arn},
		Errors: []TagError{{"ContainerInstanceTags", "AccessDeniedException", "no", 400, "r-1", "arn:ci"}},
	}
}

func (f fake) Protection(_ context.Context, arn string) ProtectionAnswer {
	return ProtectionAnswer{Protection: &Protection{TaskARN: arn}}
}

func (f fake) Protect(ctx context.Context, arn string, enabled bool, minutes *int32) ProtectionAnswer {
	switch {
	case !enabled:
		return f.Protection(ctx, arn)
	case minutes == nil:
		return ProtectionAnswer{Failure: &ProtectionFailure{arn, nil, "TASK_NOT_VALID"}}
	case *minutes > 2880:
		return ProtectionAnswer{RequestID: "r-1", Error: &ProtectionError{arn, "InvalidParameterException", "too long"}, Status: 400}
	}
	return ProtectionAnswer{Protection: &Protection{new(noon(int(*minutes))), true, arn}}
}

func demoEndpoint() http.Handler {
	f := fake{[]Task{demo()}}
	return NewEndpoint(Config{Tasks: f, Stats: f, Credentials: f, Tags: f, Protector: f, Now: func() time.Time { return noon(0) }})
}

// ask makes a request and tells status and body, the latter with sorted, indented members.
func ask(t *testing.T, h http.Handler, method, path, body string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	var v any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		return w.Code, w.Body.String()
	}
	pretty, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(pretty) + "\n"
}

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: %s", file, diff)
	}
}
