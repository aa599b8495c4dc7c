package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// logGroupARN is the ARN of a log group of this server.
func (s *server) logGroupARN(name string) string {
	return fmt.Sprintf("arn:aws:logs:%s:123456789012:log-group:%s", s.value("AWS_REGION"), name)
}

// told are the events that a log group has been given, by the genuine aws CLI.
func (s *server) told(t *testing.T, group string) (events []map[string]any) {
	t.Helper()
	out := awsJSON[struct {
		Events []struct{ Message string }
	}](t, s, "logs", "filter-log-events", "--log-group-name", group)
	for _, e := range out.Events {
		var event map[string]any
		if err := json.Unmarshal([]byte(e.Message), &event); err != nil {
			t.Fatalf("%v in %s", err, e.Message)
		}
		events = append(events, event)
	}
	return events
}

// TestTaskEvents: a rule, by the genuine aws CLI, has the steps of a task put into a log group, each once and in order.
func TestTaskEvents(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	cluster := s.cluster(t)
	group, rule := "/events/"+cluster, cluster
	s.aws(t, "logs", "create-log-group", "--log-group-name", group)
	pattern := fmt.Sprintf(`{"source":["aws.ecs"],"detail-type":["ECS Task State Change"],"detail":{"clusterArn":[{"suffix":":cluster/%s"}]}}`, cluster)
	arn := s.aws(t, "events", "put-rule", "--name", rule, "--event-pattern", pattern, "--query", "RuleArn", "--output", "text")
	if want := "arn:aws:events:" + s.value("AWS_REGION") + ":123456789012:rule/" + rule; arn != want {
		t.Errorf("the rule is %s, want %s", arn, want)
	}
	s.aws(t, "events", "put-targets", "--rule", rule, "--targets", fmt.Sprintf("Id=log,Arn=%s", s.logGroupARN(group)))
	definition := s.define(t, func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
		c.Image, c.Environment = new("gantry/sample-crasher:latest"), []types.KeyValuePair{{Name: new("EXIT_CODE"), Value: new("3")}}
	})
	run := must(t, s.sdk().RunTask, &ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: &definition})
	task := *run.Tasks[0].TaskArn
	var events []map[string]any
	eventually(t, "the event of the task's end", func() (bool, string) {
		events = s.told(t, group)
		return len(events) > 0 && events[len(events)-1]["detail"].(map[string]any)["lastStatus"] == "STOPPED", fmt.Sprint(events)
	})
	version := 0.0
	for _, e := range events {
		d := e["detail"].(map[string]any)
		if d["taskArn"] != task || d["version"].(float64) <= version || e["version"] != "0" {
			t.Errorf("after version %v: %v", version, e)
		}
		version = d["version"].(float64)
	}
	end := events[len(events)-1]["detail"].(map[string]any)
	container := end["containers"].([]any)[0].(map[string]any)
	if end["stopCode"] != "EssentialContainerExited" || container["exitCode"] != 3.0 || container["name"] != "worker" {
		t.Errorf("the end is told as %v", end)
	}
	if at, err := time.Parse(time.RFC3339, end["stoppedAt"].(string)); err != nil || time.Since(at) > time.Hour {
		t.Errorf("stoppedAt is %v", end["stoppedAt"])
	}

	for _, c := range []struct{ want, event string }{
		{"True", `{"id":"1","detail-type":"ECS Task State Change","source":"aws.ecs","account":"1","time":"2026-11-23T12:00:00Z","region":"us-east-1","resources":[],"detail":{"clusterArn":"arn:aws:ecs:us-east-1:1:cluster/` + cluster + `"}}`},
		{"False", `{"id":"1","detail-type":"ECS Task State Change","source":"aws.ecs","account":"1","time":"2026-11-23T12:00:00Z","region":"us-east-1","resources":[],"detail":{}}`},
	} {
		if got := s.aws(t, "events", "test-event-pattern", "--event-pattern", pattern, "--event", c.event, "--query", "Result", "--output", "text"); got != c.want {
			t.Errorf("test-event-pattern answers %s, want %s", got, c.want)
		}
	}
	if text := s.awsError(t, "events", "delete-rule", "--name", rule); !strings.Contains(text, "ValidationException") {
		t.Errorf("a rule with targets: %s", text)
	}
	s.aws(t, "events", "remove-targets", "--rule", rule, "--ids", "log")
	s.aws(t, "events", "delete-rule", "--name", rule)
	if text := s.awsError(t, "events", "describe-rule", "--name", rule); !strings.Contains(text, "ResourceNotFoundException") {
		t.Errorf("a deleted rule: %s", text)
	}
	if text := s.awsError(t, "events", "create-event-bus", "--name", "mine"); !strings.Contains(text, "UnsupportedOperationException") {
		t.Errorf("what is not offered: %s", text)
	}
}

