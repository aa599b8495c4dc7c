package ecs

import (
	"fmt"
	"strings"
	"testing"

	"gantry/internal/wire/ecsapi"
)

func TestTagsOfEverything(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	definition := w.define("web", 10, 16)
	instance := string(testPlace.Instance("prod", w.join("prod", 1024, 512)))
	task := *w.run("prod", "web", 1)[0].TaskArn
	for _, arn := range []string{"arn:aws:ecs:us-east-1:123456789012:cluster/prod", definition, instance, task} {
		show := func() string {
			var out []string
			for _, tag := range must(w, w.ops.ListTagsForResource, &ecsapi.ListTagsForResourceInput{ResourceArn: new(arn)}).Tags {
				out = append(out, *tag.Key+"="+*tag.Value)
			}
			return strings.Join(out, " ")
		}
		must(w, w.ops.TagResource, &ecsapi.TagResourceInput{ResourceArn: new(arn), Tags: []ecsapi.Tag{{Key: new("a"), Value: new("1")}, {Key: new("b")}}})
		must(w, w.ops.TagResource, &ecsapi.TagResourceInput{ResourceArn: new(arn), Tags: []ecsapi.Tag{{Key: new("a"), Value: new("2")}}})
		if got := show(); got != "a=2 b=" {
			t.Errorf("%s: %s", arn, got)
		}
		must(w, w.ops.UntagResource, &ecsapi.UntagResourceInput{ResourceArn: new(arn), TagKeys: []string{"a", "nope"}})
		if got := show(); got != "b=" {
			t.Errorf("%s: %s", arn, got)
		}
		var many []ecsapi.Tag
		for i := range 50 {
			many = append(many, ecsapi.Tag{Key: new(fmt.Sprint("k", i)), Value: new("")})
		}
		w.wantRefusal(call(w, w.ops.TagResource, &ecsapi.TagResourceInput{ResourceArn: new(arn), Tags: many})(), "LimitExceededException: A resource can have at most 50 tags.")
	}
}

func TestTaskTags(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 10, 16, func(in *ecsapi.RegisterTaskDefinitionInput) {
		in.Tags = []ecsapi.Tag{{Key: new("team"), Value: new("a")}, {Key: new("env"), Value: new("test")}}
	})
	w.join("prod", 1024, 512)
	out := must(w, w.ops.RunTask, &ecsapi.RunTaskInput{
		Cluster: new("prod"), TaskDefinition: new("web"), PropagateTags: ecsapi.PropagateTagsTaskDefinition, EnableECSManagedTags: new(true),
		Tags: []ecsapi.Tag{{Key: new("env"), Value: new("prod")}},
	})
	var got []string
	for _, tag := range out.Tasks[0].Tags {
		got = append(got, *tag.Key+"="+*tag.Value)
	}
	if s := strings.Join(got, " "); s != "team=a env=prod aws:ecs:clusterName=prod" {
		t.Error(s)
	}
}

func TestAccountSettings(t *testing.T) {
	w := newWorld(t)
	list := func(in *ecsapi.ListAccountSettingsInput) string {
		var out []string
		for _, s := range must(w, w.ops.ListAccountSettings, in).Settings {
			out = append(out, string(s.Name)+"="+*s.Value)
		}
		return strings.Join(out, " ")
	}
	insights := ecsapi.SettingNameContainerInsights
	if got := list(&ecsapi.ListAccountSettingsInput{}); got != "" {
		t.Errorf("a new account has set %s", got)
	}
	all := must(w, w.ops.ListAccountSettings, &ecsapi.ListAccountSettingsInput{EffectiveSettings: new(true)})
	if len(all.Settings) != 10 || all.NextToken == nil {
		t.Errorf("a page has %d settings", len(all.Settings))
	}
	if rest := must(w, w.ops.ListAccountSettings, &ecsapi.ListAccountSettingsInput{EffectiveSettings: new(true), NextToken: all.NextToken}); len(rest.Settings) != 1 {
		t.Errorf("the last page has %d settings", len(rest.Settings))
	}
	must(w, w.ops.PutAccountSettingDefault, &ecsapi.PutAccountSettingDefaultInput{Name: insights, Value: new("enabled")})
	if got := list(&ecsapi.ListAccountSettingsInput{EffectiveSettings: new(true), Name: insights}); got != "containerInsights=enabled" {
		t.Errorf("the account's default: %s", got)
	}
	put := must(w, w.ops.PutAccountSetting, &ecsapi.PutAccountSettingInput{Name: insights, Value: new("enhanced")}).Setting
	if *put.PrincipalArn != "arn:aws:iam::123456789012:root" {
		t.Errorf("%+v", put)
	}
	if got := list(&ecsapi.ListAccountSettingsInput{}); got != "containerInsights=enhanced" {
		t.Errorf("its own: %s", got)
	}
	gone := must(w, w.ops.DeleteAccountSetting, &ecsapi.DeleteAccountSettingInput{Name: insights}).Setting
	if *gone.Value != "enabled" {
		t.Errorf("without its own the default holds: %s", *gone.Value)
	}
}

// Containers take the log mode that the root has set, for itself or for all.
func TestDefaultLogDriverMode(t *testing.T) {
	w := newWorld(t)
	name := ecsapi.SettingNameDefaultLogDriverMode
	is := func(want, when string) {
		t.Helper()
		if got := w.DefaultLogDriverMode(w.store.View()); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	is("non-blocking", "of a new account")
	must(w, w.ops.PutAccountSettingDefault, &ecsapi.PutAccountSettingDefaultInput{Name: name, Value: new("blocking")})
	is("blocking", "as the default of all")
	must(w, w.ops.PutAccountSetting, &ecsapi.PutAccountSettingInput{Name: name, Value: new("non-blocking")})
	is("non-blocking", "as the root's own")
	must(w, w.ops.PutAccountSetting, &ecsapi.PutAccountSettingInput{Name: name, Value: new("blocking"), PrincipalArn: new("arn:aws:iam::123456789012:user/ann")})
	is("non-blocking", "after a user's own, which tasks do not ask for")
}
