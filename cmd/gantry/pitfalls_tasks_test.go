package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/acsapi"
)

func TestPitfallPayloadsInTheAgentsShape(t *testing.T) {
	c, _ := running(t)
	p, s, task := given(t, c)
	var m struct {
		MessageID, ClusterArn, ContainerInstanceArn string
		SeqNum, GeneratedAt                         int64
		Tasks                                       []struct {
			Arn, DesiredStatus, Family, Version, Overrides string
			Containers                                     []struct {
				Name, HealthCheckType string
				Environment           map[string]string
				DockerConfig          struct{ Config, HostConfig string }
				PortMappings          []struct{ ContainerPort, HostPort int }
				DependsOn             []struct{ ContainerName, Condition string }
			}
		}
	}
	s.next(acsapi.TypePayload, &m)
	if m.MessageID == "" || m.ContainerInstanceArn != p.arn || m.GeneratedAt < 1e12 || len(m.Tasks) != 1 {
		t.Fatalf("payload: %+v", m)
	}
	web := m.Tasks[0].Containers[0]
	var config struct {
		Healthcheck struct {
			Test     []string
			Interval int64
		}
	}
	if err := json.Unmarshal([]byte(web.DockerConfig.Config), &config); err != nil || web.HealthCheckType != "docker" || config.Healthcheck.Interval != 5e9 {
		t.Errorf("the health check is in Docker's own words: %s, %v", web.DockerConfig.Config, err)
	}
	if err := json.Unmarshal([]byte(web.DockerConfig.HostConfig), &object{}); err != nil {
		t.Errorf("host config %q: %v", web.DockerConfig.HostConfig, err)
	}
	if web.Environment["A"] != "b" || web.PortMappings[0].HostPort != 0 || m.Tasks[0].Overrides != "{}" && !strings.HasPrefix(m.Tasks[0].Overrides, "{") {
		t.Errorf("container: %+v", web)
	}
	if side := m.Tasks[0].Containers[1]; len(side.DependsOn) != 1 || side.DependsOn[0].Condition != "HEALTHY" {
		t.Errorf("container: %+v", side)
	}
	s.ack(m.MessageID)
	// To stop, the agent needs these members and no more, but lists that are not null.
	asRoot(t, c).must("StopTask", object{"cluster": "default", "task": task}, nil)
	var stop struct{ Tasks []map[string]json.RawMessage }
	s.next(acsapi.TypePayload, &stop)
	got := stop.Tasks[0]
	if string(got["desiredStatus"]) != `"STOPPED"` || string(got["containers"]) != "[]" || string(got["volumes"]) != "[]" || string(got["family"]) != `"web"` || string(got["version"]) != `"1"` {
		t.Errorf("stop: %s", got)
	}
}

func TestPitfallNewsOfContainersBeforeTheTaskRuns(t *testing.T) {
	c, _ := running(t)
	p, _, task := given(t, c)
	p.submit(task, "PENDING", object{"containers": []object{{"containerName": "web", "runtimeId": "6e93eb2faad7", "status": "RUNNING",
		"networkBindings": []object{{"bindIP": "0.0.0.0", "containerPort": 8080, "hostPort": 32770, "protocol": "tcp"}}}}})
	got := shown(t, c, "default", task)
	if got.LastStatus != "PENDING" || got.Containers[0].LastStatus != "RUNNING" || got.Containers[0].NetworkBindings[0].HostPort != 32770 || got.Containers[1].LastStatus != "PENDING" {
		t.Errorf("task: %+v", got)
	}
}

func TestPitfallReportsThatAreLateRepeatedOrUnknown(t *testing.T) {
	c, _ := running(t)
	p, _, task := given(t, c)
	p.submit(task, "RUNNING", ranAs)
	exited := object{"executionStoppedAt": 1795393285.113, "containers": []object{{"containerName": "web", "exitCode": 137, "runtimeId": "89ca4137a48d", "status": "STOPPED"}}}
	p.submit(task, "STOPPED", exited)
	p.submit(task, "STOPPED", exited)
	p.submit(task, "RUNNING", ranAs)
	p.submit("arn:aws:ecs:us-east-1:123456789012:task/default/0123456789abcdef0123456789abcdef", "STOPPED", exited) // or it nags for a day
	got := shown(t, c, "default", task)
	if got.LastStatus != "STOPPED" || got.StopCode != "EssentialContainerExited" || got.StoppedReason != "Essential container in task exited" || *got.Containers[0].ExitCode != 137 {
		t.Errorf("task: %+v", got)
	}
}

func TestPitfallATaskThatTheAgentCannotRead(t *testing.T) {
	c, _ := running(t)
	p, _, task := given(t, c)
	p.submit(task, "STOPPED", object{"reason": "UnrecogniedTaskError: Error loading task - unmarshal: odd"})
	got := shown(t, c, "default", task)
	if got.LastStatus != "STOPPED" || got.StopCode != "TaskFailedToStart" || got.StoppedReason != "UnrecogniedTaskError: Error loading task - unmarshal: odd" {
		t.Errorf("task: %+v", got)
	}
}

