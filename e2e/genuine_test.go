package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// genuineAgent names the variable that says where a genuine amazon-ecs-agent is. The
// test that needs it runs where dockerd and docker are on PATH, too.
const genuineAgent = "GANTRY_ECS_AGENT"

// A dockerHost is a Docker Engine of its own, and an amazon-ecs-agent on it.
type dockerHost struct {
	dir     string
	server  *server
	cluster string
	agent   *exec.Cmd // nil while it does not run
	// settings are what gantry agent key prints for it.
	settings []string
}

func (d *dockerHost) socket() string { return filepath.Join(d.dir, "docker.sock") }

// dockerEngine starts Docker Engine with folders of its own, until the test ends.
func dockerEngine(t *testing.T, s *server, cluster string) *dockerHost {
	t.Helper()
	d := &dockerHost{dir: t.TempDir(), server: s, cluster: cluster}
	engine := exec.Command("dockerd", "-H", "unix://"+d.socket(), "--data-root", filepath.Join(d.dir, "data"), "--exec-root", filepath.Join(d.dir, "exec"),
		"--pidfile", filepath.Join(d.dir, "pid"), "--bip", "10.213.9.1/24", "--cgroup-parent", "gantry-e2e-docker", "--log-level", "error")
	text := new(output)
	engine.Stdout, engine.Stderr = text, text
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- engine.Wait() }()
	t.Cleanup(func() {
		if ids := strings.Fields(d.docker(t, "ps", "-aq")); len(ids) > 0 {
			d.docker(t, append([]string{"rm", "-f"}, ids...)...)
		}
		_ = engine.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			t.Logf("dockerd says:\n%s", text)
		}
	})
	eventually(t, "dockerd answers", func() (bool, string) {
		out, err := exec.Command("docker", "-H", "unix://"+d.socket(), "version").CombinedOutput()
		return err == nil, string(out) + text.String()
	})
	return d
}

// docker runs a command of Docker's CLI.
func (d *dockerHost) docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", append([]string{"-H", "unix://" + d.socket()}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// containers are the ids of those that run, whose name holds part.
func (d *dockerHost) containers(t *testing.T, part string) []string {
	t.Helper()
	ids := strings.Fields(d.docker(t, "ps", "-q", "--filter", "name="+part))
	slices.Sort(ids)
	return ids
}

