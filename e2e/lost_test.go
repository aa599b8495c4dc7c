package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestLostMachine: a machine that is cut off is given up after its time, and a service
// has its task elsewhere; when it is back, what was replaced stops there, and what was
// not goes on.
func TestLostMachine(t *testing.T) {
	t.Parallel()
	const patience = 8 * time.Second
	f := newFleet(t, 3, "--replace-lost-after", patience.String())
	f.load(t, "worker")
	spread := f.define(t, nil)
	f.aws(t, "ecs", "create-service", "--cluster", "default", "--service-name", "web", "--task-definition", spread, "--desired-count", "3",
		"--placement-strategy", "type=spread,field=instanceId")
	f.aws(t, "ecs", "wait", "services-stable", "--cluster", "default", "--services", "web")
	before := f.serviceTasks(t)
	m := f.at(t, *before[0].ContainerInstanceArn)
	standalone := must(t, f.sdk().RunTask, &ecs.RunTaskInput{TaskDefinition: &spread, PlacementConstraints: []types.PlacementConstraint{{
		Type: types.PlacementConstraintTypeMemberOf, Expression: aws.String("attribute:machine == " + f.attribute(t, m, "machine"))}}}).Tasks[0]
	if err := runningWaiter(f.sdk()).Wait(t.Context(), &ecs.DescribeTasksInput{Tasks: []string{*standalone.TaskArn}}, stateWithin); err != nil {
		t.Fatal(err)
	}

	connected := f.connectivity(t, m, *standalone.TaskArn, types.ConnectivityConnected)
	began := time.Now()
	f.cut(t, m)
	if at := f.connectivity(t, m, *standalone.TaskArn, types.ConnectivityDisconnected); !at.Equal(connected) {
		t.Errorf("its task says that it was connected at %s while its agent is away, and at %s before", at, connected)
	}
	lost := f.stopped(t, "default", *before[0].TaskArn)
	_, text, _ := strings.Cut(*lost.StoppedReason, "disconnected since ")
	gone, err := time.Parse(time.RFC3339, text) // to the second
	if err != nil {
		t.Fatalf("the lost task: %s", tell(lost))
	}
	if after := gone.Sub(began); after > time.Minute { // it takes half of that, and two minutes by the heartbeat
		t.Errorf("that a machine is cut off was noticed after %s", after)
	}
	if waited := lost.StoppedAt.Sub(gone); waited < patience {
		t.Errorf("given up %s after the agent showed as gone, and the time is %s", waited, patience)
	}
	if lost.StopCode != types.TaskStopCodeInfrastructureHealth || !strings.HasPrefix(*lost.StoppedReason, "Container instance "+m.instance+" is lost: its agent has been disconnected since ") {
		t.Errorf("the lost task: %s", tell(lost))
	}
	eventually(t, "the service is whole", func() (bool, string) {
		sv := describeService(t, f.sdk(), "default", "web")
		return sv.RunningCount == 3, showService(sv)
	})
	for _, task := range f.serviceTasks(t) {
		if id(*task.ContainerInstanceArn) == m.instance {
			t.Errorf("a task on the lost machine: %s", tell(task))
		}
	}
	if task := describeTask(t, f.sdk(), "default", *standalone.TaskArn); *task.LastStatus != "RUNNING" {
		t.Errorf("the standalone task: %s", tell(task))
	}
	after := f.serviceTasks(t)

	f.mend(t, m)
	eventually(t, "its agent is back, and has stopped what was replaced", func() (bool, string) {
		task := describeTask(t, f.sdk(), "default", *standalone.TaskArn)
		running := m.pids(t)
		return task.Connectivity == types.ConnectivityConnected && *task.LastStatus == "RUNNING" && len(running) == 1, fmt.Sprint(tell(task), running)
	})
	if at := f.connectivity(t, m, *standalone.TaskArn, types.ConnectivityConnected); !at.After(connected) {
		t.Errorf("its task says that it is connected since %s, and it was before %s", at, connected)
	}
	if now := f.serviceTasks(t); !slices.EqualFunc(now, after, func(a, b types.Task) bool { return *a.TaskArn == *b.TaskArn }) {
		t.Error("the service's tasks changed when the machine came back")
	}
	f.halt(t, "default", *standalone.TaskArn)
}

