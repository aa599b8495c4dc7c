package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

const (
	// kills is how often gantry is killed in one run of the test.
	kills = 12
	// aliveAtMost bounds how long gantry works between two kills: launching a task
	// takes some 50 ms, stopping it as long, coming back a second.
	aliveAtMost = 1200 * time.Millisecond
)

// A promise is one task that gantry was asked for, and what it said of it.
type promise struct {
	kind       string // what it runs: serves, prints, ends, pair
	definition string
	token      string
	code       int32  // with which it ends by itself
	arn        string // once RunTask was acknowledged
	stop       bool   // StopTask was sent
	stopped    bool   // and acknowledged

	pids    map[string][]int // of its containers, by name, when they were first seen running
	started time.Time
}

func (p *promise) String() string { return p.kind + " " + id(p.arn) }

// chaos is a gantry that is killed again and again, and what it has promised.
type chaos struct {
	*server
	random   *rand.Rand
	promises []*promise
}

// TestKilledAtRandomMoments kills gantry while tasks start, run and stop. What it
// has acknowledged is kept: each task exists once, runs once, prints each line
// once, ends with its own exit code, and one that runs through is the same process.
// GANTRY_SEED repeats a run, as far as the machine lets it.
func TestKilledAtRandomMoments(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("GANTRY_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("GANTRY_SEED=%d", seed)
	before := interfaces(t)
	c := &chaos{server: own(t), random: rand.New(rand.NewPCG(seed, 0))}
	c.load(t, "web", "worker", "crasher")
	definitions := c.definitions(t)
	for range kills {
		c.round(t, definitions)
		if t.Failed() {
			return
		}
	}
	c.settle(t)
	c.inspect(t)
	if t.Failed() {
		return
	}
	c.kill()
	out, err := c.gantry("down")
	if want := fmt.Sprintf("stopped %d tasks", c.count(func(p *promise) bool { return p.runs() })); err != nil || !strings.Contains(out, want) {
		t.Errorf("down while dead: %v\n%swant %q in it", err, out, want)
	}
	c.nothingLeft(t)
	for name := range interfaces(t) {
		if !before[name] {
			t.Errorf("interface %s is left on this machine after gantry down", name)
		}
	}
}

// interfaces are the names of those there are. This test is not parallel: no
// other one makes any meanwhile.
func interfaces(t *testing.T) map[string]bool {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, i := range all {
		names[i.Name] = true
	}
	return names
}

// runs says whether a promise's task goes on until it is stopped, and nobody has.
func (p *promise) runs() bool { return p.kind != "ends" && !p.stop }

func (c *chaos) count(which func(*promise) bool) (n int) {
	for _, p := range c.promises {
		if which(p) {
			n++
		}
	}
	return n
}

// definitions registers what the promises run. Everything that is printed goes to
// CloudWatch Logs, where each line is counted at the end.
func (c *chaos) definitions(t *testing.T) map[string]string {
	logged := &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{
		"awslogs-group": "chaos", "awslogs-region": c.value("AWS_REGION"), "awslogs-stream-prefix": "t", "awslogs-create-group": "true",
	}}
	container := func(sample string, env ...string) types.ContainerDefinition {
		return types.ContainerDefinition{
			Name: &sample, Image: aws.String("gantry/sample-" + sample + ":latest"), Cpu: 4, Memory: aws.Int32(16),
			Environment: pairs(env...), LogConfiguration: logged, StopTimeout: aws.Int32(10),
		}
	}
	web := container("web")
	web.PortMappings = []types.PortMapping{{ContainerPort: aws.Int32(8080)}}
	checked := web
	checked.HealthCheck = &types.HealthCheck{Command: []string{"CMD", "/web", "check"}, Interval: aws.Int32(5), Retries: aws.Int32(10)}
	waits := container("worker", "INTERVAL=200ms")
	waits.DependsOn = []types.ContainerDependency{{ContainerName: aws.String("web"), Condition: types.ContainerConditionHealthy}}
	made := map[string]string{}
	for kind, containers := range map[string][]types.ContainerDefinition{
		"serves": {web},
		"prints": {container("worker", "INTERVAL=100ms")},
		"ends":   {container("crasher")},
		"pair":   {checked, waits},
	} {
		out := must(t, c.sdk().RegisterTaskDefinition, &ecs.RegisterTaskDefinitionInput{Family: &kind, ContainerDefinitions: containers})
		made[kind] = name(*out.TaskDefinition.TaskDefinitionArn)
	}
	return made
}

