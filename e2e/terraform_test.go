package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// A terraform is the genuine Terraform with a configuration of a test's own.
type terraform struct {
	t   *testing.T
	dir string
	env []string
}

// providerMirror is a folder that holds the AWS provider as Terraform's file system mirrors do; "" where there is none.
func providerMirror() string {
	candidates := filepath.SplitList(os.Getenv("GANTRY_TERRAFORM_PLUGINS"))
	candidates = append(candidates, os.Getenv("TF_PLUGIN_CACHE_DIR"), "/opt/tf-plugins", "/usr/share/terraform/plugins", "/usr/local/share/terraform/plugins")
	if home, err := os.UserHomeDir(); err == nil {
		candidates = append(candidates, filepath.Join(home, ".terraform.d", "plugins"), filepath.Join(home, ".terraform.d", "plugin-cache"))
	}
	for _, dir := range slices.DeleteFunc(candidates, func(dir string) bool { return dir == "" }) {
		aws := filepath.Join(dir, "registry.terraform.io", "hashicorp", "aws")
		unpacked, _ := filepath.Glob(filepath.Join(aws, "5.*", runtime.GOOS+"_"+runtime.GOARCH))
		packed, _ := filepath.Glob(filepath.Join(aws, "terraform-provider-aws_5.*_"+runtime.GOOS+"_"+runtime.GOARCH+".zip"))
		if len(unpacked)+len(packed) > 0 {
			return dir
		}
	}
	return ""
}

// newTerraform initializes a configuration of testdata against a server, or skips the test.
func newTerraform(t *testing.T, s *server, configuration string) *terraform {
	t.Helper()
	need(t, "terraform")
	mirror := providerMirror()
	if mirror == "" {
		t.Skip("no mirror of Terraform's provider hashicorp/aws 5: name its folder in GANTRY_TERRAFORM_PLUGINS")
	}
	text, err := os.ReadFile(filepath.Join("testdata", configuration))
	if err != nil {
		t.Fatal(err)
	}
	tf := &terraform{t: t, dir: t.TempDir()}
	settings := filepath.Join(tf.dir, "cli.tfrc")
	for name, content := range map[string]string{
		"main.tf":  string(text),
		"cli.tfrc": fmt.Sprintf("disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path    = %q\n    include = [\"registry.terraform.io/hashicorp/aws\"]\n  }\n}\n", mirror),
	} {
		if err := os.WriteFile(filepath.Join(tf.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	home := filepath.Join(tf.dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	tf.env = append(slices.Clone(s.env), "HOME="+home, "TF_CLI_CONFIG_FILE="+settings, "TF_IN_AUTOMATION=1", "TF_INPUT=0")
	tf.must("init", "-no-color")
	return tf
}

// run runs one command and returns its exit code and what it printed.
func (tf *terraform) run(args ...string) (code int, out string) {
	tf.t.Helper()
	cmd := exec.CommandContext(tf.t.Context(), "terraform", args...)
	cmd.Dir, cmd.Env = tf.dir, tf.env
	text, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(text)
	}
	if err != nil {
		tf.t.Fatalf("terraform %s: %v", strings.Join(args, " "), err)
	}
	return 0, string(text)
}

func (tf *terraform) must(args ...string) string {
	tf.t.Helper()
	code, out := tf.run(args...)
	if code != 0 {
		tf.t.Fatalf("terraform %s ends with %d:\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// TestTerraform: a cluster with capacity providers, a log group, a task definition, services by launch type, by capacity
// providers and with a task set are made, need no change afterwards, roll to another image, and go.
func TestTerraform(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	name := family(t)
	tf := newTerraform(t, s, "terraform.tf")
	with := func(image string, args ...string) []string {
		return append(args, "-no-color", "-var", "name="+name, "-var", "image=gantry/sample-"+image+":latest")
	}
	destroyed := false
	destroy := with("worker", "destroy", "-auto-approve")
	defer func() {
		if !destroyed {
			tf.run(destroy...)
		}
	}()
	unchanged := func(image string) {
		t.Helper()
		if code, out := tf.run(with(image, "plan", "-detailed-exitcode")...); code != 0 {
			t.Fatalf("the plan after the apply is not empty (%d):\n%s", code, out)
		}
	}
	running := func(definition, image string) {
		t.Helper()
		for service, count := range map[string]int32{"web": 2, "strategy": 2, "default": 1, "daemon": 1} {
			if got := describeService(t, s.sdk(), name, service); got.RunningCount != count || !strings.HasSuffix(*got.TaskDefinition, definition) || len(got.Deployments) != 1 {
				t.Fatalf("applied, and not steady with %s: %s", definition, showService(got))
			}
			s.completed(t, name, service)
		}
		if got, want := s.tally(t, name), " RUNNING 3, "+name+" RUNNING 4"; got != want {
			t.Fatalf("tasks by provider: %s; want %s", got, want)
		}
		arns := must(t, s.sdk().ListTasks, &ecs.ListTasksInput{Cluster: &name}).TaskArns
		for _, task := range must(t, s.sdk().DescribeTasks, &ecs.DescribeTasksInput{Cluster: &name, Tasks: arns}).Tasks {
			if got := *task.Containers[0].Image; got != "gantry/sample-"+image+":latest" {
				t.Errorf("task %s of %s runs the image %s", id(*task.TaskArn), *task.Group, got)
			}
		}
	}
	var code int
	var out string
	applied := make(chan struct{})
	go func() {
		defer close(applied)
		code, out = tf.run(with("web", "apply", "-auto-approve")...)
	}()
	// The tasks of the capacity providers wait until one of them has a machine.
	eventually(t, "the cluster", func() (bool, string) {
		got, err := s.sdk().DescribeClusters(t.Context(), &ecs.DescribeClustersInput{Clusters: []string{name}})
		return err == nil && len(got.Clusters) == 1, fmt.Sprint(err)
	})
	s.enlist(t, name, name)
	if <-applied; code != 0 {
		t.Fatalf("apply ends with %d:\n%s", code, out)
	}
	if !strings.Contains(out, `caller = "arn:aws:iam::123456789012:root"`) {
		t.Errorf("the caller is not told:\n%s", out)
	}
	running(name+":1", "web")
	unchanged("web")

	tf.must(with("worker", "apply", "-auto-approve")...)
	running(name+":2", "worker")
	unchanged("worker")

	tf.must(destroy...)
	destroyed = true
	clusters := must(t, s.sdk().DescribeClusters, &ecs.DescribeClustersInput{Clusters: []string{name}}).Clusters
	if len(clusters) != 1 || *clusters[0].Status != "INACTIVE" {
		t.Errorf("destroyed, and there is %+v", clusters)
	}
	for _, p := range must(t, s.sdk().DescribeCapacityProviders, &ecs.DescribeCapacityProvidersInput{CapacityProviders: []string{name, name + "-scaled"}}).CapacityProviders {
		if p.Status != types.CapacityProviderStatusInactive {
			t.Errorf("destroyed, and capacity provider %s is %s", *p.Name, p.Status)
		}
	}
}
