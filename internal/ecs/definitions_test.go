package ecs

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

func TestRevisions(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		if arn := w.define("web", int32(i), 16); arn != fmt.Sprintf("arn:aws:ecs:us-east-1:123456789012:task-definition/web:%d", i+1) {
			t.Fatal(arn)
		}
	}
	latest := func() int32 {
		return *must(w, w.ops.DescribeTaskDefinition, &ecsapi.DescribeTaskDefinitionInput{TaskDefinition: new("web")}).TaskDefinition.Revision
	}
	if latest() != 3 {
		t.Errorf("the latest is %d", latest())
	}
	gone := must(w, w.ops.DeregisterTaskDefinition, &ecsapi.DeregisterTaskDefinitionInput{TaskDefinition: new("web:3")}).TaskDefinition
	if gone.Status != ecsapi.TaskDefinitionStatusInactive || gone.DeregisteredAt == nil {
		t.Errorf("deregistered: %+v", gone)
	}
	if latest() != 2 {
		t.Errorf("the latest ACTIVE one is %d", latest())
	}
	if d := must(w, w.ops.DescribeTaskDefinition, &ecsapi.DescribeTaskDefinitionInput{TaskDefinition: new("web:3")}).TaskDefinition; d.Status != ecsapi.TaskDefinitionStatusInactive {
		t.Errorf("an INACTIVE revision is still describable: %s", d.Status)
	}
}

// TestRevisionsAreNeverReused: also not after all of a family was deleted.
func TestRevisionsAreNeverReused(t *testing.T) {
	w := newWorld(t)
	arn := w.define("web", 1, 16)
	must(w, w.ops.DeregisterTaskDefinition, &ecsapi.DeregisterTaskDefinitionInput{TaskDefinition: new(arn)})
	must(w, w.ops.DeleteTaskDefinitions, &ecsapi.DeleteTaskDefinitionsInput{TaskDefinitions: []string{arn}})
	w.update(func(tx *store.Tx) error { store.Definitions.Delete(tx, "web:1"); return nil }) // what lifecycle does
	if arn := w.define("web", 1, 16); !strings.HasSuffix(arn, "web:2") {
		t.Error(arn)
	}
}

func TestManyRegisterAtOnce(t *testing.T) {
	w := newWorld(t)
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() { w.define("web", 1, 16) })
	}
	wait.Wait()
	if d := must(w, w.ops.DescribeTaskDefinition, &ecsapi.DescribeTaskDefinitionInput{TaskDefinition: new("web")}).TaskDefinition; *d.Revision != 20 {
		t.Errorf("20 registrations ended at revision %d", *d.Revision)
	}
}

func TestDeleteTaskDefinitions(t *testing.T) {
	w := newWorld(t)
	w.define("web", 1, 16)
	w.define("web", 2, 16)
	must(w, w.ops.DeregisterTaskDefinition, &ecsapi.DeregisterTaskDefinitionInput{TaskDefinition: new("web:1")})
	out := must(w, w.ops.DeleteTaskDefinitions, &ecsapi.DeleteTaskDefinitionsInput{TaskDefinitions: []string{"web:1", "web:2", "web:9", "web"}})
	if len(out.TaskDefinitions) != 1 || out.TaskDefinitions[0].Status != ecsapi.TaskDefinitionStatusDeleteInProgress || out.TaskDefinitions[0].DeleteRequestedAt == nil {
		t.Errorf("deleted: %+v", out.TaskDefinitions)
	}
	var reasons []string
	for _, f := range out.Failures {
		reasons = append(reasons, *f.Arn+" "+*f.Reason)
	}
	if diff := cmp.Diff([]string{"web:2 TASK_DEFINITION_ACTIVE", "web:9 MISSING", "web INVALID_ARN"}, reasons); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	w.wantRefusal(call(w, w.ops.DeregisterTaskDefinition, &ecsapi.DeregisterTaskDefinitionInput{TaskDefinition: new("web:1")})(),
		"ClientException: The specified task definition is in the process of being deleted.")
}

