package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// metadata is an answer of the task metadata endpoint that a probe got.
func metadata[T any](t *testing.T, got steps, what string) T {
	t.Helper()
	var v T
	text := got.text(t, what)
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v in %s", what, err, text)
	}
	return v
}

// A stat is a container's statistics, in the shape of Docker's.
type stat struct {
	Read time.Time `json:"read"`
	Name string    `json:"name"`
	ID   string    `json:"id"`
	CPU  struct {
		Usage struct {
			Total uint64 `json:"total_usage"`
		} `json:"cpu_usage"`
		System uint64 `json:"system_cpu_usage"`
		Online int    `json:"online_cpus"`
	} `json:"cpu_stats"`
	Memory struct {
		Usage   uint64            `json:"usage"`
		Limit   uint64            `json:"limit"`
		Details map[string]uint64 `json:"stats"`
	} `json:"memory_stats"`
	Networks map[string]struct {
		Received uint64 `json:"rx_bytes"`
		Sent     uint64 `json:"tx_bytes"`
	} `json:"networks"`
}

// TestTaskMetadata: versions 4 and 3 of the endpoint, as container and as task, with statistics.
func TestTaskMetadata(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	const v4, v3 = "get=$ECS_CONTAINER_METADATA_URI_V4", "get=$ECS_CONTAINER_METADATA_URI"
	c := s.probe("probe", untilKnown, v4, v4+"/task", v4+"/taskWithTags", v3, v3+"/task", v4+"/nothing",
		"measured", v4+"/stats", v4+"/task/stats", v3+"/stats", v3+"/task/stats", "list=/tmp", "wait")
	c.PortMappings = []types.PortMapping{{ContainerPort: aws.Int32(8080), HostPort: aws.Int32(18180)}}
	j := s.job(t, c)
	j.in.Cpu, j.in.Memory = aws.String("512"), aws.String("256")
	j.run.Tags = []types.Tag{tag("team", "blue")}
	j.start()
	got := j.saying("probe", "list=/tmp")
	task := j.look()
	probe := part(t, task, "probe")

	type container struct {
		DockerId, Name, DockerName, Image, ImageID, DesiredStatus, KnownStatus, Type, ContainerARN, LogDriver string
		LogOptions                                                                                            map[string]string
		CreatedAt, StartedAt                                                                                  time.Time
		Limits                                                                                                struct{ CPU, Memory float64 }
		Ports                                                                                                 []struct {
			ContainerPort, HostPort int32
			Protocol, HostIp        string
		}
		Networks []struct {
			NetworkMode   string
			IPv4Addresses []string
		}
	}
	type told struct {
		Cluster, TaskARN, Family, Revision, DesiredStatus, KnownStatus, LaunchType, AvailabilityZone string
		Limits                                                                                       struct{ CPU, Memory float64 }
		PullStartedAt, PullStoppedAt                                                                 time.Time
		TaskTags                                                                                     map[string]string
		Containers                                                                                   []container
	}
	for _, one := range []container{metadata[container](t, got, v4), metadata[told](t, got, v4+"/task").Containers[0], metadata[container](t, got, v3)} {
		if one.DockerId != *probe.RuntimeId || one.Name != "probe" || one.Image != probeImage || !strings.HasPrefix(one.ImageID, "sha256:") ||
			one.KnownStatus != "RUNNING" || one.DesiredStatus != "RUNNING" || one.Type != "NORMAL" || !strings.HasPrefix(one.DockerName, "ecs-"+family(t)+"-1-probe-") {
			t.Errorf("container: %+v", one)
		}
		if one.CreatedAt.IsZero() || one.StartedAt.Before(one.CreatedAt) {
			t.Errorf("created %s, started %s", one.CreatedAt, one.StartedAt)
		}
		if one.Limits.CPU != 10 || one.Limits.Memory != 64 {
			t.Errorf("limits: %+v", one.Limits)
		}
		if len(one.Ports) != 1 || one.Ports[0].ContainerPort != 8080 || one.Ports[0].HostPort != 18180 || one.Ports[0].Protocol != "tcp" {
			t.Errorf("ports: %+v", one.Ports)
		}
		if len(one.Networks) != 1 || one.Networks[0].NetworkMode != "bridge" || len(one.Networks[0].IPv4Addresses) != 1 {
			t.Errorf("networks: %+v", one.Networks)
		}
	}
	if one := metadata[container](t, got, v4); one.ContainerARN != *probe.ContainerArn || one.LogDriver != "awslogs" || one.LogOptions["awslogs-group"] != probeGroup {
		t.Errorf("what version 4 tells more: %+v", one)
	}
	for _, what := range []string{v4 + "/task", v4 + "/taskWithTags", v3 + "/task"} {
		one := metadata[told](t, got, what)
		if one.Cluster != "default" && one.Cluster != *task.ClusterArn || one.TaskARN != j.arn || one.Family != family(t) || one.Revision != "1" ||
			one.DesiredStatus != "RUNNING" || one.KnownStatus != "RUNNING" || len(one.Containers) != 1 {
			t.Errorf("%s: %+v", what, one)
		}
		if one.Limits.CPU != 0.5 || one.Limits.Memory != 256 || one.PullStoppedAt.Before(one.PullStartedAt) || one.PullStartedAt.IsZero() {
			t.Errorf("%s: limits %+v, pulled from %s to %s", what, one.Limits, one.PullStartedAt, one.PullStoppedAt)
		}
	}
	if one := metadata[told](t, got, v4+"/taskWithTags"); one.TaskTags["team"] != "blue" || one.LaunchType != "EC2" {
		t.Errorf("with tags: %+v", one)
	}
	all := []stat{metadata[stat](t, got, v4+"/stats"), metadata[stat](t, got, v3+"/stats"),
		metadata[map[string]stat](t, got, v4+"/task/stats")[*probe.RuntimeId], metadata[map[string]stat](t, got, v3+"/task/stats")[*probe.RuntimeId]}
	for i, one := range all {
		if one.ID != *probe.RuntimeId || one.CPU.Usage.Total == 0 || one.CPU.System <= one.CPU.Usage.Total || one.CPU.Online == 0 ||
			one.Memory.Usage == 0 || one.Memory.Limit != 64<<20 || one.Networks["eth0"].Received == 0 {
			t.Errorf("statistics %d: %+v", i, one)
		}
		if _, ok := one.Memory.Details["inactive_file"]; !ok || len(one.Memory.Details) < 10 {
			t.Errorf("statistics %d: the kernel's own counters of memory are missing: %v", i, one.Memory.Details)
		}
	}
	if one := got.of(t, v4+"/nothing"); !strings.Contains(one.Error, "404") {
		t.Errorf("a path that is not there: %+v", one)
	}
}

