package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
)

func TestLifeOfACluster(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := family(t)
	made := must(t, c.CreateCluster, &ecs.CreateClusterInput{
		ClusterName:   &cluster,
		Tags:          []types.Tag{{Key: aws.String("team"), Value: aws.String("dev")}},
		Settings:      []types.ClusterSetting{{Name: types.ClusterSettingNameContainerInsights, Value: aws.String("enabled")}},
		Configuration: &types.ClusterConfiguration{ExecuteCommandConfiguration: &types.ExecuteCommandConfiguration{Logging: types.ExecuteCommandLoggingNone}},
	}).Cluster
	if *made.Status != "ACTIVE" || *made.ClusterArn != "arn:aws:ecs:us-east-1:123456789012:cluster/"+cluster || len(made.Tags) != 1 || len(made.Settings) != 1 {
		t.Errorf("created: %+v", made)
	}

	again := must(t, c.CreateCluster, &ecs.CreateClusterInput{ClusterName: &cluster}).Cluster
	if *again.ClusterArn != *made.ClusterArn || len(again.Tags) != 1 || *again.Settings[0].Value != "enabled" {
		t.Errorf("creating it again has changed it: %+v", again)
	}

	plain := describeCluster(t, c, cluster)
	if len(plain.Tags) != 0 || len(plain.Settings) != 0 || plain.Configuration != nil || len(plain.Statistics) != 0 {
		t.Errorf("without include: %+v", plain)
	}
	all := describeCluster(t, c, *made.ClusterArn, types.ClusterField("").Values()...)
	if len(all.Tags) != 1 || len(all.Settings) != 1 || all.Configuration == nil || len(all.Statistics) != 8 {
		t.Errorf("with every include: %+v", all)
	}
	if all.RegisteredContainerInstancesCount != 1 {
		t.Errorf("this machine is no instance of the cluster: %+v", all)
	}

	must(t, c.UpdateClusterSettings, &ecs.UpdateClusterSettingsInput{
		Cluster: &cluster, Settings: []types.ClusterSetting{{Name: types.ClusterSettingNameContainerInsights, Value: aws.String("disabled")}},
	})
	must(t, c.UpdateCluster, &ecs.UpdateClusterInput{
		Cluster:       &cluster,
		Configuration: &types.ClusterConfiguration{ExecuteCommandConfiguration: &types.ExecuteCommandConfiguration{Logging: types.ExecuteCommandLoggingDefault}},
	})
	changed := describeCluster(t, c, cluster, types.ClusterFieldSettings, types.ClusterFieldConfigurations)
	if *changed.Settings[0].Value != "disabled" || changed.Configuration.ExecuteCommandConfiguration.Logging != types.ExecuteCommandLoggingDefault {
		t.Errorf("after the updates: %+v", changed)
	}

	some := must(t, c.DescribeClusters, &ecs.DescribeClustersInput{Clusters: []string{cluster, "nobody-made-this-one"}})
	if len(some.Clusters) != 1 || len(some.Failures) != 1 || *some.Failures[0].Reason != "MISSING" || *some.Failures[0].Arn != "arn:aws:ecs:us-east-1:123456789012:cluster/nobody-made-this-one" {
		t.Errorf("one that is there and one that is not: %d clusters, %s", len(some.Clusters), show(some.Failures))
	}

	gone := must(t, c.DeleteCluster, &ecs.DeleteClusterInput{Cluster: made.ClusterArn}).Cluster
	if *gone.Status != "INACTIVE" {
		t.Errorf("deleted: %+v", gone)
	}
	if later := describeCluster(t, c, cluster); *later.Status != "INACTIVE" {
		t.Errorf("described after it was deleted: %+v", later)
	}
	if slices.Contains(must(t, c.ListClusters, &ecs.ListClustersInput{}).ClusterArns, *made.ClusterArn) {
		t.Error("a deleted cluster is listed")
	}
	refused[*types.ClusterNotFoundException](t, c.DeleteCluster, &ecs.DeleteClusterInput{Cluster: &cluster}, "The referenced cluster was inactive.")
	refused[*types.ClusterNotFoundException](t, c.ListTasks, &ecs.ListTasksInput{Cluster: &cluster}, "The referenced cluster was inactive.")
}

func describeCluster(t *testing.T, c *ecs.Client, cluster string, include ...types.ClusterField) types.Cluster {
	t.Helper()
	out := must(t, c.DescribeClusters, &ecs.DescribeClustersInput{Clusters: []string{cluster}, Include: include})
	if len(out.Clusters) != 1 || len(out.Failures) != 0 {
		t.Fatalf("describe cluster %s: %+v", cluster, out)
	}
	return out.Clusters[0]
}

