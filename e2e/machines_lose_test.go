package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// where counts a cluster's running tasks by machine, and is the ARNs that there are.
func (f *fleet) where(t *testing.T, service string) (count map[string]int, arns []string) {
	t.Helper()
	count = map[string]int{}
	arns = must(t, f.sdk().ListTasks, &ecs.ListTasksInput{ServiceName: &service}).TaskArns
	if len(arns) == 0 {
		return count, nil
	}
	for _, task := range must(t, f.sdk().DescribeTasks, &ecs.DescribeTasksInput{Tasks: arns}).Tasks {
		if *task.LastStatus == "RUNNING" {
			count[id(*task.ContainerInstanceArn)]++
		}
	}
	slices.Sort(arns)
	return count, arns
}

// steady waits until a service's tasks run where they should.
func (f *fleet) steady(t *testing.T, service string, should func(count map[string]int) bool) (arns []string) {
	t.Helper()
	eventually(t, "the tasks of "+service+" to be where they should", func() (bool, string) {
		count, now := f.where(t, service)
		arns = now
		return should(count), fmt.Sprint(count) + "\n" + showService(describeService(t, f.sdk(), "default", service))
	})
	return arns
}

// create makes a service of a definition whose containers wait until they are stopped.
func (f *fleet) create(t *testing.T, name string, change func(*ecs.CreateServiceInput)) {
	t.Helper()
	c := f.probe("probe", "list=/tmp", "wait")
	definition := *must(t, f.sdk().RegisterTaskDefinition, &ecs.RegisterTaskDefinitionInput{
		Family: aws.String(family(t) + "-" + name), ContainerDefinitions: []types.ContainerDefinition{c},
	}).TaskDefinition.TaskDefinitionArn
	in := &ecs.CreateServiceInput{ServiceName: &name, TaskDefinition: &definition}
	change(in)
	must(t, f.sdk().CreateService, in)
}

// untilNoted waits until a container has ended and its shim has noted when, or its agent has and took the container away.
func untilNoted(t *testing.T, c types.Container) {
	t.Helper()
	eventually(t, "the end of container "+*c.RuntimeId+" to be noted", func() (bool, string) {
		notes, err := filepath.Glob("/run/gantry/*/containers/" + *c.RuntimeId + "/shim/exit.json")
		left, err2 := filepath.Glob("/run/gantry/*/containers/" + *c.RuntimeId)
		return len(notes) > 0 || len(left) == 0, fmt.Sprint(err, err2)
	})
}

// TestAgentKilled: tasks run on while their agent is dead, one that ends meanwhile is
// told with its true exit code and time, and nothing runs twice.
func TestAgentKilled(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	f.load(t, "probe")
	f.create(t, "web", func(in *ecs.CreateServiceInput) { in.DesiredCount = aws.Int32(2) })
	a, b := f.machines[0].instance, f.machines[1].instance
	both := func(count map[string]int) bool { return count[a] == 1 && count[b] == 1 }
	before := f.steady(t, "web", both)
	ends := f.job(t, f.probe("probe", "list=/tmp", "await=/gate/end", "exit=7"))
	end := ends.gate()
	ends.run.PlacementConstraints = []types.PlacementConstraint{{Type: types.PlacementConstraintTypeMemberOf, Expression: aws.String("attribute:machine == m0")}}
	probe := part(t, ends.start().running(), "probe")
	ends.saying("probe", "list=/tmp")
	f.machines[0].kill()
	end("end")
	eventually(t, "the agent to be known as gone", func() (bool, string) {
		i := describeInstance(t, f.sdk(), "default", a)
		return !i.AgentConnected, fmt.Sprint(i.AgentConnected)
	})
	untilNoted(t, probe)
	back := time.Now()
	if err := f.machines[0].start(); err != nil {
		t.Fatal(err)
	}
	task := ends.stopped()
	exited(t, task, "probe", 7)
	if at := *task.ExecutionStoppedAt; !at.Before(back) {
		t.Errorf("it is told to have ended at %s, and the agent was started again at %s", at, back)
	}
	if after := f.steady(t, "web", both); !slices.Equal(before, after) {
		t.Errorf("the service ran %v, and now %v", before, after)
	}
}

