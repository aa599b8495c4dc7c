package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// The probe sample does what its command says, step by step, and prints what came
// of each as a line of JSON: a task definition is the whole of a test's setting.

// A step is one line that the probe printed.
type step struct {
	Step   string  `json:"step"`
	Text   string  `json:"text"`
	Error  string  `json:"error"`
	Report *report `json:"report"`
}

// A report is what the probe found out about its container; samples/probe says what each member is.
type report struct {
	PID        int                  `json:"pid"`
	UID        int                  `json:"uid"`
	GID        int                  `json:"gid"`
	Groups     []int                `json:"groups"`
	Dir        string               `json:"dir"`
	Args       []string             `json:"args"`
	Env        map[string]string    `json:"env"`
	Hostname   string               `json:"hostname"`
	Addresses  map[string]string    `json:"addresses"`
	Mounts     map[string]string    `json:"mounts"`
	CapEff     string               `json:"capEff"`
	NoNewPrivs bool                 `json:"noNewPrivs"`
	Seccomp    string               `json:"seccomp"`
	Limits     map[string][2]uint64 `json:"limits"`
	Processes  []string             `json:"processes"`
	Namespaces map[string]string    `json:"namespaces"`
	ShmBytes   uint64               `json:"shmBytes"`
	Terminal   bool                 `json:"terminal"`
	Stdin      string               `json:"stdin"`
}

// steps are a container's lines, in their order.
type steps []step

// of finds the outcome of a step by what it was told to do.
func (s steps) of(t *testing.T, what string) step {
	t.Helper()
	for _, one := range s {
		if one.Step == what {
			return one
		}
	}
	t.Fatalf("the probe told nothing of %q, but %+v", what, s)
	return step{}
}

// text is what a step came to, which has to have gone well.
func (s steps) text(t *testing.T, what string) string {
	t.Helper()
	one := s.of(t, what)
	if one.Error != "" {
		t.Errorf("%s: %s", what, one.Error)
	}
	return one.Text
}

func (s steps) report(t *testing.T) report {
	t.Helper()
	r := s.of(t, "report").Report
	if r == nil {
		t.Fatalf("the report is empty: %+v", s)
	}
	return *r
}

const probeImage = "gantry/sample-probe:latest"

// probeGroup is the log group of every probe.
const probeGroup = "e2e-probe"

// probe is a container of a task definition that does the steps.
func (s *server) probe(name string, do ...string) types.ContainerDefinition {
	return types.ContainerDefinition{
		Name: &name, Image: aws.String(probeImage), Cpu: 10, Memory: aws.Int32(64), Command: do,
		LogConfiguration: &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{
			"awslogs-group": probeGroup, "awslogs-region": s.value("AWS_REGION"), "awslogs-stream-prefix": "p", "awslogs-create-group": "true",
		}},
	}
}

// A job is a task definition on its way, and the task that it becomes.
type job struct {
	t       *testing.T
	s       *server
	in      *ecs.RegisterTaskDefinitionInput
	run     *ecs.RunTaskInput
	arn     string
	cluster string
}

// job is a task of these containers in the cluster default. Change job.in and job.run before it is started.
func (s *server) job(t *testing.T, containers ...types.ContainerDefinition) *job {
	return &job{t: t, s: s, cluster: "default",
		in:  &ecs.RegisterTaskDefinitionInput{Family: aws.String(family(t)), ContainerDefinitions: containers},
		run: &ecs.RunTaskInput{},
	}
}

// start registers the definition and runs a task of it, which is stopped when the test ends.
func (j *job) start() *job {
	j.t.Helper()
	c := j.s.sdk()
	d := must(j.t, c.RegisterTaskDefinition, j.in).TaskDefinition
	j.run.TaskDefinition, j.run.Cluster = d.TaskDefinitionArn, &j.cluster
	out := must(j.t, c.RunTask, j.run)
	if len(out.Tasks) != 1 {
		j.t.Fatalf("run %s: %+v", *d.TaskDefinitionArn, out.Failures)
	}
	j.arn = *out.Tasks[0].TaskArn
	j.t.Cleanup(func() { // by a client of its own: gantry may have been started again at another port
		ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
		defer cancel()
		if _, err := j.s.sdk().StopTask(ctx, &ecs.StopTaskInput{Cluster: &j.cluster, Task: &j.arn}); err != nil {
			j.t.Errorf("stop %s: %v", j.arn, err)
		}
	})
	return j
}

// gate gives the containers of a job a folder /gate. What open makes there a step "await=/gate/NAME" waits for, so that a
// container goes on when the test is ready for it, however slow the machine is.
func (j *job) gate() (open func(name string)) {
	j.t.Helper()
	dir := j.t.TempDir()
	j.in.Volumes = append(j.in.Volumes, hostVolume("gate", dir))
	for i := range j.in.ContainerDefinitions {
		c := &j.in.ContainerDefinitions[i]
		c.MountPoints = append(c.MountPoints, mountPoint("gate", "/gate"))
	}
	return func(name string) {
		j.t.Helper()
		write(j.t, filepath.Join(dir, name), "")
	}
}

// look describes the task.
func (j *job) look() types.Task {
	j.t.Helper()
	return describeTask(j.t, j.s.sdk(), j.cluster, j.arn)
}

// until waits until the task is as the function wants it.
func (j *job) until(what string, is func(types.Task) bool) types.Task {
	j.t.Helper()
	var last types.Task
	eventually(j.t, j.arn+" "+what, func() (bool, string) {
		last = j.look()
		return is(last), tell(last)
	})
	return last
}