// TestScheduledTask: a schedule runs a task of the newest revision, with the overrides of its target.
func TestScheduledTask(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	cluster := s.cluster(t)
	definition := s.define(t, nil)
	family, _, _ := strings.Cut(definition, ":")
	region := s.value("AWS_REGION")
	s.aws(t, "events", "put-rule", "--name", cluster, "--schedule-expression", "rate(365 days)")
	target, err := json.Marshal([]any{map[string]any{
		"Id": "run", "Arn": "arn:aws:ecs:" + region + ":123456789012:cluster/" + cluster,
		"EcsParameters": map[string]any{"TaskDefinitionArn": "arn:aws:ecs:" + region + ":123456789012:task-definition/" + family, "TaskCount": 2},
		"Input":         `{"containerOverrides":[{"name":"worker","environment":[{"name":"A","value":"from the schedule"}]}]}`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.aws(t, "events", "put-targets", "--rule", cluster, "--targets", string(target))
	s.aws(t, "events", "put-rule", "--name", cluster, "--schedule-expression", "at("+time.Now().UTC().Add(30*time.Second).Format("2006-01-02T15:04:05")+")")
	var tasks []string
	eventually(t, "the scheduled tasks", func() (bool, string) {
		tasks = must(t, s.sdk().ListTasks, &ecs.ListTasksInput{Cluster: &cluster, StartedBy: new("events-rule/" + cluster)}).TaskArns
		return len(tasks) == 2, fmt.Sprint(tasks)
	})
	for _, arn := range tasks {
		task := describeTask(t, s.sdk(), cluster, arn)
		if name(*task.TaskDefinitionArn) != definition || *task.Overrides.ContainerOverrides[0].Environment[0].Value != "from the schedule" {
			t.Errorf("task %+v", task)
		}
	}
	if text := s.awsError(t, "events", "put-rule", "--name", cluster, "--schedule-expression", "cron(0 10 * * MON *)"); !strings.Contains(text, "ValidationException") || !strings.Contains(text, `"?"`) {
		t.Errorf("a wrong expression: %s", text)
	}
	s.aws(t, "events", "remove-targets", "--rule", cluster, "--ids", "run")
	s.aws(t, "events", "delete-rule", "--name", cluster)
}

// TestDestination: an event of a user's own reaches an HTTP endpoint, also when that was down at first, and over a kill.
func TestDestination(t *testing.T) {
	t.Parallel()
	s := own(t)
	var mu sync.Mutex
	var got []string
	down := true
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if user, password, _ := r.BasicAuth(); down || user != "me" || password != "secret" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		got = append(got, string(body))
	}))
	t.Cleanup(endpoint.Close)
	connection := s.aws(t, "events", "create-connection", "--name", "c", "--authorization-type", "BASIC",
		"--auth-parameters", `{"BasicAuthParameters":{"Username":"me","Password":"secret"}}`, "--query", "ConnectionArn", "--output", "text")
	destination := s.aws(t, "events", "create-api-destination", "--name", "d", "--connection-arn", connection, "--http-method", "POST",
		"--invocation-endpoint", endpoint.URL+"/in", "--query", "ApiDestinationArn", "--output", "text")
	if text := s.aws(t, "events", "describe-connection", "--name", "c"); strings.Contains(text, "secret") {
		t.Errorf("the secret is shown: %s", text)
	}
	s.aws(t, "events", "put-rule", "--name", "mine", "--event-pattern", `{"source":["my.app"]}`)
	s.aws(t, "events", "put-targets", "--rule", "mine", "--targets", "Id=d,Arn="+destination+",InputPath=$.detail")
	var want []string
	put := func(n int) {
		want = append(want, fmt.Sprintf(`{"n":%d}`, n))
		s.aws(t, "events", "put-events", "--entries", fmt.Sprintf(`[{"Source":"my.app","DetailType":"T","Detail":"{\"n\":%d}"}]`, n))
	}
	put(1)
	put(2)
	eventually(t, "a try in vain", func() (bool, string) {
		out, err := s.gantry("events")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(out, "503"), out
	})
	s.kill()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	put(3)
	mu.Lock()
	down = false
	mu.Unlock()
	eventually(t, "the events", func() (bool, string) {
		mu.Lock()
		defer mu.Unlock()
		once := slices.Compact(slices.Clone(got)) // one whose answer came too late comes again
		return strings.Join(once, " ") == strings.Join(want, " "), fmt.Sprint(got)
	})
}

