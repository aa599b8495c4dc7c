package e2e

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// load gives a server of a test's own the samples that it needs.
func (s *server) load(t *testing.T, samples ...string) {
	t.Helper()
	for _, name := range samples {
		if _, err := s.gantry("image", "load", sampleTar(name)); err != nil {
			t.Fatal(err)
		}
	}
}

// get asks what listens at a host port for /.
func get(port int32) (body string, err error) { return getPath(port, "/") }

func getPath(port int32, path string) (body string, err error) {
	client := http.Client{Timeout: answerWithin, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	if err != nil {
		return err.Error(), err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

// stopped waits until a task is STOPPED, however it gets there.
func (s *server) stopped(t *testing.T, cluster, task string) types.Task {
	t.Helper()
	in := &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: []string{task}}
	if err := stoppedWaiter(s.sdk()).Wait(t.Context(), in, stateWithin); err != nil {
		t.Fatalf("task %s is not STOPPED: %v; %+v", task, err, describeTask(t, s.sdk(), cluster, task))
	}
	return describeTask(t, s.sdk(), cluster, task)
}

// begin runs a task that need not come to run, and returns its ARN.
func (s *server) begin(t *testing.T, cluster, definition string) string {
	t.Helper()
	out := must(t, s.sdk().RunTask, &ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: &definition})
	if len(out.Tasks) != 1 || len(out.Failures) != 0 {
		t.Fatalf("run-task %s: %+v", definition, out)
	}
	return *out.Tasks[0].TaskArn
}
