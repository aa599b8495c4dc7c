package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// The parts of ECS's answers that the tests look at.
type (
	binding struct {
		BindIP        string `json:"bindIP"`
		ContainerPort int    `json:"containerPort"`
		HostPort      int    `json:"hostPort"`
		Protocol      string `json:"protocol"`
	}
	container struct {
		Name            string    `json:"name"`
		LastStatus      string    `json:"lastStatus"`
		ExitCode        *int      `json:"exitCode"`
		Reason          string    `json:"reason"`
		RuntimeID       string    `json:"runtimeId"`
		ImageDigest     string    `json:"imageDigest"`
		HealthStatus    string    `json:"healthStatus"`
		NetworkBindings []binding `json:"networkBindings"`
	}
	task struct {
		TaskArn       string      `json:"taskArn"`
		LastStatus    string      `json:"lastStatus"`
		DesiredStatus string      `json:"desiredStatus"`
		HealthStatus  string      `json:"healthStatus"`
		Connectivity  string      `json:"connectivity"`
		StopCode      string      `json:"stopCode"`
		StoppedReason string      `json:"stoppedReason"`
		Containers    []container `json:"containers"`
		CreatedAt     any         `json:"createdAt"`
		PullStartedAt any         `json:"pullStartedAt"`
		PullStoppedAt any         `json:"pullStoppedAt"`
		StartedAt     any         `json:"startedAt"`
		StoppingAt    any         `json:"stoppingAt"`
		ExecutionStop any         `json:"executionStoppedAt"`
		StoppedAt     any         `json:"stoppedAt"`
	}
	tasks struct {
		Tasks    []task `json:"tasks"`
		Failures []struct {
			Arn    string `json:"arn"`
			Reason string `json:"reason"`
			Detail string `json:"detail"`
		} `json:"failures"`
	}
)

func (t task) container(name string) container {
	for _, c := range t.Containers {
		if c.Name == name {
			return c
		}
	}
	return container{}
}

// register registers a task definition and returns family:revision.
func (s *server) register(t *testing.T, definition map[string]any) string {
	t.Helper()
	input, err := json.Marshal(definition)
	if err != nil {
		t.Fatal(err)
	}
	out := awsJSON[struct {
		TaskDefinition struct {
			Family   string `json:"family"`
			Revision int    `json:"revision"`
		} `json:"taskDefinition"`
	}](t, s, "ecs", "register-task-definition", "--cli-input-json", string(input))
	return fmt.Sprintf("%s:%d", out.TaskDefinition.Family, out.TaskDefinition.Revision)
}

// family is a name that no other test uses.
func family(t *testing.T) string {
	return strings.NewReplacer("/", "-", "#", "-", ".", "-", ",", "").Replace(t.Name())
}

// sample is a container of one of the sample images.
func sample(name string, settings map[string]any) map[string]any {
	c := map[string]any{"name": name, "image": "gantry/sample-" + name + ":latest", "cpu": 10, "memory": 64}
	for k, v := range settings {
		c[k] = v
	}
	return c
}

func environment(pairs ...string) []map[string]string {
	var env []map[string]string
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		env = append(env, map[string]string{"name": name, "value": value})
	}
	return env
}

// run starts one task of the definition and returns its ARN.
func (s *server) run(t *testing.T, definition string, args ...string) string {
	t.Helper()
	out := awsJSON[tasks](t, s, append([]string{"ecs", "run-task", "--task-definition", definition}, args...)...)
	if len(out.Failures) > 0 || len(out.Tasks) != 1 {
		t.Fatalf("run-task %s: %+v", definition, out)
	}
	arn := out.Tasks[0].TaskArn
	t.Cleanup(func() { _, _ = s.tryAWS(t, "ecs", "stop-task", "--task", arn) })
	return arn
}

func (s *server) describe(t *testing.T, arn string) task {
	t.Helper()
	out := awsJSON[tasks](t, s, "ecs", "describe-tasks", "--tasks", arn)
	if len(out.Tasks) != 1 {
		t.Fatalf("describe-tasks %s: %+v", arn, out)
	}
	return out.Tasks[0]
}

// until waits until the task has a status, as fast as the CLI can look.
func (s *server) until(t *testing.T, arn, status string) task {
	t.Helper()
	var last task
	eventually(t, arn+" to be "+status, func() (bool, string) {
		last = s.describe(t, arn)
		return last.LastStatus == status, fmt.Sprintf("%+v", last)
	})
	return last
}

