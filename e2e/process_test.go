package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
)

// TestProcess: entryPoint, command, workingDirectory, user and environment are what the program finds.
func TestProcess(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	got := s.alone(t, func(_ *job, c *types.ContainerDefinition) {
		c.EntryPoint = []string{"/probe", "report"}
		c.Command = []string{"out=two words", "list=/tmp"}
		c.WorkingDirectory = aws.String("/made/for/it")
		c.User = aws.String("1234:5678")
		c.Environment = pairs("GREETING=hello world", "EMPTY=", "PATH=/bin:/")
		c.Hostname = aws.String("chosen")
	})
	r := got.report(t)
	if want := []string{"/probe", "report", "out=two words", "list=/tmp"}; !slices.Equal(r.Args, want) {
		t.Errorf("arguments %q, want %q", r.Args, want)
	}
	if r.UID != 1234 || r.GID != 5678 {
		t.Errorf("runs as %d:%d", r.UID, r.GID)
	}
	if r.Dir != "/made/for/it" || r.Hostname != "chosen" {
		t.Errorf("folder %q, hostname %q", r.Dir, r.Hostname)
	}
	for name, want := range map[string]string{
		"GREETING": "hello world", "EMPTY": "", "PATH": "/bin:/", "HOSTNAME": "chosen",
		"AWS_REGION": s.value("AWS_REGION"), "AWS_DEFAULT_REGION": s.value("AWS_REGION"),
	} {
		if value, ok := r.Env[name]; !ok || value != want {
			t.Errorf("variable %s is %q (%v), want %q", name, value, ok, want)
		}
	}
	for _, name := range []string{"ECS_CONTAINER_METADATA_URI", "ECS_CONTAINER_METADATA_URI_V4", "ECS_AGENT_URI"} {
		if !strings.HasPrefix(r.Env[name], "http://169.254.170.2/") {
			t.Errorf("variable %s is %q", name, r.Env[name])
		}
	}
	if r.PID != 1 || len(r.Processes) != 1 {
		t.Errorf("process %d of %q: it should be the only one", r.PID, r.Processes)
	}
	if r.Terminal || r.Stdin != "closed" {
		t.Errorf("terminal %v, standard input %s", r.Terminal, r.Stdin)
	}
}

// TestOverrides: what RunTask overrides wins over the definition, and leaves the rest.
func TestOverrides(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	file := fileOf(t, "over.env", "FROM_FILE=override\nBOTH=file\n")
	got := s.alone(t, func(j *job, c *types.ContainerDefinition) {
		c.Environment = pairs("KEPT=definition", "CHANGED=definition")
		j.run.Overrides = &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{
			Name: aws.String("probe"), Command: []string{"report", "read=/sys/fs/cgroup/memory/memory.limit_in_bytes"}, Memory: aws.Int32(48),
			Environment:      pairs("CHANGED=override", "BOTH=variable"),
			EnvironmentFiles: []types.EnvironmentFile{{Type: types.EnvironmentFileTypeS3, Value: aws.String("file://" + file)}},
		}}}
	}, "exit=7")
	env := got.report(t).Env
	for name, want := range map[string]string{"KEPT": "definition", "CHANGED": "override", "FROM_FILE": "override", "BOTH": "variable"} {
		if env[name] != want {
			t.Errorf("variable %s is %q, want %q", name, env[name], want)
		}
	}
	if one := got.of(t, "read=/sys/fs/cgroup/memory/memory.limit_in_bytes"); one.Error == "" && strings.TrimSpace(one.Text) != "50331648" {
		t.Errorf("the memory limit is %s, and was overridden with 48 MiB", one.Text)
	}
}

// TestEnvironmentFiles: files of the container instance, as ECS reads those in S3.
func TestEnvironmentFiles(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	first := fileOf(t, "first.env", "# a comment\nONE=first\nTWICE=first\n\nnothing\nQUOTED=\"as it is\"\nEQUALS=a=b\nOVER=file\n")
	second := fileOf(t, "second.env", "TWICE=second\nTWO=second")
	env := s.alone(t, func(_ *job, c *types.ContainerDefinition) {
		c.Environment = pairs("OVER=definition")
		for _, file := range []string{first, second} {
			c.EnvironmentFiles = append(c.EnvironmentFiles, types.EnvironmentFile{Type: types.EnvironmentFileTypeS3, Value: aws.String("file://" + file)})
		}
	}).report(t).Env
	for name, want := range map[string]string{
		"ONE": "first", "TWO": "second", "TWICE": "first", "QUOTED": `"as it is"`, "EQUALS": "a=b", "OVER": "definition",
	} {
		if env[name] != want {
			t.Errorf("variable %s is %q, want %q", name, env[name], want)
		}
	}
	if _, ok := env["nothing"]; ok {
		t.Error("a line without = became a variable")
	}

	t.Run("missing", func(t *testing.T) {
		j := s.job(t, s.probe("probe"))
		j.in.ContainerDefinitions[0].EnvironmentFiles = []types.EnvironmentFile{{Type: types.EnvironmentFileTypeS3, Value: aws.String("file:///nowhere/x.env")}}
		got := j.start().stopped()
		if got.StopCode != types.TaskStopCodeTaskFailedToStart || !strings.Contains(tell(got), "/nowhere/x.env") {
			t.Errorf("a missing environment file: %s", tell(got))
		}
	})
}