// TestFirstStart looks at a gantry that nobody has used: what AWS has in every
// account is there, and can go and come back.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	s := own(t)
	c := s.sdk()
	list := func() []string { return must(t, c.ListClusters, &ecs.ListClustersInput{}).ClusterArns }
	fresh := []string{"arn:aws:ecs:us-east-1:123456789012:cluster/default"}
	if diff := cmp.Diff(fresh, list()); diff != "" {
		t.Errorf("clusters (-want +got):\n%s", diff)
	}
	if out := must(t, c.DescribeClusters, &ecs.DescribeClustersInput{}); len(out.Clusters) != 1 || *out.Clusters[0].ClusterName != "default" {
		t.Errorf("describe-clusters without names: %+v", out)
	}
	must(t, c.DeleteCluster, &ecs.DeleteClusterInput{Cluster: aws.String("default")})
	if got := list(); len(got) != 0 {
		t.Errorf("after deleting it: %v", got)
	}
	refused[*types.ClusterNotFoundException](t, c.ListTasks, &ecs.ListTasksInput{}, "The referenced cluster was inactive.")
	must(t, c.CreateCluster, &ecs.CreateClusterInput{})
	if diff := cmp.Diff(fresh, list()); diff != "" {
		t.Errorf("after creating a cluster without a name (-want +got):\n%s", diff)
	}
	if got := describeCluster(t, c, "default"); *got.Status != "ACTIVE" || got.RegisteredContainerInstancesCount != 1 {
		t.Errorf("the new default: %+v", got)
	}
}

func TestClusterThatIsUsedStays(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	task := s.launch(t, cluster, s.define(t, nil))
	refused[*types.ClusterContainsTasksException](t, c.DeleteCluster, &ecs.DeleteClusterInput{Cluster: &cluster}, "while Tasks are active")
	s.halt(t, cluster, task)
	arn := s.join(t, cluster, instance{})
	refused[*types.ClusterContainsContainerInstancesException](t, c.DeleteCluster, &ecs.DeleteClusterInput{Cluster: &cluster}, "while Container Instances are active")
	must(t, c.DeregisterContainerInstance, &ecs.DeregisterContainerInstanceInput{Cluster: &cluster, ContainerInstance: &arn})
	must(t, c.DeleteCluster, &ecs.DeleteClusterInput{Cluster: &cluster})
}

// TestPages follows the tokens of each list that has them with the SDK's paginators.
func TestPages(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	const n = 5
	families := make([]string, n)
	for i := range n {
		s.join(t, cluster, instance{})
		families[i] = s.define(t, func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			*in.Family += "-" + string(rune('a'+i))
		})
	}
	two := aws.Int32(2)
	page := func(list string, items []string, next *string) {
		t.Helper()
		if len(items) > 2 || next != nil && len(items) != 2 {
			t.Errorf("%s: a page of %d", list, len(items))
		}
	}
	all := func(list string, got []string, want int) {
		t.Helper()
		slices.Sort(got)
		if len(got) != want || len(slices.Compact(slices.Clone(got))) != want {
			t.Errorf("%s: %d items, want %d different ones: %v", list, len(got), want, got)
		}
	}

	var got []string
	for p := ecs.NewListTaskDefinitionFamiliesPaginator(c, &ecs.ListTaskDefinitionFamiliesInput{FamilyPrefix: aws.String(family(t)), MaxResults: two}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		page("families", out.Families, out.NextToken)
		got = append(got, out.Families...)
	}
	all("families", got, n)

	got = nil
	for p := ecs.NewListContainerInstancesPaginator(c, &ecs.ListContainerInstancesInput{Cluster: &cluster, MaxResults: two}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		page("instances", out.ContainerInstanceArns, out.NextToken)
		got = append(got, out.ContainerInstanceArns...)
	}
	all("instances", got, n+1) // this machine is one too

	got = nil
	for p := ecs.NewListAttributesPaginator(c, &ecs.ListAttributesInput{Cluster: &cluster, TargetType: types.TargetTypeContainerInstance, AttributeName: aws.String("ecs.availability-zone"), MaxResults: two}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var items []string
		for _, a := range out.Attributes {
			items = append(items, *a.TargetId)
		}
		page("attributes", items, out.NextToken)
		got = append(got, items...)
	}
	all("attributes", got, n+1)

	for range n {
		s.define(t, nil)
	}
	got = nil
	for p := ecs.NewListTaskDefinitionsPaginator(c, &ecs.ListTaskDefinitionsInput{FamilyPrefix: aws.String(family(t)), Sort: types.SortOrderDesc, MaxResults: two}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		page("definitions", out.TaskDefinitionArns, out.NextToken)
		got = append(got, out.TaskDefinitionArns...)
	}
	for i, arn := range got {
		if want := ":" + string(rune('0'+n-i)); !strings.HasSuffix(arn, want) {
			t.Errorf("definitions from the newest on: %v", got)
			break
		}
	}
	all("definitions", got, n)

	for range 100 {
		s.define(t, nil)
	}
	if out := must(t, c.ListTaskDefinitions, &ecs.ListTaskDefinitionsInput{FamilyPrefix: aws.String(family(t))}); len(out.TaskDefinitionArns) != 100 || out.NextToken == nil {
		t.Errorf("a page has %d items by default, want 100", len(out.TaskDefinitionArns))
	}

	first := must(t, c.ListTaskDefinitions, &ecs.ListTaskDefinitionsInput{FamilyPrefix: aws.String(family(t)), MaxResults: two})
	refused[*types.InvalidParameterException](t, c.ListTaskDefinitions, &ecs.ListTaskDefinitionsInput{NextToken: first.NextToken, MaxResults: two}, "Invalid token.")
	refused[*types.InvalidParameterException](t, c.ListClusters, &ecs.ListClustersInput{NextToken: first.NextToken}, "Invalid token.")
}
