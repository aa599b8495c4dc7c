package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
)

func TestLifeOfATaskDefinition(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	fam := family(t)
	for n := range 3 {
		if got, want := s.define(t, func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.Tags = []types.Tag{tag("n", fmt.Sprint(n+1))}
		}), fmt.Sprintf("%s:%d", fam, n+1); got != want {
			t.Fatalf("registered %s, want %s", got, want)
		}
	}
	arn := func(n int) string {
		return fmt.Sprintf("arn:aws:ecs:us-east-1:123456789012:task-definition/%s:%d", fam, n)
	}
	for ref, want := range map[string]int32{fam: 3, fam + ":2": 2, arn(1): 1} {
		out := must(t, c.DescribeTaskDefinition, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &ref, Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags}})
		d := out.TaskDefinition
		if d.Revision != want || *d.TaskDefinitionArn != arn(int(want)) || d.Status != "ACTIVE" || tagged(out.Tags) != fmt.Sprintf("n=%d", want) {
			t.Errorf("%s: %+v", ref, d)
		}
		if d.RegisteredAt == nil || *d.RegisteredBy != "arn:aws:iam::123456789012:root" || !slices.Equal(d.Compatibilities, []types.Compatibility{"EXTERNAL", "EC2"}) {
			t.Errorf("%s: %+v", ref, d)
		}
	}
	list := func(status types.TaskDefinitionStatus) []string {
		return must(t, c.ListTaskDefinitions, &ecs.ListTaskDefinitionsInput{FamilyPrefix: &fam, Status: status}).TaskDefinitionArns
	}
	families := func(status types.TaskDefinitionFamilyStatus) []string {
		return must(t, c.ListTaskDefinitionFamilies, &ecs.ListTaskDefinitionFamiliesInput{FamilyPrefix: &fam, Status: status}).Families
	}
	equal := func(what string, got, want []string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	equal("all", list(""), []string{arn(1), arn(2), arn(3)})

	for _, n := range []int{3, 3} { // a second time changes nothing
		d := must(t, c.DeregisterTaskDefinition, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String(arn(n))}).TaskDefinition
		if d.Status != "INACTIVE" || d.DeregisteredAt == nil {
			t.Errorf("deregistered: %+v", d)
		}
	}
	equal("ACTIVE", list(""), []string{arn(1), arn(2)})
	equal("INACTIVE", list("INACTIVE"), []string{arn(3)})
	if d := must(t, c.DescribeTaskDefinition, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &fam}).TaskDefinition; d.Revision != 2 {
		t.Errorf("the family means revision %d, want the latest ACTIVE one", d.Revision)
	}
	refused[*types.ClientException](t, c.RunTask, &ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: aws.String(arn(3))}, "TaskDefinition is inactive")

	out := must(t, c.DeleteTaskDefinitions, &ecs.DeleteTaskDefinitionsInput{TaskDefinitions: []string{arn(1), arn(3), fam + ":9"}})
	if len(out.TaskDefinitions) != 1 || out.TaskDefinitions[0].Status != "DELETE_IN_PROGRESS" || len(out.Failures) != 2 {
		t.Errorf("deleted: %+v, %s", out.TaskDefinitions, show(out.Failures))
	}
	for _, n := range []int{1, 2} {
		must(t, c.DeregisterTaskDefinition, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String(arn(n))})
	}
	equal("families", families(""), []string{fam})
	equal("ACTIVE families", families("ACTIVE"), nil)
	equal("INACTIVE families", families("INACTIVE"), []string{fam})
	// Numbers are never used again.
	if got := s.define(t, nil); got != fam+":4" {
		t.Errorf("registered %s, want %s:4", got, fam)
	}
	equal("ACTIVE families", families("ACTIVE"), []string{fam})
}