// fileOf makes a file of this machine, and is its path.
func fileOf(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTerminal: pseudoTerminal gives one, and interactive keeps standard input open.
func TestTerminal(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	r := s.alone(t, func(_ *job, c *types.ContainerDefinition) { c.PseudoTerminal = aws.Bool(true) }).report(t)
	if !r.Terminal || r.Env["TERM"] != "xterm" {
		t.Errorf("terminal %v, TERM %q", r.Terminal, r.Env["TERM"])
	}
	r = s.alone(t, func(_ *job, c *types.ContainerDefinition) { c.Interactive = aws.Bool(true) }).report(t)
	if r.Terminal || r.Stdin != "open" {
		t.Errorf("terminal %v, standard input %s", r.Terminal, r.Stdin)
	}
}

// TestInitProcess: initProcessEnabled puts an init before the program.
func TestInitProcess(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	r := s.alone(t, func(_ *job, c *types.ContainerDefinition) {
		c.LinuxParameters = &types.LinuxParameters{InitProcessEnabled: aws.Bool(true)}
	}).report(t)
	if r.PID == 1 || len(r.Processes) != 2 {
		t.Errorf("process %d of %q: it should be the child of an init", r.PID, r.Processes)
	}
	t.Run("signals", func(t *testing.T) {
		j := s.job(t, s.probe("probe", "list=/", "wait", "exit=5"))
		j.in.ContainerDefinitions[0].LinuxParameters = &types.LinuxParameters{InitProcessEnabled: aws.Bool(true)}
		j.start().saying("probe", "list=/")
		exited(t, j.stop(), "probe", 5)
		if text := j.said("probe").text(t, "wait"); text != "terminated" {
			t.Errorf("the program was told %q through the init", text)
		}
	})
}

// TestUlimits: as asked for, or a start that fails and says why.
func TestUlimits(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	got := s.alone(t, func(_ *job, c *types.ContainerDefinition) {
		c.Ulimits = []types.Ulimit{
			{Name: types.UlimitNameNofile, SoftLimit: 500, HardLimit: 600},
			{Name: types.UlimitNameNproc, SoftLimit: 100, HardLimit: 200},
			{Name: types.UlimitNameCore, SoftLimit: 0, HardLimit: 0},
			{Name: types.UlimitNameStack, SoftLimit: 1 << 23, HardLimit: 1 << 24},
		}
	}).report(t).Limits
	for name, want := range map[string][2]uint64{"nproc": {100, 200}, "core": {0, 0}, "stack": {1 << 23, 1 << 24}} {
		if got[name] != want {
			t.Errorf("limit %s is %d, want %d", name, got[name], want)
		}
	}
	if got["nofile"][1] != 600 { // the soft one is Go's own doing
		t.Errorf("hard limit nofile is %d, want 600", got["nofile"][1])
	}
	t.Run("soft above hard", func(t *testing.T) {
		j := s.job(t, s.probe("probe"))
		j.in.ContainerDefinitions[0].Ulimits = []types.Ulimit{{Name: types.UlimitNameNproc, SoftLimit: 200, HardLimit: 100}}
		got := j.start().stopped()
		if text := tell(got); !strings.Contains(text, "CannotCreateContainerError") || !strings.Contains(text, "nproc") {
			t.Error(text)
		}
	})
}

// TestStopTimeout: SIGTERM, then SIGKILL after stopTimeout, to those who did not listen.
func TestStopTimeout(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	t.Run("ignored", func(t *testing.T) {
		t.Parallel()
		c := s.probe("probe", "ignore", "list=/", "sleep=10m")
		c.StopTimeout = aws.Int32(3)
		j := s.job(t, c).start()
		j.saying("probe", "list=/")
		began := time.Now()
		task := j.stop()
		if took := time.Since(began); took < 3*time.Second {
			t.Errorf("it was killed after %s; stopTimeout is 3 s", took)
		}
		exited(t, task, "probe", 137)
		if task.StopCode != types.TaskStopCodeUserInitiated {
			t.Error(tell(task))
		}
	})
	t.Run("heard", func(t *testing.T) {
		t.Parallel()
		c := s.probe("probe", "list=/", "wait", "sleep=2s", "out=said goodbye", "exit=9")
		c.StopTimeout = aws.Int32(110)
		j := s.job(t, c).start()
		j.saying("probe", "list=/")
		task := j.stop()
		if took := task.ExecutionStoppedAt.Sub(*task.StoppingAt); took > 90*time.Second {
			t.Errorf("a stop that is listened to took %s", took)
		}
		exited(t, task, "probe", 9)
		if lines := j.printed("probe"); lines[len(lines)-1] != "said goodbye" {
			t.Errorf("its last words are missing: %q", lines)
		}
	})
}

// TestLabels: dockerLabels and ECS's own are on the container, where its metadata shows them.
func TestLabels(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	j := s.job(t, s.probe("probe", "get=$ECS_CONTAINER_METADATA_URI_V4"))
	j.in.ContainerDefinitions[0].DockerLabels = map[string]string{"team": "blue", "empty": ""}
	j.start().stopped()
	got := metadata[struct{ Labels map[string]string }](t, j.said("probe"), "get=$ECS_CONTAINER_METADATA_URI_V4")
	want := map[string]string{
		"team": "blue", "empty": "",
		"com.amazonaws.ecs.cluster": "default", "com.amazonaws.ecs.container-name": "probe", "com.amazonaws.ecs.task-arn": j.arn,
		"com.amazonaws.ecs.task-definition-family": family(t), "com.amazonaws.ecs.task-definition-version": "1",
	}
	if diff := cmp.Diff(want, got.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
}