// round asks for some things at once, kills gantry at a random moment meanwhile,
// sometimes once more while it comes back, and then asks again for what was not
// acknowledged.
func (c *chaos) round(t *testing.T, definitions map[string]string) {
	kinds := []string{"serves", "prints", "prints", "ends", "ends", "pair"}
	for range 1 + c.random.IntN(3) {
		kind := kinds[c.random.IntN(len(kinds))]
		c.promises = append(c.promises, &promise{
			kind: kind, definition: definitions[kind], token: fmt.Sprint("token-", len(c.promises)), code: int32(1 + c.random.IntN(100)), pids: map[string][]int{},
		})
	}
	if running := c.acknowledged(); len(running) > 2 {
		running[c.random.IntN(len(running))].stop = true
	}
	alive := time.Duration(c.random.Int64N(int64(aliveAtMost)))
	after := time.Duration(c.random.Int64N(int64(3 * time.Second))) // until those that end do so

	var asking sync.WaitGroup
	for _, p := range c.promises {
		if p.arn == "" || p.stop && !p.stopped {
			// In the mess that follows an error is what is expected: settle asks again.
			asking.Go(func() { _ = c.ask(t.Context(), p, after) })
		}
	}
	time.Sleep(alive) // a random moment, and no state, is what is waited for
	c.kill()
	asking.Wait()
	if c.random.IntN(3) == 0 {
		coming := &server{dir: c.dir}
		if _, err := coming.spawn(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(c.random.Int64N(int64(time.Second))))
		coming.kill()
	}
	if err := c.start(); err != nil {
		t.Fatalf("start after kill -9: %v", err)
	}
	for _, p := range c.promises {
		if err := c.ask(t.Context(), p, after); err != nil {
			t.Fatalf("asked again after the start: %v", err)
		}
	}
	c.look(t)
}

// acknowledged are the promises whose tasks run on and that gantry has taken.
func (c *chaos) acknowledged() (found []*promise) {
	for _, p := range c.promises {
		if p.runs() && p.arn != "" {
			found = append(found, p)
		}
	}
	return found
}

// ask asks for what was not acknowledged of a promise, the same way each time.
func (c *chaos) ask(ctx context.Context, p *promise, after time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	client := c.sdk()
	if p.arn == "" {
		in := &ecs.RunTaskInput{TaskDefinition: &p.definition, ClientToken: &p.token}
		if p.kind == "ends" {
			in.Overrides = &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{
				Name: aws.String("crasher"), Environment: pairs(fmt.Sprint("EXIT_CODE=", p.code), "CRASH_AFTER="+after.String()),
			}}}
		}
		out, err := client.RunTask(ctx, in)
		if err != nil {
			return err
		}
		if len(out.Tasks) != 1 || len(out.Failures) != 0 {
			return fmt.Errorf("run-task %s: %+v", p.definition, out)
		}
		p.arn = *out.Tasks[0].TaskArn
	}
	if p.stop && !p.stopped {
		if _, err := client.StopTask(ctx, &ecs.StopTaskInput{Task: &p.arn, Reason: &p.token}); err != nil {
			return err
		}
		p.stopped = true
	}
	return nil
}

