package ecs

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

func TestDefaultCluster(t *testing.T) {
	w := newWorld(t)
	out := must(w, w.ops.DescribeClusters, &ecsapi.DescribeClustersInput{})
	if len(out.Failures) != 1 || *out.Failures[0].Arn != "arn:aws:ecs:us-east-1:123456789012:cluster/default" || *out.Failures[0].Reason != "MISSING" {
		t.Fatalf("before it is made: %+v", out)
	}
	if c := must(w, w.ops.CreateCluster, &ecsapi.CreateClusterInput{}).Cluster; *c.ClusterName != "default" || *c.Status != "ACTIVE" {
		t.Fatalf("made: %+v", c)
	}
	if out := must(w, w.ops.DescribeClusters, &ecsapi.DescribeClustersInput{}); len(out.Clusters) != 1 {
		t.Fatalf("after: %+v", out)
	}
}

func TestCreateClusterAgain(t *testing.T) {
	w := newWorld(t)
	tag := []ecsapi.Tag{{Key: new("team"), Value: new("a")}}
	must(w, w.ops.CreateCluster, &ecsapi.CreateClusterInput{ClusterName: new("prod"), Tags: tag})
	again := must(w, w.ops.CreateCluster, &ecsapi.CreateClusterInput{ClusterName: new("prod")}).Cluster
	if len(again.Tags) != 1 {
		t.Errorf("the existing cluster was not answered: %+v", again)
	}
	must(w, w.ops.DeleteCluster, &ecsapi.DeleteClusterInput{Cluster: new("prod")})
	gone := must(w, w.ops.DescribeClusters, &ecsapi.DescribeClustersInput{Clusters: []string{"prod"}}).Clusters
	if len(gone) != 1 || *gone[0].Status != "INACTIVE" {
		t.Fatalf("a deleted cluster stays describable: %+v", gone)
	}
	if c := must(w, w.ops.CreateCluster, &ecsapi.CreateClusterInput{ClusterName: new("prod")}).Cluster; *c.Status != "ACTIVE" || len(c.Tags) != 0 {
		t.Errorf("a new cluster of the old name: %+v", c)
	}
}

func TestDescribeClusterInclude(t *testing.T) {
	w := newWorld(t)
	must(w, w.ops.CreateCluster, &ecsapi.CreateClusterInput{
		ClusterName: new("prod"), Tags: []ecsapi.Tag{{Key: new("team"), Value: new("a")}},
		Configuration: &ecsapi.ClusterConfiguration{ExecuteCommandConfiguration: &ecsapi.ExecuteCommandConfiguration{Logging: ecsapi.ExecuteCommandLoggingDefault}},
	})
	w.define("web", 10, 16)
	w.join("prod", 1024, 512)
	running := w.run("prod", "web", 3)[0]
	w.tell("prod", *running.TaskArn, "RUNNING")

	bare := must(w, w.ops.DescribeClusters, &ecsapi.DescribeClustersInput{Clusters: []string{"arn:aws:ecs:us-east-1:123456789012:cluster/prod"}}).Clusters[0]
	if *bare.RegisteredContainerInstancesCount != 1 || *bare.RunningTasksCount != 1 || *bare.PendingTasksCount != 2 || *bare.ActiveServicesCount != 0 {
		t.Errorf("counts: %+v", bare)
	}
	if len(bare.Tags)+len(bare.Settings)+len(bare.Statistics) != 0 || bare.Configuration != nil {
		t.Errorf("parts that nobody asked for: %+v", bare)
	}
	full := must(w, w.ops.DescribeClusters, &ecsapi.DescribeClustersInput{
		Clusters: []string{"prod"},
		Include:  []ecsapi.ClusterField{"TAGS", "SETTINGS", "STATISTICS", "CONFIGURATIONS", "ATTACHMENTS"},
	}).Clusters[0]
	statistics := map[string]string{}
	for _, s := range full.Statistics {
		statistics[*s.Name] = *s.Value
	}
	want := map[string]string{
		"runningEC2TasksCount": "1", "pendingEC2TasksCount": "2", "RunningFargateTasksCount": "0", "pendingFargateTasksCount": "0",
		"activeEC2ServiceCount": "0", "activeFargateServiceCount": "0", "drainingEC2ServiceCount": "0", "drainingFargateServiceCount": "0",
	}
	if diff := cmp.Diff(want, statistics); diff != "" {
		t.Errorf("statistics (-want +got)\n%s", diff)
	}
	if len(full.Tags) != 1 || *full.Settings[0].Value != "disabled" || full.Configuration == nil {
		t.Errorf("parts that were asked for: %+v", full)
	}
}

