package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestOutputsOfTheCLI: what the CLI makes of answers by itself: pages, queries, and
// forms of output.
func TestOutputsOfTheCLI(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	for n := range 5 {
		s.define(t, func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			*in.Family += fmt.Sprint("-", n)
		})
	}
	families := []string{"ecs", "list-task-definition-families", "--family-prefix", family(t)}
	type page struct {
		Families  []string `json:"families"`
		NextToken string
	}
	if all := awsJSON[page](t, s, append(families, "--page-size", "2")...); len(all.Families) != 5 || all.NextToken != "" {
		t.Errorf("the CLI follows the tokens to %+v, want 5 families", all)
	}
	first := awsJSON[page](t, s, append(families, "--max-items", "3")...)
	rest := awsJSON[page](t, s, append(families, "--starting-token", first.NextToken)...)
	if len(first.Families) != 3 || len(rest.Families) != 2 || rest.Families[0] != family(t)+"-3" {
		t.Errorf("3 items and the rest: %v and %v", first.Families, rest.Families)
	}
	describe := []string{"ecs", "describe-task-definition", "--task-definition", family(t) + "-0"}
	if got := s.aws(t, append(describe, "--output", "text", "--query", "taskDefinition.[family,revision,containerDefinitions[0].memory]")...); got != family(t)+"-0\t1\t32" {
		t.Errorf("--output text: %q", got)
	}
	if got := s.aws(t, append(describe, "--output", "yaml")...); !strings.Contains(got, "family: "+family(t)+"-0") {
		t.Errorf("--output yaml:\n%s", got)
	}
	// Unknown tasks are failures in the answer, and no error.
	if out := awsJSON[tasks](t, s, "ecs", "describe-tasks", "--tasks", "nothing"); len(out.Failures) != 1 || out.Failures[0].Reason != "MISSING" {
		t.Errorf("describe-tasks of nothing: %+v", out)
	}
	if got := s.awsError(t, "ecs", "wait", "tasks-running", "--tasks", "nothing"); !strings.Contains(got, "Waiter TasksRunning failed") {
		t.Errorf("wait tasks-running of nothing: %s", got)
	}
	if got := s.awsError(t, "ecs", "describe-task-definition", "--task-definition", "nothing"); !strings.HasSuffix(got, "An error occurred (ClientException) when calling the DescribeTaskDefinition operation: Unable to describe task definition.") {
		t.Errorf("an error as the CLI prints it: %s", got)
	}
}

// TestBoto3 does with AWS's SDK for Python what scripts do.
func TestBoto3(t *testing.T) {
	t.Parallel()
	python := need(t, "python3")
	if out, err := exec.Command(python, "-c", "import boto3; v = boto3.__version__.split('.'); assert (int(v[0]), int(v[1])) >= (1, 28)").CombinedOutput(); err != nil {
		t.Skipf("python3 has no boto3 of 1.28 or later, the first to read AWS_ENDPOINT_URL: %s", strings.TrimSpace(string(out)))
	}
	s := gantry(t)
	cmd := exec.CommandContext(t.Context(), python, "testdata/boto.py", s.cluster(t))
	cmd.Env = s.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