// TestStatsWithoutLimit: a container without a limit may have what the machine has, as Docker's statistics tell it.
func TestStatsWithoutLimit(t *testing.T) {
	t.Parallel()
	const stats = "get=$ECS_CONTAINER_METADATA_URI_V4/stats"
	s := gantry(t)
	c := s.probe("probe", "measured", stats, "list=/tmp", "wait")
	c.Memory, c.MemoryReservation = nil, aws.Int32(16)
	j := s.job(t, c)
	j.start()
	if one := metadata[stat](t, j.saying("probe", "list=/tmp"), stats); one.Memory.Limit < 256<<20 {
		t.Errorf("it may have %d bytes", one.Memory.Limit)
	}
}

// TestMetadataOfTwo: with two gantries on a host, containers in its network still find their own.
func TestMetadataOfTwo(t *testing.T) {
	t.Parallel()
	second := own(t)
	if _, err := second.gantry("image", "load", sampleTar("probe")); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*server{gantry(t), second} {
		const task = "get=$ECS_CONTAINER_METADATA_URI_V4/task"
		j := s.finish(t, func(j *job, _ *types.ContainerDefinition) { j.in.NetworkMode = types.NetworkModeHost }, task)
		if text := j.said("probe").text(t, task); !strings.Contains(text, j.arn) {
			t.Errorf("%s is told %s", j.arn, text)
		}
	}
}

// TestMetadataOfOthers: no container can ask with an id that is not known, and the machine's own
// network does not answer as the endpoint.
func TestMetadataOfOthers(t *testing.T) {
	t.Parallel()
	got := gantry(t).alone(t, nil, "get=http://169.254.170.2/v4/00000000-0000-0000-0000-000000000000", "get=http://169.254.170.2/v2/credentials/x")
	for _, one := range got {
		if one.Error == "" {
			t.Errorf("%s: %s", one.Step, one.Text)
		}
	}
}

// TestIntrospection: what the agent tells on its instance, at the port of the genuine one. Not in parallel: a
// host has one such port, and the gantry of another test may have it.
func TestIntrospection(t *testing.T) {
	s := gantry(t)
	j := s.job(t, s.probe("probe", "wait")).start()
	task := j.running()
	ask := func(path string, into any) error {
		client := http.Client{Timeout: answerWithin}
		res, err := client.Get("http://127.0.0.1:51678" + path)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		return json.NewDecoder(res.Body).Decode(into)
	}
	instances := must(t, s.sdk().ListContainerInstances, &ecs.ListContainerInstancesInput{}).ContainerInstanceArns
	eventually(t, "this gantry to have the port of introspection", func() (bool, string) {
		var instance struct{ Cluster, ContainerInstanceArn, Version string }
		err := ask("/v1/metadata", &instance)
		return instance.Cluster == "default" && slices.Contains(instances, instance.ContainerInstanceArn) &&
			strings.HasPrefix(instance.Version, "Amazon ECS Agent - v"), fmt.Sprintf("%+v, %v", instance, err)
	})
	type told struct {
		Arn, DesiredStatus, KnownStatus, Family, Version string
		Containers                                       []struct{ DockerId, DockerName, Name string }
	}
	probe := part(t, task, "probe")
	var all struct{ Tasks []told }
	var byTask, byContainer told
	for path, into := range map[string]any{"/v1/tasks": &all, "/v1/tasks?taskarn=" + j.arn: &byTask, "/v1/tasks?dockerid=" + *probe.RuntimeId: &byContainer} {
		if err := ask(path, into); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	if !slices.ContainsFunc(all.Tasks, func(one told) bool { return one.Arn == j.arn }) {
		t.Errorf("tasks: %+v", all)
	}
	for _, one := range []told{byTask, byContainer} {
		if one.Arn != j.arn || one.KnownStatus != "RUNNING" || one.Family != family(t) || len(one.Containers) != 1 || one.Containers[0].DockerId != *probe.RuntimeId {
			t.Errorf("the task: %+v", one)
		}
	}
}