func TestClusterCannotGoWithTasks(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 10, 16)
	id := string(w.join("prod", 1024, 512))
	task := *w.run("prod", "web", 1)[0].TaskArn
	must(w, w.ops.DeregisterContainerInstance, &ecsapi.DeregisterContainerInstanceInput{Cluster: new("prod"), ContainerInstance: new(id), Force: new(true)})
	deleteIt := call(w, w.ops.DeleteCluster, &ecsapi.DeleteClusterInput{Cluster: new("prod")})
	w.wantRefusal(deleteIt(), "ClusterContainsTasksException: The Cluster cannot be deleted while Tasks are active.")
	w.tell("prod", task, "STOPPED")
	if err := deleteIt(); err != nil {
		t.Error(err)
	}
}

func TestContainerInsightsDefault(t *testing.T) {
	w := newWorld(t)
	must(w, w.ops.PutAccountSettingDefault, &ecsapi.PutAccountSettingDefaultInput{Name: ecsapi.SettingNameContainerInsights, Value: new("enabled")})
	c := must(w, w.ops.CreateCluster, &ecsapi.CreateClusterInput{ClusterName: new("a")}).Cluster
	if *c.Settings[0].Value != "enabled" {
		t.Errorf("settings %+v", c.Settings)
	}
	c = must(w, w.ops.UpdateClusterSettings, &ecsapi.UpdateClusterSettingsInput{Cluster: new("a"), Settings: []ecsapi.ClusterSetting{{Name: "containerInsights", Value: new("disabled")}}}).Cluster
	if *c.Settings[0].Value != "disabled" {
		t.Errorf("settings %+v", c.Settings)
	}
}

// TestPaging walks a list in pages; what is made and deleted meanwhile neither
// hides another item nor shows it twice.
func TestPaging(t *testing.T) {
	w := newWorld(t)
	for i := range 7 {
		w.makeCluster(fmt.Sprint("c", i))
	}
	var seen []string
	in := &ecsapi.ListClustersInput{MaxResults: new(int32(2))}
	for page := 0; ; page++ {
		out := must(w, w.ops.ListClusters, in)
		seen = append(seen, out.ClusterArns...)
		if out.NextToken == nil {
			break
		}
		if page == 0 {
			must(w, w.ops.DeleteCluster, &ecsapi.DeleteClusterInput{Cluster: new("c1")})
			w.makeCluster("c0a")
			w.makeCluster("c9")
		}
		in.NextToken = out.NextToken
	}
	var want []string
	for _, name := range []string{"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c9"} {
		want = append(want, string(testPlace.Cluster(gantry.ClusterName(name))))
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if !slices.IsSorted(seen) {
		t.Error("not sorted")
	}
	// A token belongs to its list and its filters.
	first := must(w, w.ops.ListClusters, &ecsapi.ListClustersInput{MaxResults: new(int32(1))})
	w.wantRefusal(call(w, w.ops.ListTaskDefinitionFamilies, &ecsapi.ListTaskDefinitionFamiliesInput{NextToken: first.NextToken})(), "InvalidParameterException: Invalid token.")
	if wire.Value(first.NextToken) == "" {
		t.Error("no token")
	}
}