func (j *job) running() types.Task {
	j.t.Helper()
	return j.until("to be RUNNING", func(t types.Task) bool {
		if *t.LastStatus == "STOPPED" {
			j.t.Fatalf("the task stopped: %s", tell(t))
		}
		return *t.LastStatus == "RUNNING"
	})
}

func (j *job) stopped() types.Task {
	j.t.Helper()
	return j.until("to be STOPPED", func(t types.Task) bool { return *t.LastStatus == "STOPPED" })
}

// stop asks for the end of the task and waits for it.
func (j *job) stop() types.Task {
	j.t.Helper()
	must(j.t, j.s.sdk().StopTask, &ecs.StopTaskInput{Cluster: &j.cluster, Task: &j.arn})
	return j.stopped()
}

// tell is a task in a line, for those who wonder why a test failed.
func tell(t types.Task) string {
	line := fmt.Sprintf("%s (desired %s) %s %q health %s", *t.LastStatus, *t.DesiredStatus, t.StopCode, aws.ToString(t.StoppedReason), t.HealthStatus)
	for _, c := range t.Containers {
		line += fmt.Sprintf("; %s %s %s", *c.Name, *c.LastStatus, c.HealthStatus)
		if c.ExitCode != nil {
			line += fmt.Sprintf(" exit %d", *c.ExitCode)
		}
		if c.Reason != nil {
			line += " " + *c.Reason
		}
	}
	return line
}

// part finds a container of a task.
func part(t *testing.T, task types.Task, name string) types.Container {
	t.Helper()
	for _, c := range task.Containers {
		if *c.Name == name {
			return c
		}
	}
	t.Fatalf("the task has no container %s: %s", name, tell(task))
	return types.Container{}
}

// exited checks a container's exit code.
func exited(t *testing.T, task types.Task, name string, code int32) {
	t.Helper()
	if c := part(t, task, name); c.ExitCode == nil || *c.ExitCode != code {
		t.Errorf("container %s should have exited %d: %s", name, code, tell(task))
	}
}

// logs is the SDK's CloudWatch Logs client.
func (s *server) logs() *cloudwatchlogs.Client {
	c := s.credentials()
	return cloudwatchlogs.New(cloudwatchlogs.Options{
		BaseEndpoint: aws.String(s.endpoint()), Region: s.value("AWS_REGION"),
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, ""),
		Retryer:     aws.NopRetryer{},
		HTTPClient:  s.http(),
	})
}

// events reads a log stream to its end; none where it does not exist.
func (s *server) events(t *testing.T, group, stream string) []logtypes.OutputLogEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), stateWithin)
	defer cancel()
	var out []logtypes.OutputLogEvent
	in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: &group, LogStreamName: &stream, StartFromHead: aws.Bool(true)}
	for {
		page, err := s.logs().GetLogEvents(ctx, in)
		if err != nil {
			t.Fatalf("read %s %s: %v", group, stream, err)
		}
		out = append(out, page.Events...)
		if aws.ToString(page.NextForwardToken) == aws.ToString(in.NextToken) {
			return out
		}
		in.NextToken = page.NextForwardToken
	}
}

// printed is what a container's stream has, line by line.
func (j *job) printed(container string) []string {
	j.t.Helper()
	var out []string
	for _, e := range j.s.events(j.t, probeGroup, "p/"+container+"/"+id(j.arn)) {
		out = append(out, *e.Message)
	}
	return out
}

// said is what a probe has told so far. Once its task is told STOPPED that is all of it.
func (j *job) said(container string) steps {
	j.t.Helper()
	var out steps
	for _, line := range j.printed(container) {
		var one step
		if !strings.HasPrefix(line, "{") {
			continue
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			j.t.Fatalf("container %s printed %q: %v", container, line, err)
		}
		out = append(out, one)
	}
	return out
}

// saying waits until a running probe has told of a step.
func (j *job) saying(container, what string) steps {
	j.t.Helper()
	var out steps
	eventually(j.t, container+" to tell of "+what, func() (bool, string) {
		task := j.look()
		if *part(j.t, task, container).LastStatus == "PENDING" {
			return false, tell(task)
		}
		out = j.said(container)
		return slices.ContainsFunc(out, func(s step) bool { return s.Step == what }), fmt.Sprintf("%+v", out)
	})
	return out
}

// finish runs one probe to its end, which has to be a good one.
func (s *server) finish(t *testing.T, change func(*job, *types.ContainerDefinition), do ...string) *job {
	t.Helper()
	j := s.job(t, s.probe("probe", do...))
	if change != nil {
		change(j, &j.in.ContainerDefinitions[0])
	}
	task := j.start().stopped()
	exited(t, task, "probe", 0)
	return j
}

// alone is finish, and what the probe told.
func (s *server) alone(t *testing.T, change func(*job, *types.ContainerDefinition), do ...string) steps {
	t.Helper()
	return s.finish(t, change, do...).said("probe")
}

func pairs(list ...string) []types.KeyValuePair {
	var out []types.KeyValuePair
	for _, p := range list {
		name, value, _ := strings.Cut(p, "=")
		out = append(out, types.KeyValuePair{Name: &name, Value: &value})
	}
	return out
}

// within fails a test that took longer since began than it may.
func within(t *testing.T, what string, began time.Time, most time.Duration) {
	t.Helper()
	if took := time.Since(began); took > most {
		t.Errorf("%s took %s; at most %s is right", what, took, most)
	}
}