func TestListTaskDefinitions(t *testing.T) {
	w := newWorld(t)
	for range 11 {
		w.define("web", 1, 16)
	}
	w.define("api", 1, 16)
	w.define("web-old", 1, 16)
	for _, gone := range []string{"web:2", "web-old:1"} {
		must(w, w.ops.DeregisterTaskDefinition, &ecsapi.DeregisterTaskDefinitionInput{TaskDefinition: new(gone)})
	}
	list := func(in *ecsapi.ListTaskDefinitionsInput) string {
		var names []string
		for {
			out := must(w, w.ops.ListTaskDefinitions, in)
			for _, arn := range out.TaskDefinitionArns {
				names = append(names, arn[strings.LastIndexByte(arn, '/')+1:])
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return strings.Join(names, " ")
			}
		}
	}
	for _, tt := range []struct {
		in   *ecsapi.ListTaskDefinitionsInput
		want string
	}{
		{&ecsapi.ListTaskDefinitionsInput{}, "api:1 web:1 web:3 web:4 web:5 web:6 web:7 web:8 web:9 web:10 web:11"},
		{&ecsapi.ListTaskDefinitionsInput{MaxResults: new(int32(3))}, "api:1 web:1 web:3 web:4 web:5 web:6 web:7 web:8 web:9 web:10 web:11"},
		{&ecsapi.ListTaskDefinitionsInput{Sort: ecsapi.SortOrderDesc, MaxResults: new(int32(4))}, "web:11 web:10 web:9 web:8 web:7 web:6 web:5 web:4 web:3 web:1 api:1"},
		{&ecsapi.ListTaskDefinitionsInput{Status: ecsapi.TaskDefinitionStatusInactive}, "web:2 web-old:1"},
		{&ecsapi.ListTaskDefinitionsInput{FamilyPrefix: new("api")}, "api:1"},
		{&ecsapi.ListTaskDefinitionsInput{FamilyPrefix: new("we")}, ""},
	} {
		if got := list(tt.in); got != tt.want {
			t.Errorf("%+v:\n got %s\nwant %s", tt.in, got, tt.want)
		}
	}
	families := func(status ecsapi.TaskDefinitionFamilyStatus, prefix *string) string {
		return strings.Join(must(w, w.ops.ListTaskDefinitionFamilies, &ecsapi.ListTaskDefinitionFamiliesInput{Status: status, FamilyPrefix: prefix}).Families, " ")
	}
	for _, tt := range []struct {
		status ecsapi.TaskDefinitionFamilyStatus
		prefix *string
		want   string
	}{
		{"", nil, "api web web-old"}, {"ALL", nil, "api web web-old"}, {"ACTIVE", nil, "api web"}, {"INACTIVE", nil, "web-old"}, {"", new("web"), "web web-old"},
	} {
		if got := families(tt.status, tt.prefix); got != tt.want {
			t.Errorf("families %s: %s, want %s", tt.status, got, tt.want)
		}
	}
}

func TestDefinitionTags(t *testing.T) {
	w := newWorld(t)
	arn := w.define("web", 1, 16, func(in *ecsapi.RegisterTaskDefinitionInput) {
		in.Tags = []ecsapi.Tag{{Key: new("team"), Value: new("a")}}
	})
	if out := must(w, w.ops.DescribeTaskDefinition, &ecsapi.DescribeTaskDefinitionInput{TaskDefinition: new(arn)}); out.Tags == nil || len(out.Tags) > 0 {
		t.Errorf("tags that nobody asked for: %v, want an empty list", out.Tags)
	}
	out := must(w, w.ops.DescribeTaskDefinition, &ecsapi.DescribeTaskDefinitionInput{TaskDefinition: new(arn), Include: []ecsapi.TaskDefinitionField{"TAGS"}})
	if len(out.Tags) != 1 || *out.TaskDefinition.RegisteredBy != "arn:aws:iam::123456789012:root" || out.TaskDefinition.RegisteredAt == nil {
		t.Errorf("%+v", out)
	}
}
