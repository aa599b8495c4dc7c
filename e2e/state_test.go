package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/google/go-cmp/cmp"
)

// TestWhatWasAcknowledgedStays kills gantry while definitions are registered:
// those whose registration was answered are there afterwards, each under a number
// of its own, and so is everything else.
func TestWhatWasAcknowledgedStays(t *testing.T) {
	t.Parallel()
	s := own(t)
	c := s.sdk()
	cluster := "stays"
	must(t, c.CreateCluster, &ecs.CreateClusterInput{ClusterName: &cluster, Tags: []types.Tag{tag("a", "b")}})
	must(t, c.PutAccountSettingDefault, &ecs.PutAccountSettingDefaultInput{Name: types.SettingNameContainerInsights, Value: aws.String("enhanced")})
	arn := s.join(t, cluster, instance{attributes: map[string]string{"stack": "prod"}})
	gone := s.define(t, nil)
	must(t, c.DeregisterTaskDefinition, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: &gone})
	before := describeCluster(t, c, cluster, types.ClusterFieldTags, types.ClusterFieldSettings)

	const writers = 4
	var (
		mu   sync.Mutex
		kept []string
		wg   sync.WaitGroup
	)
	enough := make(chan bool)
	for w := range writers {
		wg.Go(func() {
			for n := 0; ; n++ {
				out, err := c.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
					Family:               aws.String("many"),
					ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("x"), Image: aws.String(fmt.Sprintf("x:%d-%d", w, n)), Memory: aws.Int32(16)}},
				})
				if err != nil {
					return // it was killed
				}
				mu.Lock()
				kept = append(kept, fmt.Sprintf("%d %s", out.TaskDefinition.Revision, *out.TaskDefinition.ContainerDefinitions[0].Image))
				if len(kept) == 100 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	s.kill()
	wg.Wait()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	c = s.sdk()

	revisions := map[string]bool{}
	for _, k := range kept {
		revision, image, _ := strings.Cut(k, " ")
		if revisions[revision] {
			t.Errorf("two registrations were answered with revision %s", revision)
		}
		revisions[revision] = true
		d := must(t, c.DescribeTaskDefinition, &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String("many:" + revision)}).TaskDefinition
		if *d.ContainerDefinitions[0].Image != image {
			t.Errorf("revision %s has image %s, and was answered with %s", revision, *d.ContainerDefinitions[0].Image, image)
		}
	}
	after := describeCluster(t, c, cluster, types.ClusterFieldTags, types.ClusterFieldSettings)
	if tagged(after.Tags) != tagged(before.Tags) || *after.Settings[0].Value != *before.Settings[0].Value || after.RegisteredContainerInstancesCount != before.RegisteredContainerInstancesCount {
		t.Errorf("the cluster was %+v\nand is %+v", before, after)
	}
	if got := must(t, c.ListContainerInstances, &ecs.ListContainerInstancesInput{Cluster: &cluster, Filter: aws.String("attribute:stack == prod")}); !slices.Equal(got.ContainerInstanceArns, []string{arn}) {
		t.Errorf("the instance is not found by its attribute: %v", got.ContainerInstanceArns)
	}
	if d := must(t, c.DescribeTaskDefinition, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &gone}).TaskDefinition; d.Status != "INACTIVE" {
		t.Errorf("a deregistered definition is %s", d.Status)
	}
	if got := must(t, c.CreateCluster, &ecs.CreateClusterInput{ClusterName: aws.String("insights")}).Cluster.Settings; *got[0].Value != "enhanced" {
		t.Errorf("the account setting is lost: %+v", got)
	}
}

// TestAnotherPlace: region and account are what the user says, in every ARN, and
// with --insecure-any-credentials everyone may ask.
func TestAnotherPlace(t *testing.T) {
	t.Parallel()
	s := own(t, "--region", "eu-central-1", "--account", "999988887777", "--insecure-any-credentials")
	c := s.sdk(func(o *ecs.Options) { o.Credentials = credentials.NewStaticCredentialsProvider("test", "test", "") })
	if diff := cmp.Diff([]string{"arn:aws:ecs:eu-central-1:999988887777:cluster/default"}, must(t, c.ListClusters, &ecs.ListClustersInput{}).ClusterArns); diff != "" {
		t.Errorf("clusters (-want +got):\n%s", diff)
	}
	out := must(t, c.RegisterTaskDefinition, &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("x"), ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("x"), Image: aws.String("x"), Memory: aws.Int32(16)}},
	})
	if *out.TaskDefinition.TaskDefinitionArn != "arn:aws:ecs:eu-central-1:999988887777:task-definition/x:1" {
		t.Errorf("registered as %s", *out.TaskDefinition.TaskDefinitionArn)
	}
	if _, err := s.sdk().ListClusters(t.Context(), &ecs.ListClustersInput{}); err != nil {
		t.Errorf("gantry's own key: %v", err)
	}
	if !slices.ContainsFunc(s.machine(t, "default").Attributes, func(a types.Attribute) bool { return *a.Name == "ecs.availability-zone" && *a.Value == "eu-central-1a" }) {
		t.Error("the machine is not in eu-central-1a")
	}
}

// TestMachineThatLeaves: draining takes no new task and leaves those that run; by
// force the machine goes although they do.
func TestMachineThatLeaves(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	cluster := s.cluster(t)
	definition := s.define(t, nil)
	task := s.launch(t, cluster, definition)
	arn := *describeTask(t, c, cluster, task).ContainerInstanceArn
	must(t, c.UpdateContainerInstancesState, &ecs.UpdateContainerInstancesStateInput{Cluster: &cluster, ContainerInstances: []string{arn}, Status: "DRAINING"})
	out := must(t, c.RunTask, &ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: &definition})
	if len(out.Tasks) != 0 || len(out.Failures) != 1 || *out.Failures[0].Reason != "INACTIVE" || *out.Failures[0].Detail != "is DRAINING, not ACTIVE" {
		t.Errorf("RunTask while draining: %d tasks, %s", len(out.Tasks), show(out.Failures))
	}
	if got := describeTask(t, c, cluster, task); *got.LastStatus != "RUNNING" || *got.DesiredStatus != "RUNNING" {
		t.Errorf("draining stopped a standalone task: %+v", got)
	}
	must(t, c.DeregisterContainerInstance, &ecs.DeregisterContainerInstanceInput{Cluster: &cluster, ContainerInstance: &arn, Force: aws.Bool(true)})
	eventually(t, "the task to be STOPPED", func() (bool, string) {
		got := describeTask(t, c, cluster, task)
		return *got.LastStatus == "STOPPED", fmt.Sprintf("%s %s %s", *got.LastStatus, got.StopCode, aws.ToString(got.StoppedReason))
	})
	if got := describeTask(t, c, cluster, task); *got.StoppedReason != "Container instance deregistration forced by user" {
		t.Errorf("stoppedReason %q", *got.StoppedReason)
	}
	if left := must(t, c.ListContainerInstances, &ecs.ListContainerInstancesInput{Cluster: &cluster}); len(left.ContainerInstanceArns) != 0 {
		t.Errorf("still listed: %v", left.ContainerInstanceArns)
	}
	refused[*types.InvalidParameterException](t, c.RunTask, &ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: &definition}, "No Container Instances were found in your cluster.")
}