func TestPitfallTelemetryBehindABlockOfHeaders(t *testing.T) {
	c, _ := running(t)
	p, _, task := given(t, c)
	p.submit(task, "RUNNING", ranAs)
	s := p.publish()
	meta := object{"cluster": "default", "containerInstance": p.arn, "fin": true, "idle": false, "messageId": "ddcf1dda"}
	acknowledged := func(typ, message, ack string) {
		t.Helper()
		var m object
		s.say(s.signedFrame(message))
		if s.next(ack, &m); m["message"] != "OK" {
			t.Errorf("%s is answered %v", typ, m)
		}
	}
	acknowledged("metrics", frame("PublishMetricsRequest", object{"metadata": meta, "timestamp": 1795393238.587, "taskMetrics": []object{{
		"taskArn": task, "taskDefinitionFamily": "web", "taskDefinitionVersion": "1", "containerMetrics": []object{{
			"containerName": "web", "cpuStatsSet": object{"max": 1.12, "min": 0, "sampleCount": 19, "sum": 3.25}, "restartStatsSet": object{"restartCount": 0}, "odd": 1}},
	}}}), "AckPublishMetric")
	acknowledged("health", frame("PublishHealthRequest", object{"metadata": meta, "timestamp": 1795393218.588, "tasks": []object{{
		"taskArn": task, "taskDefinitionFamily": "web", "taskDefinitionVersion": "1", "containers": []object{{"containerName": "web", "healthStatus": "HEALTHY", "statusSince": 1795393213.61}}}}}),
		"AckPublishHealth")
	if got := shown(t, c, "default", task); got.HealthStatus != "HEALTHY" {
		t.Errorf("the task is %s", got.HealthStatus)
	}
	acknowledged("status", frame("PublishInstanceStatusRequest", object{"metadata": object{"cluster": "default", "containerInstance": p.arn, "requestId": "254b"},
		"timestamp": 1795393218.607, "statuses": []object{{"lastStatusChange": 1795393198.611, "lastUpdated": 1795393168.611, "status": "IMPAIRED", "type": "ContainerRuntime"}}}),
		"AckPublishInstanceStatus")
	if m, ok := c.tcs.Metrics(strings.SplitN(p.arn, "/", 2)[1], task); !ok || m.ContainerMetrics[0].CPU.Sum != 3.25 {
		t.Errorf("metrics: %+v", m)
	}
}

// A service's whole life on the peer: started, told healthy, drained, deleted.
func TestPeerRunsAService(t *testing.T) {
	c, _ := running(t)
	peer := ready(t, c, "default")
	root := asRoot(t, c)
	root.must("RegisterTaskDefinition", webDefinition, nil)
	s := peer.connect(true)
	s.manifest()
	telemetry := peer.publish()
	root.must("CreateService", object{"cluster": "default", "serviceName": "web", "taskDefinition": "web", "desiredCount": 2, "launchType": "EXTERNAL",
		"deploymentConfiguration": object{"minimumHealthyPercent": 0, "maximumPercent": 100}}, nil)
	count := func() (n int) {
		var out struct{ Services []struct{ RunningCount int } }
		root.must("DescribeServices", object{"cluster": "default", "services": []string{"web"}}, &out)
		return out.Services[0].RunningCount
	}
	const digest = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
	var tasks []string
	for len(tasks) < 2 {
		for _, task := range s.payload().Tasks {
			if task.DesiredStatus != "RUNNING" || task.ServiceName != "web" || task.Group != "service:web" || task.LaunchType != "EXTERNAL" {
				t.Errorf("payload: %+v", task)
			}
			// The first finds out what the images' tag means, and tells before it runs; the
			// second is asked for by that digest.
			if exact := strings.HasSuffix(task.Containers[0].Image, "@"+digest); exact != (len(tasks) > 0) {
				t.Errorf("task %d is to be made from %s", len(tasks)+1, task.Containers[0].Image)
			}
			peer.submit(task.Arn, "PENDING", object{"containers": []object{
				{"containerName": "web", "status": "PENDING", "imageDigest": digest}, {"containerName": "side", "status": "PENDING", "imageDigest": digest}}})
			tasks = append(tasks, task.Arn)
		}
	}
	for _, task := range tasks {
		peer.submit(task, "RUNNING", ranAs)
		telemetry.say(telemetry.signedFrame(frame("PublishHealthRequest", object{"metadata": object{"fin": true}, "tasks": []object{{"taskArn": task,
			"containers": []object{{"containerName": "web", "healthStatus": "HEALTHY", "statusSince": 1795393213.61}}}}})))
		telemetry.next("AckPublishHealth", new(object))
	}
	peer.until("the deployment is over", func(snap *store.Snapshot) bool {
		for d := range store.Deployments.All(snap, "default/web/") {
			return d.Over()
		}
		return false
	})
	if n := count(); n != 2 {
		t.Errorf("%d tasks run", n)
	}
	// The agent drains itself, as it does on a spot notice.
	peer.must("UpdateContainerInstancesState", object{"cluster": "default", "containerInstances": []string{peer.arn}, "status": "DRAINING"}, nil)
	for stopped := 0; stopped < 2; {
		for _, task := range s.payload().Tasks {
			if task.DesiredStatus != "STOPPED" || !slices.Contains(tasks, task.Arn) {
				t.Fatalf("draining told %+v", task)
			}
			peer.submit(task.Arn, "STOPPED", object{"containers": []object{{"containerName": "web", "exitCode": 0, "status": "STOPPED"}}})
			stopped++
		}
	}
	peer.until("the instance is empty", func(snap *store.Snapshot) bool {
		for task := range store.Tasks.All(snap, "default/") {
			if task.LastStatus != gantry.Stopped {
				return false
			}
		}
		return true
	})
	root.must("DeleteService", object{"cluster": "default", "service": "web", "force": true}, nil)
}
