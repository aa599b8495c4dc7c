package e2e

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestServicesOnThreeMachines: services are spread over zones, kept apart, bound to
// machines or on each of them. A machine that is drained they leave, as far as their
// minimum lets them; when it is ACTIVE again, they take it up, and the zones get even.
func TestServicesOnThreeMachines(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.load(t, "probe")
	on := func(machine string) []types.PlacementConstraint {
		return []types.PlacementConstraint{{Type: types.PlacementConstraintTypeMemberOf, Expression: aws.String("attribute:machine == " + machine)}}
	}
	a, b, c := f.machines[0].instance, f.machines[1].instance, f.machines[2].instance
	f.create(t, "spread", func(in *ecs.CreateServiceInput) {
		in.DesiredCount = aws.Int32(3)
		in.DeploymentConfiguration = &types.DeploymentConfiguration{MinimumHealthyPercent: aws.Int32(100), MaximumPercent: aws.Int32(134)}
	})
	f.create(t, "apart", func(in *ecs.CreateServiceInput) {
		in.DesiredCount = aws.Int32(4) // one more than there are machines
		in.PlacementConstraints = []types.PlacementConstraint{{Type: types.PlacementConstraintTypeDistinctInstance}}
	})
	f.create(t, "bound", func(in *ecs.CreateServiceInput) {
		in.DesiredCount, in.PlacementConstraints = aws.Int32(2), on("m1")
	})
	f.create(t, "dispensable", func(in *ecs.CreateServiceInput) {
		in.DesiredCount, in.PlacementConstraints = aws.Int32(1), on("m2")
		in.DeploymentConfiguration = &types.DeploymentConfiguration{MinimumHealthyPercent: aws.Int32(0), MaximumPercent: aws.Int32(200)}
	})
	f.create(t, "everywhere", func(in *ecs.CreateServiceInput) { in.SchedulingStrategy = types.SchedulingStrategyDaemon })
	standalone := f.job(t, f.probe("probe", "list=/tmp", "wait"))
	standalone.run.PlacementConstraints = on("m2")
	standalone.start().running()
	one := func(count map[string]int) bool { return count[a] == 1 && count[b] == 1 && count[c] == 1 }
	before := f.steady(t, "spread", one)
	f.steady(t, "apart", one)
	f.steady(t, "bound", func(count map[string]int) bool { return count[b] == 2 && len(count) == 1 })
	f.steady(t, "dispensable", func(count map[string]int) bool { return count[c] == 1 && len(count) == 1 })
	f.steady(t, "everywhere", one)
	f.says(t, "apart", "was unable to place a task because no container instance met all of its requirements") // there is no fourth machine

	f.aws(t, "ecs", "update-container-instances-state", "--container-instances", c, "--status", "DRAINING")
	after := f.kept(t, "spread", 3, 4, func(count map[string]int) bool { return count[c] == 0 && count[a]+count[b] == 3 })
	if n := both(before, after); n != 2 {
		t.Errorf("%d of the two tasks elsewhere were left alone", n)
	}
	// What may be missed goes, and what can go nowhere else stays, and so does the daemon, which is the last to leave.
	f.steady(t, "dispensable", func(count map[string]int) bool { return len(count) == 0 })
	f.says(t, "dispensable", "was unable to place a task because no container instance met all of its requirements")
	f.steady(t, "apart", one)
	f.steady(t, "everywhere", one)
	if now := standalone.look(); *now.LastStatus != "RUNNING" || *now.DesiredStatus != "RUNNING" {
		t.Errorf("the task that belongs to no service: %s", tell(now))
	}
	must(t, f.sdk().UpdateService, &ecs.UpdateServiceInput{Service: aws.String("apart"), DesiredCount: aws.Int32(2)})
	gone := func(count map[string]int) bool { return count[a] == 1 && count[b] == 1 && count[c] == 0 }
	f.steady(t, "apart", gone)
	f.steady(t, "everywhere", one)
	standalone.stop()
	f.steady(t, "everywhere", gone)
	empty := func() (bool, string) {
		return f.aws(t, "ecs", "list-tasks", "--container-instance", c, "--query", "taskArns", "--output", "text") == "", "tasks on the drained machine"
	}
	eventually(t, "the machine to be empty", empty)
	if i := describeInstance(t, f.sdk(), "default", c); *i.Status != "DRAINING" || i.RunningTasksCount != 0 {
		t.Errorf("empty, it is %s with %d tasks", *i.Status, i.RunningTasksCount)
	}

	f.aws(t, "ecs", "update-container-instances-state", "--container-instances", c, "--status", "ACTIVE")
	f.steady(t, "everywhere", one)
	f.steady(t, "dispensable", func(count map[string]int) bool { return count[c] == 1 && len(count) == 1 })
	even := f.kept(t, "spread", 3, 4, one)
	if n := both(after, even); n != 2 {
		t.Errorf("%d of the three tasks were left where they are, and one had to move", n)
	}
	fullest := map[bool]string{true: f.machines[0].zone, false: f.machines[1].zone}[strings.Contains(f.says(t, "spread", "is not AZ balanced with "), "2 tasks in "+f.machines[0].zone)]
	for _, text := range []string{
		"0 tasks in " + f.machines[2].zone + ". AZ Rebalancing in progress.",
		"has started 1 tasks in " + f.machines[2].zone + " to AZ Rebalance: (task ",
		"has stopped 1 running tasks in " + fullest + " due to AZ rebalancing: (task ",
		"is AZ balanced with 1 tasks in us-east-1a, 1 tasks in us-east-1b, 1 tasks in us-east-1c.",
	} {
		f.says(t, "spread", text)
	}
}

// kept is steady, and sees that meanwhile no fewer than least tasks run, and no more
// than most are there.
func (f *fleet) kept(t *testing.T, service string, least, most int32, should func(count map[string]int) bool) (arns []string) {
	t.Helper()
	return f.steady(t, service, func(count map[string]int) bool {
		if sv := describeService(t, f.sdk(), "default", service); sv.RunningCount < least || sv.RunningCount+sv.PendingCount > most {
			t.Errorf("between %d and %d tasks are to be there: %s", least, most, showService(sv))
		}
		return should(count)
	})
}

// says waits until an event of a service has some words, and is that event's message.
func (f *fleet) says(t *testing.T, service, words string) (message string) {
	t.Helper()
	eventually(t, "service "+service+" to say "+words, func() (bool, string) {
		sv := describeService(t, f.sdk(), "default", service)
		for _, e := range sv.Events {
			if strings.Contains(*e.Message, words) {
				message = *e.Message
				return true, ""
			}
		}
		return false, showService(sv)
	})
	return message
}

// both counts what is in two lists.
func both(a, b []string) (n int) {
	for _, s := range a {
		for _, o := range b {
			if s == o {
				n++
			}
		}
	}
	return n
}
