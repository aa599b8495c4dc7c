package e2e

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestThreeMachines: machines join a server elsewhere, each is a container instance
// with its zone and attributes, fetches the image that it needs from the server,
// runs what is placed there, and what that prints is read at the server.
func TestThreeMachines(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.load(t, "probe")
	for i, m := range f.machines {
		instance := describeInstance(t, f.sdk(), "default", m.instance)
		if *instance.Status != "ACTIVE" || !instance.AgentConnected {
			t.Errorf("%s: %s, connected %t", m.address, *instance.Status, instance.AgentConnected)
		}
		for name, want := range map[string]string{"ecs.availability-zone": m.zone, "machine": "m" + string(rune('0'+i))} {
			if !slices.ContainsFunc(instance.Attributes, func(a types.Attribute) bool { return *a.Name == name && *a.Value == want }) {
				t.Errorf("%s lacks the attribute %s=%s", m.address, name, want)
			}
		}
	}
	var jobs []*job
	for i, m := range f.machines {
		j := f.job(t, f.probe("probe", "report", "serve=tcp/8080", "list=/tmp", "wait"))
		j.in.ContainerDefinitions[0].PortMappings = []types.PortMapping{{ContainerPort: aws.Int32(8080), HostPort: aws.Int32(18080)}}
		j.run.PlacementConstraints = []types.PlacementConstraint{{
			Type: types.PlacementConstraintTypeMemberOf, Expression: aws.String("attribute:machine == m" + string(rune('0'+i))),
		}}
		if task := j.start().running(); id(*task.ContainerInstanceArn) != m.instance {
			t.Errorf("the task for %s is on %s", m.instance, *task.ContainerInstanceArn)
		}
		jobs = append(jobs, j)
	}
	for i, m := range f.machines {
		if got := jobs[i].saying("probe", "list=/tmp").report(t); got.Env["AWS_REGION"] != "us-east-1" {
			t.Errorf("%s: the task sees %v", m.address, got.Env)
		}
		if got := helloAt(t, "tcp", m.address, 18080); got != "tcp 8080" {
			t.Errorf("%s: port 18080 answers %q", m.address, got)
		}
		if out, err := f.gantry("logs", jobs[i].arn); err != nil || !strings.Contains(out, `"list=/tmp"`) {
			t.Errorf("%s: gantry logs: %v\n%s", m.address, err, out)
		}
	}
	var all sync.WaitGroup
	for _, j := range jobs {
		all.Go(func() { exited(t, j.stop(), "probe", 0) })
	}
	all.Wait()
}