func TestTaskOfTwoContainers(t *testing.T) {
	s := gantry(t)
	definition := s.register(t, map[string]any{
		"family": family(t), "networkMode": "bridge",
		"containerDefinitions": []any{
			sample("web", map[string]any{
				"portMappings": []any{map[string]any{"containerPort": 8080}},
				"healthCheck":  map[string]any{"command": []string{"CMD", "/web", "check"}, "interval": 5, "timeout": 20},
			}),
			sample("worker", map[string]any{
				"essential": false,
				"dependsOn": []any{map[string]string{"containerName": "web", "condition": "HEALTHY"}},
			}),
		},
	})
	arn := s.run(t, definition)
	s.aws(t, "ecs", "wait", "tasks-running", "--tasks", arn)
	// Health travels by another connection than states do.
	var got task
	eventually(t, "it to be HEALTHY", func() (bool, string) {
		got = s.describe(t, arn)
		return got.HealthStatus == "HEALTHY", fmt.Sprintf("%+v", got)
	})
	eventually(t, "the worker to mind its signals", func() (bool, string) {
		out, err := s.gantry("logs", arn, "worker")
		return strings.HasPrefix(out, "worker: line 1\n"), fmt.Sprint(out, err)
	})
	web := got.container("web")
	if got.LastStatus != "RUNNING" || got.DesiredStatus != "RUNNING" || got.HealthStatus != "HEALTHY" || got.Connectivity != "CONNECTED" {
		t.Errorf("task: %+v", got)
	}
	if got.CreatedAt == nil || got.PullStartedAt == nil || got.PullStoppedAt == nil || got.StartedAt == nil {
		t.Errorf("a time is missing: %+v", got)
	}
	if len(web.NetworkBindings) != 1 || web.NetworkBindings[0].ContainerPort != 8080 || web.NetworkBindings[0].HostPort < 32768 {
		t.Fatalf("bindings of web: %+v", web.NetworkBindings)
	}
	if !strings.HasPrefix(web.ImageDigest, "sha256:") || len(web.RuntimeID) < 32 || web.HealthStatus != "HEALTHY" {
		t.Errorf("web: %+v", web)
	}

	body := fetch(t, fmt.Sprintf("http://127.0.0.1:%d/", web.NetworkBindings[0].HostPort))
	if !strings.Contains(body, arn) {
		t.Errorf("web tells a task other than %s: %s", arn, body)
	}

	s.aws(t, "ecs", "stop-task", "--task", arn, "--reason", "enough")
	s.aws(t, "ecs", "wait", "tasks-stopped", "--tasks", arn)
	got = s.describe(t, arn)
	if got.StopCode != "UserInitiated" || got.StoppedReason != "enough" || got.DesiredStatus != "STOPPED" {
		t.Errorf("stopped task: %+v", got)
	}
	if got.StoppingAt == nil || got.StoppedAt == nil || got.ExecutionStop == nil {
		t.Errorf("a time is missing: %+v", got)
	}
	for _, c := range got.Containers {
		if c.LastStatus != "STOPPED" || c.ExitCode == nil || *c.ExitCode != 0 {
			t.Errorf("container %s after SIGTERM: %+v", c.Name, c)
		}
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Timeout: answerWithin}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestHowTasksEnd: the same ends that users meet on AWS, told in the same words.
func TestHowTasksEnd(t *testing.T) {
	for _, test := range []struct {
		name       string
		container  map[string]any
		stopCode   string
		reason     string // in stoppedReason
		exitCode   int    // -1 for none
		contReason string
	}{
		{"exit", sample("crasher", map[string]any{"environment": environment("EXIT_CODE=3", "CRASH_AFTER=100ms")}),
			"EssentialContainerExited", "Essential container in task exited", 3, ""},
		{"memory", sample("eater", map[string]any{"memory": 16, "environment": environment("EAT_MIB=64", "EAT_STEP=1ms")}),
			"EssentialContainerExited", "Essential container in task exited", 137, "OutOfMemoryError: Container killed due to memory usage"},
		{"no-image", map[string]any{"name": "x", "image": "127.0.0.1:1/nothing:1", "memory": 16},
			"TaskFailedToStart", "", -1, "CannotPullContainerError"},
		{"no-program", sample("worker", map[string]any{"entryPoint": []string{"/nothing"}}),
			"TaskFailedToStart", "", -1, "CannotStartContainerError"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := gantry(t)
			arn := s.run(t, s.register(t, map[string]any{"family": family(t), "containerDefinitions": []any{test.container}}))
			got := s.until(t, arn, "STOPPED")
			c := got.Containers[0]
			if got.StopCode != test.stopCode || !strings.Contains(got.StoppedReason, test.reason) {
				t.Errorf("stopCode %q, stoppedReason %q", got.StopCode, got.StoppedReason)
			}
			if !strings.HasPrefix(c.Reason, test.contReason) {
				t.Errorf("container's reason: %q, want %q", c.Reason, test.contReason)
			}
			switch {
			case test.exitCode < 0 && c.ExitCode != nil:
				t.Errorf("exit code %d of a container that never ran", *c.ExitCode)
			case test.exitCode >= 0 && (c.ExitCode == nil || *c.ExitCode != test.exitCode):
				t.Errorf("exit code %v, want %d", c.ExitCode, test.exitCode)
			}
		})
	}
}
