package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestRestoreLeavesWhatRuns: a task that the backup knows is taken up where it is, one
// that was started after the backup runs on, although nobody knows it, and one that
// has ended since is STOPPED again.
func TestRestoreLeavesWhatRuns(t *testing.T) {
	t.Parallel()
	s := own(t)
	if _, err := s.gantry("image", "load", sampleTar("web")); err != nil {
		t.Fatal(err)
	}
	web := s.define(t, func(in *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
		c.Image = new("gantry/sample-web:latest")
		c.PortMappings = []types.PortMapping{{ContainerPort: new(int32(8080))}}
	})
	run := func() (arn string, port int32) {
		arn = *must(t, s.sdk().RunTask, &ecs.RunTaskInput{TaskDefinition: &web}).Tasks[0].TaskArn
		in := &ecs.DescribeTasksInput{Tasks: []string{arn}}
		if err := runningWaiter(s.sdk()).Wait(t.Context(), in, stateWithin); err != nil {
			t.Fatal(err)
		}
		return arn, *must(t, s.sdk().DescribeTasks, in).Tasks[0].Containers[0].NetworkBindings[0].HostPort
	}
	known, knownPort := run()
	before := must(t, s.sdk().DescribeTasks, &ecs.DescribeTasksInput{Tasks: []string{known}}).Tasks[0]
	over, _ := run() // ends after the backup was taken
	backup := filepath.Join(t.TempDir(), "backup")
	if out, err := s.gantry("backup", backup); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	later, laterPort := run()
	stop := func(arn string) {
		t.Helper()
		must(t, s.sdk().StopTask, &ecs.StopTaskInput{Task: &arn})
		if err := stoppedWaiter(s.sdk()).Wait(t.Context(), &ecs.DescribeTasksInput{Tasks: []string{arn}}, stateWithin); err != nil {
			t.Fatal(err)
		}
	}
	stop(over)
	at := func(port int32) string { return fetch(t, fmt.Sprintf("http://127.0.0.1:%d/healthz", port)) }

	if err := s.terminate(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(s.dir, "store"), filepath.Join(t.TempDir(), "store")); err != nil {
		t.Fatal(err)
	}
	if out, err := s.gantry("restore", backup); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}

	eventually(t, "a word about the task that nobody knows", func() (bool, string) {
		return strings.Contains(s.out.String(), "does not know run on") && strings.Contains(s.out.String(), id(later)), s.out.String()
	})
	run() // and new ones still start
	after := must(t, s.sdk().DescribeTasks, &ecs.DescribeTasksInput{Tasks: []string{known, later}})
	if len(after.Tasks) != 1 || len(after.Failures) != 1 || *after.Failures[0].Arn != later {
		t.Fatalf("after the restore: %+v", after)
	}
	if got := after.Tasks[0]; *got.LastStatus != "RUNNING" || !got.StartedAt.Equal(*before.StartedAt) || *got.Containers[0].RuntimeId != *before.Containers[0].RuntimeId {
		t.Errorf("the task that the backup knew: %s since %s, before %s", *got.LastStatus, got.StartedAt, before.StartedAt)
	}
	if k, l := at(knownPort), at(laterPort); !strings.HasPrefix(k, "ok") || !strings.HasPrefix(l, "ok") {
		t.Errorf("the containers answer %q and %q", k, l)
	}
	stop(known)
	// The agent tells again of the one that ended after the backup; its exit code is as it was.
	if err := stoppedWaiter(s.sdk()).Wait(t.Context(), &ecs.DescribeTasksInput{Tasks: []string{over}}, stateWithin); err != nil {
		t.Fatal(err)
	}
	if got := must(t, s.sdk().DescribeTasks, &ecs.DescribeTasksInput{Tasks: []string{over}}).Tasks[0]; got.Containers[0].ExitCode == nil || got.ExecutionStoppedAt == nil {
		t.Errorf("the task that ended after the backup: %+v", got)
	}
}