// describeAll is every task of the promises that gantry knows, by ARN.
func (c *chaos) describeAll(t *testing.T) map[string]types.Task {
	t.Helper()
	all := map[string]types.Task{}
	var arns []string
	for _, p := range c.promises {
		arns = append(arns, p.arn)
	}
	for part := range slices.Chunk(arns, 100) {
		out := must(t, c.sdk().DescribeTasks, &ecs.DescribeTasksInput{Tasks: part})
		if len(out.Failures) > 0 {
			t.Errorf("tasks that were acknowledged are lost: %s", show(out.Failures))
		}
		for _, task := range out.Tasks {
			all[*task.TaskArn] = task
		}
	}
	return all
}

// look notes what runs, and compares it with what ran before.
func (c *chaos) look(t *testing.T) {
	t.Helper()
	described := c.describeAll(t)
	pids := c.pids(t)
	for _, p := range c.acknowledged() {
		task := described[p.arn]
		if !p.started.IsZero() && *task.LastStatus != "RUNNING" {
			t.Errorf("%s ran and is %s: %s, %+v", p, *task.LastStatus, aws.ToString(task.StoppedReason), task.Containers)
		}
		if *task.LastStatus == "RUNNING" {
			if !p.started.IsZero() && !p.started.Equal(*task.StartedAt) {
				t.Errorf("%s started at %s, which was %s before", p, task.StartedAt, p.started)
			}
			p.started = *task.StartedAt
		}
		for _, k := range task.Containers {
			if was, now := p.pids[*k.Name], pids[aws.ToString(k.RuntimeId)]; len(was) > 0 && !slices.Contains(now, was[0]) {
				t.Errorf("%s: container %s has processes %v, before %v", p, *k.Name, now, was)
			} else if len(was) == 0 && *k.LastStatus == "RUNNING" {
				p.pids[*k.Name] = now
			}
		}
	}
}

// settle waits until every task is in the state in which it stays.
func (c *chaos) settle(t *testing.T) {
	t.Helper()
	eventually(t, "every task to run or to have ended", func() (bool, string) {
		described := c.describeAll(t)
		for _, p := range c.promises {
			want := "STOPPED"
			if p.runs() {
				want = "RUNNING"
			}
			if task := described[p.arn]; aws.ToString(task.LastStatus) != want {
				return false, fmt.Sprintf("%s is %s, want %s: %s, %+v", p, aws.ToString(task.LastStatus), want, aws.ToString(task.StoppedReason), task.Containers)
			}
		}
		return true, ""
	})
	c.look(t)
}

// inspect compares what gantry tells at the end with what was asked for and with
// what there is on the machine.
func (c *chaos) inspect(t *testing.T) {
	t.Helper()
	c.inspectList(t)
	described := c.describeAll(t)
	expected := map[string]bool{} // containers that run
	ports := map[int32]*promise{}
	for _, p := range c.promises {
		task := described[p.arn]
		for _, k := range task.Containers {
			if p.runs() {
				expected[*k.RuntimeId] = true
			}
			if task.StartedAt != nil && !strings.HasPrefix(aws.ToString(k.ImageDigest), "sha256:") {
				t.Errorf("%s: container %s has run from the image %q", p, *k.Name, aws.ToString(k.ImageDigest))
			}
			c.inspectOutput(t, p, task, *k.Name)
			for _, b := range k.NetworkBindings {
				if other := ports[*b.HostPort]; p.runs() && other != nil {
					t.Errorf("%s and %s have the host port %d", p, other, *b.HostPort)
				}
				if p.runs() {
					ports[*b.HostPort] = p
				}
			}
		}
		switch {
		case p.kind == "ends" && !p.stop:
			if k := task.Containers[0]; k.ExitCode == nil || *k.ExitCode != p.code || task.StopCode != types.TaskStopCodeEssentialContainerExited {
				t.Errorf("%s: want exit code %d: %s", p, p.code, tell(task))
			}
		case p.stop:
			if task.StopCode != types.TaskStopCodeUserInitiated || *task.StoppedReason != p.token {
				t.Errorf("%s, which was stopped: %s, %s", p, task.StopCode, aws.ToString(task.StoppedReason))
			}
		}
	}
	for port, p := range ports {
		if body, err := get(port); err != nil || !strings.Contains(body, p.arn) {
			t.Errorf("%s does not answer at its host port %d: %s", p, port, body)
		}
	}
	for container, pids := range c.pids(t) {
		if !expected[container] {
			t.Errorf("container %s runs (processes %v), and no task that runs has it", container, pids)
		}
		delete(expected, container)
	}
	for container := range expected {
		t.Errorf("container %s has no process", container)
	}
}

