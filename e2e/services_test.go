package e2e

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestServiceWithTheCLI: create, wait, scale, roll, delete, as AWS's tutorials do it.
func TestServiceWithTheCLI(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	cluster := s.cluster(t)
	definition := s.define(t, nil)
	s.aws(t, "ecs", "create-service", "--cluster", cluster, "--service-name", "web", "--task-definition", definition, "--desired-count", "2")
	stable := []string{"ecs", "wait", "services-stable", "--cluster", cluster, "--services", "web"}
	s.aws(t, stable...)
	if got := describeService(t, s.sdk(), cluster, "web"); got.RunningCount != 2 || got.PendingCount != 0 || len(got.Deployments) != 1 {
		t.Fatalf("stable, and not so: %s", showService(got))
	}
	s.completed(t, cluster, "web")
	s.aws(t, "ecs", "update-service", "--cluster", cluster, "--service", "web", "--desired-count", "3")
	s.aws(t, stable...)
	second := s.define(t, nil)
	s.aws(t, "ecs", "update-service", "--cluster", cluster, "--service", "web", "--task-definition", second)
	s.aws(t, stable...)
	got := describeService(t, s.sdk(), cluster, "web")
	if got.RunningCount != 3 || name(*got.TaskDefinition) != second {
		t.Fatalf("rolled to %s: %s", second, showService(got))
	}
	s.aws(t, "ecs", "update-service", "--cluster", cluster, "--service", "web", "--desired-count", "0")
	s.aws(t, stable...)
	s.aws(t, "ecs", "delete-service", "--cluster", cluster, "--service", "web")
	s.aws(t, "ecs", "wait", "services-inactive", "--cluster", cluster, "--services", "web")
}

// completed waits until the only deployment of a service is told COMPLETED: a moment after its tasks run, which is all that
// clients wait for.
func (s *server) completed(t *testing.T, cluster, service string) (sv types.Service) {
	t.Helper()
	eventually(t, "the deployment of "+service+" to be COMPLETED", func() (bool, string) {
		sv = describeService(t, s.sdk(), cluster, service)
		return len(sv.Deployments) == 1 && sv.Deployments[0].RolloutState == types.DeploymentRolloutStateCompleted, showService(sv)
	})
	return sv
}

// describeService is one service as DescribeServices shows it.
func describeService(t *testing.T, c *ecs.Client, cluster, service string) types.Service {
	t.Helper()
	out := must(t, c.DescribeServices, &ecs.DescribeServicesInput{Cluster: &cluster, Services: []string{service}, Include: []types.ServiceField{types.ServiceFieldTags}})
	if len(out.Services) != 1 {
		t.Fatalf("describe service %s: %+v", service, out.Failures)
	}
	return out.Services[0]
}

// showService is what matters of a service, for messages.
func showService(sv types.Service) string {
	text := fmt.Sprintf("%s %s: desired %d, running %d, pending %d", *sv.ServiceName, *sv.Status, sv.DesiredCount, sv.RunningCount, sv.PendingCount)
	for _, d := range sv.Deployments {
		text += fmt.Sprintf("\n  %s %s %s: desired %d, running %d, pending %d, failed %d: %s", *d.Id, *d.Status, d.RolloutState, d.DesiredCount, d.RunningCount, d.PendingCount, d.FailedTasks, *d.RolloutStateReason)
	}
	for _, e := range sv.Events {
		text += "\n  " + *e.Message
	}
	return text
}