// join starts the agent, as a user would point it at gantry.
func (d *dockerHost) join(t *testing.T) {
	t.Helper()
	if d.settings == nil {
		printed, err := d.server.gantry("agent", "key", "--cluster", d.cluster, "--host", "docker")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(printed) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "ECS_") || strings.HasPrefix(line, "AWS_") {
				d.settings = append(d.settings, line)
			}
		}
	}
	log, err := os.OpenFile(filepath.Join(d.dir, "agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(os.Getenv(genuineAgent))
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "DOCKER_HOST=unix://" + d.socket(), "ECS_DATADIR=" + filepath.Join(d.dir, "agent"), "ECS_CHECKPOINT=true",
		"ECS_IMAGE_PULL_BEHAVIOR=prefer-cached", "ECS_ENABLE_TASK_CPU_MEM_LIMIT=false", `ECS_INSTANCE_ATTRIBUTES={"stack":"prod"}`,
	}, d.settings...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := os.MkdirAll(filepath.Join(d.dir, "agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.agent = cmd
	t.Cleanup(d.kill)
}

// kill ends the agent as a power cut would, and leaves its containers.
func (d *dockerHost) kill() {
	if d.agent != nil {
		_ = d.agent.Process.Kill()
		_ = d.agent.Wait()
		d.agent = nil
	}
}

// logTail is the end of what the agent has logged.
func (d *dockerHost) logTail() string {
	text, err := os.ReadFile(filepath.Join(d.dir, "agent.log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-8<<10):])
}

// instance waits for the agent to be connected, and is its container instance's ARN.
func (d *dockerHost) instance(t *testing.T) (arn string) {
	t.Helper()
	filter := "attribute:stack == prod and agentConnected == true"
	eventually(t, "the genuine agent is connected", func() (bool, string) {
		out := must(t, d.server.sdk().ListContainerInstances, &ecs.ListContainerInstancesInput{Cluster: &d.cluster, Filter: &filter})
		if len(out.ContainerInstanceArns) == 1 {
			arn = out.ContainerInstanceArns[0]
		}
		return arn != "", fmt.Sprint(out.ContainerInstanceArns, d.logTail())
	})
	return arn
}

// TestGenuineAgent: the amazon-ecs-agent itself runs a service's tasks on Docker, and is
// rolled, drained, restarted, lost and found, as its control plane is.
func TestGenuineAgent(t *testing.T) {
	if os.Getenv(genuineAgent) == "" {
		t.Skipf("%s does not say where an amazon-ecs-agent is", genuineAgent)
	}
	need(t, "dockerd")
	need(t, "docker")
	listen := []string{"--listen", "127.0.0.1:47470", "--replace-lost-external-after", "20s"}
	s := own(t, listen...)
	cluster := family(t)
	must(t, s.sdk().CreateCluster, &ecs.CreateClusterInput{ClusterName: &cluster})
	d := dockerEngine(t, s, cluster)
	for _, sample := range []string{"web", "worker", "crasher"} {
		d.docker(t, "load", "-i", sampleTar(sample))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the agent's log ends:\n%s", d.logTail())
		}
	})
	d.join(t)
	me := d.instance(t)
	web := func(greeting string) string {
		return s.define(t, func(in *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			in.NetworkMode = types.NetworkModeBridge
			c.Name, c.Image, c.Command, c.Essential = aws.String("web"), aws.String("gantry/sample-web:latest"), nil, aws.Bool(true)
			c.Environment = pairs("GREETING=" + greeting)
			c.PortMappings = []types.PortMapping{{ContainerPort: aws.Int32(8080)}}
			c.HealthCheck = &types.HealthCheck{Command: []string{"CMD", "/web", "check"}, Interval: aws.Int32(5)}
			c.StopTimeout = aws.Int32(2)
			c.Ulimits = []types.Ulimit{{Name: types.UlimitNameNofile, SoftLimit: 1000, HardLimit: 2000}}
			side := *c
			side.Name, side.Image, side.Essential = aws.String("side"), aws.String("gantry/sample-worker:latest"), aws.Bool(false)
			side.PortMappings, side.HealthCheck = nil, nil
			side.DependsOn = []types.ContainerDependency{{ContainerName: aws.String("web"), Condition: types.ContainerConditionHealthy}}
			in.ContainerDefinitions = []types.ContainerDefinition{*c, side}
		})
	}
	s.aws(t, "ecs", "create-service", "--cluster", cluster, "--service-name", "web", "--task-definition", web("one"), "--desired-count", "2", "--launch-type", "EXTERNAL",
		"--deployment-configuration", "minimumHealthyPercent=0,maximumPercent=100")
	stable := func() []types.Task {
		t.Helper()
		s.aws(t, "ecs", "wait", "services-stable", "--cluster", cluster, "--services", "web")
		arns := must(t, s.sdk().ListTasks, &ecs.ListTasksInput{Cluster: &cluster, ServiceName: aws.String("web")}).TaskArns
		if len(arns) != 2 {
			t.Fatalf("stable with the tasks %v\n%s", arns, showService(describeService(t, s.sdk(), cluster, "web")))
		}
		return must(t, s.sdk().DescribeTasks, &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: arns}).Tasks
	}
	// An image that Docker loaded has no digest, so that the second task waits for the first
	// to run; their health is told a little later than that they run.
	eventually(t, "the tasks are healthy", func() (bool, string) {
		tasks := stable()
		return !slices.ContainsFunc(tasks, func(t types.Task) bool { return t.HealthStatus != types.HealthStatusHealthy }), tell(tasks[0]) + tell(tasks[1])
	})
	for _, task := range stable() {
		if *task.ContainerInstanceArn != me || task.LaunchType != types.LaunchTypeExternal || task.HealthStatus != types.HealthStatusHealthy || task.Connectivity != types.ConnectivityConnected {
			t.Errorf("a task of the service: %s", tell(task))
		}
		for _, c := range task.Containers {
			if *c.Name != "web" {
				continue
			}
			if len(c.NetworkBindings) == 0 || *c.NetworkBindings[0].HostPort < 1024 {
				t.Fatalf("bindings: %+v", c.NetworkBindings)
			}
			if body, err := get(*c.NetworkBindings[0].HostPort); err != nil {
				t.Errorf("ask the task at its port: %v, %s", err, body)
			}
		}
	}
	status := must(t, s.sdk().DescribeContainerInstances, &ecs.DescribeContainerInstancesInput{Cluster: &cluster, ContainerInstances: []string{me}}).ContainerInstances[0]
	if *status.VersionInfo.AgentVersion == "" || status.RunningTasksCount != 2 {
		t.Errorf("the instance: %+v, running %d", status.VersionInfo, status.RunningTasksCount)
	}

	t.Log("roll")
	s.aws(t, "ecs", "update-service", "--cluster", cluster, "--service", "web", "--task-definition", web("two"))
	rolled := stable()
	if n := len(d.containers(t, "-web-")); n != 2 {
		t.Errorf("%d containers run after the roll", n)
	}

	t.Log("an essential container dies")
	d.docker(t, "kill", d.containers(t, "-web-")[0])
	eventually(t, "another task runs", func() (bool, string) {
		sv := describeService(t, s.sdk(), cluster, "web")
		return sv.RunningCount == 2 && !sameTasks(t, s, cluster, rolled), showService(sv)
	})
	before := stable()

	t.Log("the control plane dies")
	running := d.containers(t, "ecs-")
	s.kill()
	if err := s.start(listen...); err != nil {
		t.Fatal(err)
	}
	if again := d.instance(t); again != me {
		t.Errorf("the instance was %s and is %s", me, again)
	}
	if stable(); !sameTasks(t, s, cluster, before) || !slices.Equal(d.containers(t, "ecs-"), running) {
		t.Error("the tasks changed with the control plane")
	}

	t.Log("the agent dies, for a moment")
	d.kill()
	d.join(t)
	if again := d.instance(t); again != me {
		t.Errorf("the instance was %s and is %s", me, again)
	}
	if stable(); !sameTasks(t, s, cluster, before) || !slices.Equal(d.containers(t, "ecs-"), running) {
		t.Error("the tasks changed with the agent")
	}

	t.Log("the agent dies, for long")
	d.kill()
	for _, task := range before {
		lost := s.stopped(t, cluster, *task.TaskArn)
		if lost.StopCode != types.TaskStopCodeInfrastructureHealth || !strings.Contains(*lost.StoppedReason, "is lost") {
			t.Errorf("a lost task: %s", tell(lost))
		}
	}
	d.join(t)
	stable()
	eventually(t, "what was given up is gone", func() (bool, string) {
		now := d.containers(t, "-web-")
		return len(now) == 2 && !slices.ContainsFunc(now, func(id string) bool { return slices.Contains(running, id) }), fmt.Sprint(now, " of ", running)
	})

	t.Log("drain")
	s.aws(t, "ecs", "update-container-instances-state", "--cluster", cluster, "--container-instances", me, "--status", "DRAINING")
	eventually(t, "the instance is empty", func() (bool, string) {
		now := d.containers(t, "ecs-")
		return len(now) == 0, fmt.Sprint(now)
	})
	s.aws(t, "ecs", "update-container-instances-state", "--cluster", cluster, "--container-instances", me, "--status", "ACTIVE")
	stable()
	s.aws(t, "ecs", "delete-service", "--cluster", cluster, "--service", "web", "--force")
	s.aws(t, "ecs", "wait", "services-inactive", "--cluster", cluster, "--services", "web")

	t.Log("a standalone task")
	crash := s.define(t, func(in *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
		in.NetworkMode = types.NetworkModeBridge
		c.Image, c.Command, c.Environment = aws.String("gantry/sample-crasher:latest"), nil, pairs("EXIT_CODE=7")
	})
	out := must(t, s.sdk().RunTask, &ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: &crash, LaunchType: types.LaunchTypeExternal})
	ended := s.stopped(t, cluster, *out.Tasks[0].TaskArn)
	if code := ended.Containers[0].ExitCode; ended.StopCode != types.TaskStopCodeEssentialContainerExited || code == nil || *code != 7 {
		t.Errorf("a task that crashes: %s", tell(ended))
	}
}

// sameTasks says whether the service still runs exactly these tasks.
func sameTasks(t *testing.T, s *server, cluster string, tasks []types.Task) bool {
	t.Helper()
	arns := must(t, s.sdk().ListTasks, &ecs.ListTasksInput{Cluster: &cluster, ServiceName: aws.String("web")}).TaskArns
	slices.Sort(arns)
	var want []string
	for _, task := range tasks {
		want = append(want, *task.TaskArn)
	}
	slices.Sort(want)
	return slices.Equal(arns, want)
}