// TestWhy: a task that has stopped is explained, also when ECS has forgotten it.
func TestWhy(t *testing.T) {
	t.Parallel()
	s := own(t, "--stopped-task-retention", "1s")
	if _, err := s.gantry("image", "load", sampleTar("crasher")); err != nil {
		t.Fatal(err)
	}
	cluster := s.cluster(t)
	for driver, logs := range map[string]*types.LogConfiguration{"awslogs": s.awslogs("/why", "awslogs-stream-prefix=p"), "files": nil} {
		definition := s.define(t, func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.Image, c.Environment = new("gantry/sample-crasher:latest"), []types.KeyValuePair{{Name: new("EXIT_CODE"), Value: new("137")}}
			c.LogConfiguration = logs
		})
		run := must(t, s.sdk().RunTask, &ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: &definition})
		task := id(*run.Tasks[0].TaskArn)
		eventually(t, "the task to be forgotten", func() (bool, string) {
			out := must(t, s.sdk().DescribeTasks, &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: []string{task}})
			return len(out.Tasks) == 0, fmt.Sprint(out.Tasks)
		})
		out, err := s.gantry("why", task)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"task " + task + " in cluster " + cluster + " is STOPPED", "EssentialContainerExited: Essential container in task exited",
			"container worker (essential) exited with 137, ended by SIGKILL", "gantry/sample-crasher:latest", "| crasher: exits 137",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: gantry why does not tell %q:\n%s", driver, want, out)
			}
		}
		if out, err := s.gantry("tasks", "--stopped", "--cluster", cluster); err != nil || !strings.Contains(out, task) {
			t.Errorf("%s: gantry tasks --stopped: %v\n%s", driver, err, out)
		}
	}
}

// TestServiceEvents: a service's deployment and steady state are told as events, and its container instance's placements.
func TestServiceEvents(t *testing.T) {
	t.Parallel()
	s := own(t, "--task-warmup", "100ms")
	if _, err := s.gantry("image", "load", sampleTar("worker")); err != nil {
		t.Fatal(err)
	}
	cluster := s.cluster(t)
	s.aws(t, "logs", "create-log-group", "--log-group-name", "/events")
	s.aws(t, "events", "put-rule", "--name", "all", "--event-pattern", `{"source":["aws.ecs"]}`)
	s.aws(t, "events", "put-targets", "--rule", "all", "--targets", "Id=log,Arn="+s.logGroupARN("/events"))
	definition := s.define(t, nil)
	must(t, s.sdk().CreateService, &ecs.CreateServiceInput{Cluster: &cluster, ServiceName: new("web"), TaskDefinition: &definition, DesiredCount: new(int32(2))})
	want := []string{
		"ECS Deployment State Change SERVICE_DEPLOYMENT_IN_PROGRESS", "ECS Service Action TASKS_STARTED",
		"ECS Deployment State Change SERVICE_DEPLOYMENT_COMPLETED", "ECS Service Action SERVICE_STEADY_STATE",
	}
	eventually(t, "the events of the service", func() (bool, string) {
		var told []string
		instances := 0
		for _, e := range s.told(t, "/events") {
			switch kind := e["detail-type"].(string); kind {
			case "ECS Service Action", "ECS Deployment State Change":
				told = append(told, kind+" "+e["detail"].(map[string]any)["eventName"].(string))
				if arn := e["resources"].([]any)[0].(string); !strings.HasSuffix(arn, ":service/"+cluster+"/web") {
					t.Errorf("%s is about %s", kind, arn)
				}
			case "ECS Container Instance State Change":
				instances++
			}
		}
		// In this order, whatever is told between them.
		left := want
		for _, k := range told {
			if len(left) > 0 && k == left[0] {
				left = left[1:]
			}
		}
		return len(left) == 0 && instances > 0, fmt.Sprint(told, instances)
	})
}