// connectivity waits until a machine's agent, and with it a task, shows as connected or
// not, and is since when the task says that it was.
func (f *fleet) connectivity(t *testing.T, m *machine, task string, want types.Connectivity) (at time.Time) {
	t.Helper()
	eventually(t, "its agent to be "+string(want), func() (bool, string) {
		now, agent := describeTask(t, f.sdk(), "default", task), describeInstance(t, f.sdk(), "default", m.instance).AgentConnected
		at = aws.ToTime(now.ConnectivityAt)
		return now.Connectivity == want && agent == (want == types.ConnectivityConnected), fmt.Sprint(now.Connectivity, at, agent)
	})
	return at
}

// TestManyLostMachines: two of three machines that are cut off at once are not given up,
// and the service says why, until one is set to DRAINING.
func TestManyLostMachines(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, "--replace-lost-after", "15s") // both are known to be gone by then
	f.load(t, "worker")
	f.aws(t, "ecs", "create-service", "--cluster", "default", "--service-name", "web", "--task-definition", f.define(t, nil), "--desired-count", "3",
		"--placement-strategy", "type=spread,field=instanceId")
	f.aws(t, "ecs", "wait", "services-stable", "--cluster", "default", "--services", "web")
	tasks := f.serviceTasks(t)
	first, second := f.at(t, *tasks[0].ContainerInstanceArn), f.at(t, *tasks[1].ContainerInstanceArn)
	for _, m := range []*machine{first, second} {
		if err := m.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	f.says(t, "web", "too many of the cluster's agents are disconnected at once")
	if now := f.serviceTasks(t); !slices.EqualFunc(now, tasks, func(a, b types.Task) bool { return *a.TaskArn == *b.TaskArn }) {
		t.Error("something was replaced")
	}
	f.aws(t, "ecs", "update-container-instances-state", "--cluster", "default", "--container-instances", first.instance, "--status", "DRAINING")
	f.stopped(t, "default", *tasks[0].TaskArn)
	eventually(t, "its task runs elsewhere", func() (bool, string) {
		for _, task := range f.serviceTasks(t) {
			if *task.TaskArn != *tasks[0].TaskArn && id(*task.ContainerInstanceArn) != first.instance && *task.LastStatus == "RUNNING" && !slices.ContainsFunc(tasks, func(o types.Task) bool { return *o.TaskArn == *task.TaskArn }) {
				return true, ""
			}
		}
		return false, showService(describeService(t, f.sdk(), "default", "web"))
	})
	if task := describeTask(t, f.sdk(), "default", *tasks[1].TaskArn); *task.LastStatus != "RUNNING" || task.Connectivity != types.ConnectivityDisconnected {
		t.Errorf("the other one: %s", tell(task))
	}
	for _, m := range []*machine{first, second} {
		if err := m.start(); err != nil {
			t.Fatal(err)
		}
		if zone := f.attribute(t, m, "ecs.availability-zone"); zone != m.zone {
			t.Errorf("started again, a machine of zone %s is in %s", m.zone, zone)
		}
	}
}

// serviceTasks are those that service web wants to run, in the order of their ARNs.
func (s *server) serviceTasks(t *testing.T) []types.Task {
	t.Helper()
	arns := must(t, s.sdk().ListTasks, &ecs.ListTasksInput{ServiceName: aws.String("web")}).TaskArns
	if len(arns) == 0 {
		return nil
	}
	slices.Sort(arns)
	return must(t, s.sdk().DescribeTasks, &ecs.DescribeTasksInput{Tasks: arns}).Tasks
}

// attribute is the value of a custom attribute of a machine's container instance.
func (f *fleet) attribute(t *testing.T, m *machine, name string) string {
	t.Helper()
	for _, a := range describeInstance(t, f.sdk(), "default", m.instance).Attributes {
		if *a.Name == name {
			return *a.Value
		}
	}
	t.Fatalf("%s has no attribute %s", m.address, name)
	return ""
}