// inspectList: as many tasks as were asked for, each once.
func (c *chaos) inspectList(t *testing.T) {
	t.Helper()
	var listed, asked []string
	for _, status := range []types.DesiredStatus{types.DesiredStatusRunning, types.DesiredStatusStopped} {
		for p := ecs.NewListTasksPaginator(c.sdk(), &ecs.ListTasksInput{DesiredStatus: status}); p.HasMorePages(); {
			out, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			listed = append(listed, out.TaskArns...)
		}
	}
	for _, p := range c.promises {
		asked = append(asked, p.arn)
	}
	slices.Sort(listed)
	slices.Sort(asked)
	if !slices.Equal(listed, asked) {
		t.Errorf("listed are %d tasks, asked for were %d:\n%s\n\n%s", len(listed), len(asked), strings.Join(listed, "\n"), strings.Join(asked, "\n"))
	}
}

// inspectOutput reads what a container has printed: numbered lines without a gap
// or a repetition, or those of one start.
func (c *chaos) inspectOutput(t *testing.T, p *promise, task types.Task, container string) {
	t.Helper()
	var lines []string
	eventually(t, fmt.Sprintf("what %s has printed at first", p), func() (bool, string) {
		lines = c.printed(t, "chaos", "t/"+container+"/"+id(p.arn))
		return len(lines) > 0 || !p.runs(), "nothing" // all that was printed is there when a task is told STOPPED
	})
	if task.StartedAt == nil && len(lines) == 0 {
		return // it was stopped before it ran
	}
	switch container {
	case "worker":
		lines = slices.DeleteFunc(lines, func(l string) bool { return l == "worker: finishes its work" })
		for n, line := range lines {
			if want := fmt.Sprintf("worker: line %d", n+1); line != want {
				t.Errorf("%s has printed %q, want %q; it was:\n%s", p, line, want, strings.Join(lines[max(0, n-3):min(n+3, len(lines))], "\n"))
				return
			}
		}
	case "crasher":
		if len(lines) != 2 && !p.stop || len(lines) > 2 {
			t.Errorf("%s has printed %d lines, want 2:\n%s", p, len(lines), strings.Join(lines, "\n"))
		}
	case "web":
		starts := 0
		for _, l := range lines {
			if l == "web: listens on port 8080" {
				starts++
			}
		}
		if starts > 1 || starts == 0 && !p.stop {
			t.Errorf("%s, %s, has printed:\n%s", p, tell(task), strings.Join(lines, "\n"))
			for _, e := range c.events(t, "chaos", "t/"+container+"/"+id(p.arn)) {
				t.Log(time.UnixMilli(*e.Timestamp).UTC().Format("15:04:05.000"), *e.Message)
			}
		}
	}
}

// printed are the lines of a log stream; none where there is no such stream.
func (s *server) printed(t *testing.T, group, stream string) (lines []string) {
	t.Helper()
	client := s.logs()
	for p := cloudwatchlogs.NewGetLogEventsPaginator(client, &cloudwatchlogs.GetLogEventsInput{
		LogGroupName: &group, LogStreamName: &stream, StartFromHead: aws.Bool(true),
	}, func(o *cloudwatchlogs.GetLogEventsPaginatorOptions) { o.StopOnDuplicateToken = true }); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			if strings.Contains(err.Error(), "ResourceNotFoundException") {
				return nil
			}
			t.Fatalf("get-log-events %s: %v", stream, err)
		}
		for _, e := range out.Events {
			lines = append(lines, *e.Message)
		}
	}
	return lines
}