// TestTaskDefinitionComesBackAsGiven registers a definition with every member that
// EC2 offers and looks for each of them in what is described, as Terraform does.
func TestTaskDefinitionComesBackAsGiven(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	text, err := os.ReadFile("testdata/definition.json")
	if err != nil {
		t.Fatal(err)
	}
	var given map[string]any
	if err := json.Unmarshal(text, &given); err != nil {
		t.Fatal(err)
	}
	if a := s.call(t, ecsTarget+"RegisterTaskDefinition", string(text)); a.status != 200 {
		t.Fatalf("%s: %s", a.code, a.message)
	}
	a := s.call(t, ecsTarget+"DescribeTaskDefinition", fmt.Sprintf(`{"taskDefinition":%q,"include":["TAGS"]}`, given["family"]))
	var described struct {
		TaskDefinition map[string]any
		Tags           any
	}
	if err := json.Unmarshal([]byte(a.body), &described); err != nil {
		t.Fatal(err)
	}
	described.TaskDefinition["tags"] = described.Tags
	if diff := cmp.Diff(given, only(given, described.TaskDefinition)); diff != "" {
		t.Errorf("(-given +described):\n%s", diff)
	}
	// The genuine client reads it back, too.
	d := must(t, s.sdk().DescribeTaskDefinition, &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String(given["family"].(string))}).TaskDefinition
	if len(d.ContainerDefinitions) != 2 || *d.ContainerDefinitions[0].HealthCheck.Retries != 3 {
		t.Errorf("%+v", d)
	}
}

// only is what of got has a counterpart in want: members that the server filled in are left out.
func only(want, got any) any {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return got
		}
		out := map[string]any{}
		for k := range w {
			if v, ok := g[k]; ok {
				out[k] = only(w[k], v)
			}
		}
		return out
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return got
		}
		out := make([]any, len(w))
		for i := range w {
			out[i] = only(w[i], g[i])
		}
		return out
	}
	return got
}

// TestNotYetWhenRun: what gantry does not run yet registers as on AWS, and is
// refused in a sentence when it is run.
func TestNotYetWhenRun(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	for words, change := range map[string]func(*ecs.RegisterTaskDefinitionInput, *types.ContainerDefinition){
		"networkMode awsvpc": func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.NetworkMode = types.NetworkModeAwsvpc
		},
		"taskRoleArn": func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.TaskRoleArn = aws.String("arn:aws:iam::123456789012:role/app")
		},
		"secrets": func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.Secrets = []types.Secret{{Name: aws.String("A"), ValueFrom: aws.String("a")}}
		},
		"efsVolumeConfiguration": func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.Volumes = []types.Volume{{Name: aws.String("v"), EfsVolumeConfiguration: &types.EFSVolumeConfiguration{FileSystemId: aws.String("fs-1")}}}
		},
		"repositoryCredentials": func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.RepositoryCredentials = &types.RepositoryCredentials{CredentialsParameter: aws.String("arn:aws:secretsmanager:us-east-1:123456789012:secret:a")}
		},
		"environment file in S3": func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.EnvironmentFiles = []types.EnvironmentFile{{Type: types.EnvironmentFileTypeS3, Value: aws.String("arn:aws:s3:::bucket/a.env")}}
		},
	} {
		definition := s.define(t, change)
		e := refused[*types.UnsupportedFeatureException](t, c.RunTask, &ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: &definition}, words)
		if e != nil && !strings.HasSuffix(e.ErrorMessage(), "which gantry does not offer yet.") {
			t.Errorf("%s: %s", words, e.ErrorMessage())
		}
	}
	definition := s.define(t, nil)
	for words, in := range map[string]*ecs.RunTaskInput{
		"launchType FARGATE": {LaunchType: types.LaunchTypeFargate},
		"volumeConfigurations": {VolumeConfigurations: []types.TaskVolumeConfiguration{{Name: aws.String("v"), ManagedEBSVolume: &types.TaskManagedEBSVolumeConfiguration{
			RoleArn: aws.String("arn:aws:iam::123456789012:role/ebs"), SizeInGiB: aws.Int32(1)}}}},
	} {
		in.Cluster, in.TaskDefinition = &cluster, &definition
		refused[*types.UnsupportedFeatureException](t, c.RunTask, in, words)
	}
}