// TestServerKilledDuringARollout: the rollout goes on when the server is started
// again, and each deployment's tasks are there once.
func TestServerKilledDuringARollout(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.load(t, "probe")
	f.create(t, "web", func(in *ecs.CreateServiceInput) { in.DesiredCount = aws.Int32(3) })
	three := func(count map[string]int) bool {
		total := 0
		for _, n := range count {
			total += n
		}
		return total == 3
	}
	old := f.steady(t, "web", three)
	must(t, f.sdk().UpdateService, &ecs.UpdateServiceInput{Service: aws.String("web"), ForceNewDeployment: true})
	eventually(t, "the rollout to be under way", func() (bool, string) {
		_, arns := f.where(t, "web")
		return len(arns) > 0 && !slices.Equal(arns, old), fmt.Sprint(arns)
	})
	f.kill()
	if err := f.start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rollout to be done", func() (bool, string) {
		sv := describeService(t, f.sdk(), "default", "web")
		return len(sv.Deployments) == 1 && sv.Deployments[0].RolloutState == types.DeploymentRolloutStateCompleted && sv.RunningCount == 3, showService(sv)
	})
	for _, arn := range f.steady(t, "web", three) {
		if slices.Contains(old, arn) {
			t.Errorf("%s is of the old deployment", arn)
		}
	}
}

// TestServerAwayWhileATaskEnds: true exit code and time are told afterwards.
func TestServerAwayWhileATaskEnds(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.load(t, "probe")
	j := f.job(t, f.probe("probe", "list=/tmp", "await=/gate/end", "exit=9"))
	end := j.gate()
	j.start()
	probe := part(t, j.running(), "probe")
	j.saying("probe", "list=/tmp")
	f.kill()
	end("end")
	untilNoted(t, probe)
	back := time.Now()
	if err := f.start(); err != nil {
		t.Fatal(err)
	}
	task := j.stopped()
	exited(t, task, "probe", 9)
	if !task.ExecutionStoppedAt.Before(back) {
		t.Errorf("it is told to have ended at %s, while the server was away until %s", task.ExecutionStoppedAt, back)
	}
}

// TestRevokedAgent: a key that was taken back ends its session at once, and every
// call of it is refused; the machine joins again by another token, with its tasks.
func TestRevokedAgent(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.load(t, "probe")
	m := f.machines[0]
	j := f.job(t, f.probe("probe", "list=/tmp", "wait")).start()
	j.running()
	j.saying("probe", "list=/tmp") // it minds its signals from now on
	began := time.Now()
	if out, err := f.gantry("agent", "revoke", m.instance); err != nil || !strings.Contains(out, m.instance) {
		t.Fatalf("%s, %v", out, err)
	}
	eventually(t, "the session to end", func() (bool, string) {
		return !describeInstance(t, f.sdk(), "default", m.instance).AgentConnected, ""
	})
	within(t, "ending a revoked session", began, time.Minute) // one that is only deaf has two and a half
	eventually(t, "the agent to be told no", func() (bool, string) {
		return strings.Contains(m.logTail(), "AccessDeniedException"), m.logTail()
	})
	if err := m.terminate(); err != nil {
		t.Fatal(err)
	}
	token, err := f.token()
	if err != nil {
		t.Fatal(err)
	}
	was := m.instance
	if err := m.join(f.endpoint(), token); err != nil {
		t.Fatal(err)
	}
	if m.instance != was {
		t.Errorf("it is container instance %s now, and was %s", m.instance, was)
	}
	if got := j.running(); id(*got.ContainerInstanceArn) != was {
		t.Errorf("the task is on %s", *got.ContainerInstanceArn)
	}
	exited(t, j.stop(), "probe", 0)
}
