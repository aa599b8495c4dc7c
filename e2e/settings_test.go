package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestTags puts tags on each kind of resource, by its ARN, and takes them off again.
func TestTags(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	definition := s.define(t, nil)
	task := *must(t, c.RunTask, &ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: &definition}).Tasks[0].TaskArn
	const prefix = "arn:aws:ecs:us-east-1:123456789012:"
	for _, arn := range []string{prefix + "cluster/" + cluster, prefix + "task-definition/" + definition, s.join(t, cluster, instance{}), task} {
		tags := func() string {
			return tagged(must(t, c.ListTagsForResource, &ecs.ListTagsForResourceInput{ResourceArn: &arn}).Tags)
		}
		if got := tags(); got != "" {
			t.Errorf("%s has tags: %s", arn, got)
		}
		must(t, c.TagResource, &ecs.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{tag("a", "1"), tag("b", ""), tag("c", "Ünï cödé")}})
		must(t, c.TagResource, &ecs.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{tag("a", "2")}})
		if got := tags(); got != "a=2 b= c=Ünï cödé" {
			t.Errorf("%s: %s", arn, got)
		}
		must(t, c.UntagResource, &ecs.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"b", "c", "nothing"}})
		if got := tags(); got != "a=2" {
			t.Errorf("%s without b and c: %s", arn, got)
		}
		var many []types.Tag
		for i := range 50 {
			many = append(many, tag(fmt.Sprint("more", i), ""))
		}
		refused[*types.LimitExceededException](t, c.TagResource, &ecs.TagResourceInput{ResourceArn: &arn, Tags: many}, "at most 50 tags")
	}
	if out := must(t, c.DescribeTaskDefinition, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &definition, Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags}}); tagged(out.Tags) != "a=2" {
		t.Errorf("described with tags %s", tagged(out.Tags))
	}
}

// TestAccountSettings has a server of its own: they hold for the whole account.
func TestAccountSettings(t *testing.T) {
	t.Parallel()
	s := own(t)
	c := s.sdk()
	effective := func(principal string) map[types.SettingName]string {
		in := &ecs.ListAccountSettingsInput{EffectiveSettings: true}
		if principal != "" {
			in.PrincipalArn = &principal
		}
		got := map[types.SettingName]string{}
		for p := ecs.NewListAccountSettingsPaginator(c, in); p.HasMorePages(); {
			out, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range out.Settings {
				got[x.Name] = *x.Value
			}
		}
		return got
	}
	fresh := effective("")
	if len(fresh) != len(types.SettingName("").Values()) || fresh[types.SettingNameTaskLongArnFormat] != "enabled" || fresh[types.SettingNameContainerInsights] != "disabled" {
		t.Errorf("of a new account: %v", fresh)
	}
	if out := must(t, c.ListAccountSettings, &ecs.ListAccountSettingsInput{}); len(out.Settings) != 0 {
		t.Errorf("nothing was set, and yet: %+v", out.Settings)
	}

	insights := types.SettingNameContainerInsights
	user := "arn:aws:iam::123456789012:user/MyUser"
	out := must(t, c.PutAccountSettingDefault, &ecs.PutAccountSettingDefaultInput{Name: insights, Value: aws.String("enhanced")}).Setting
	if *out.Value != "enhanced" || *out.PrincipalArn != "arn:aws:iam::123456789012:root" {
		t.Errorf("the account's: %+v", out)
	}
	mine := must(t, c.PutAccountSetting, &ecs.PutAccountSettingInput{Name: insights, Value: aws.String("enabled"), PrincipalArn: &user}).Setting
	if *mine.PrincipalArn != user {
		t.Errorf("the user's: %+v", mine)
	}
	if a, b := effective("")[insights], effective(user)[insights]; a != "enhanced" || b != "enabled" {
		t.Errorf("the account has %s and the user %s", a, b)
	}
	if got := must(t, c.CreateCluster, &ecs.CreateClusterInput{ClusterName: aws.String("new")}).Cluster.Settings; *got[0].Value != "enhanced" {
		t.Errorf("a new cluster starts with %+v", got)
	}
	if got := must(t, c.ListAccountSettings, &ecs.ListAccountSettingsInput{PrincipalArn: &user, Name: insights, Value: aws.String("enabled")}).Settings; len(got) != 1 {
		t.Errorf("listed by name, value and principal: %+v", got)
	}
	if got := must(t, c.DeleteAccountSetting, &ecs.DeleteAccountSettingInput{Name: insights, PrincipalArn: &user}).Setting; *got.PrincipalArn != user {
		t.Errorf("deleted: %+v", got)
	}
	if got := effective(user)[insights]; got != "enhanced" {
		t.Errorf("after that the user has %s, want the account's", got)
	}
	// Terraform looks for these words when it destroys one.
	refused[*types.InvalidParameterException](t, c.PutAccountSettingDefault,
		&ecs.PutAccountSettingDefaultInput{Name: types.SettingNameTaskLongArnFormat, Value: aws.String("disabled")}, "You can no longer disable")
	if got := s.aws(t, "ecs", "list-account-settings", "--effective-settings", "--query", "length(settings)"); strings.TrimSpace(got) != "11" {
		t.Errorf("the CLI pages through %s settings, not 11", got)
	}
}
