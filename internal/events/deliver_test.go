package events

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
	"gantry/internal/wire/eventsapi"
)

// destination makes a connection and an API destination, and is its ARN.
func (w *world) destination(name, endpoint string, perSecond int32) *string {
	w.t.Helper()
	c, err := w.ops.CreateConnection(w.t.Context(), &eventsapi.CreateConnectionInput{
		Name: &name, AuthorizationType: eventsapi.ConnectionAuthorizationTypeApiKey,
		AuthParameters: &eventsapi.CreateConnectionAuthRequestParameters{
			ApiKeyAuthParameters: &eventsapi.CreateConnectionApiKeyAuthRequestParameters{ApiKeyName: new("X-Key"), ApiKeyValue: new("secret")},
			InvocationHttpParameters: &eventsapi.ConnectionHttpParameters{
				HeaderParameters: []eventsapi.ConnectionHeaderParameter{{Key: new("X-From"), Value: new("connection")}},
				BodyParameters:   []eventsapi.ConnectionBodyParameter{{Key: new("added"), Value: new("yes")}},
			},
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	in := &eventsapi.CreateApiDestinationInput{Name: &name, ConnectionArn: c.ConnectionArn, InvocationEndpoint: &endpoint, HttpMethod: eventsapi.ApiDestinationHttpMethodPost}
	if perSecond > 0 {
		in.InvocationRateLimitPerSecond = &perSecond
	}
	d, err := w.ops.CreateApiDestination(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return d.ApiDestinationArn
}

var mine = &eventsapi.PutRuleInput{Name: new("mine"), EventPattern: new(`{"source": ["my.app"]}`)}

func TestDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.answer = func(string) (int, error) { return 204, nil }
		w.rule(mine, eventsapi.Target{Arn: w.destination("hook", "https://example.com/*/in?a=b", 0),
			HttpParameters: &eventsapi.HttpParameters{PathParameterValues: []string{"x/y"}, QueryStringParameters: map[string]string{"q": "1"}, HeaderParameters: map[string]string{"X-From": "target", "X-Own": "1"}}})
		w.post("Thing", `{"n": 1}`)
		pass(time.Second)
		if len(w.calls) != 1 {
			t.Fatalf("%d calls", len(w.calls))
		}
		r := w.calls[0]
		if r.Method != "POST" || r.URL.String() != "https://example.com/x%2Fy/in?a=b&q=1" || r.Header.Get("X-Key") != "secret" || r.Header.Get("X-From") != "connection" ||
			r.Header.Get("X-Own") != "1" || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			t.Errorf("called %s %s with %v", r.Method, r.URL, r.Header)
		}
		if !strings.Contains(w.bodies[0], `"added":"yes"`) || !strings.Contains(w.bodies[0], `"detail":{"n":1}`) {
			t.Errorf("body %s", w.bodies[0])
		}
	})
}

// A target that is down gets everything in order once it is up again, by the same ids, and the others do not wait for it.
func TestDeadTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.everything()
		down := true
		tries := 0
		w.answer = func(string) (int, error) {
			if tries++; down {
				if tries%2 == 0 {
					return 0, errors.New("connection refused")
				}
				return 503, nil
			}
			return 200, nil
		}
		w.rule(mine, eventsapi.Target{Arn: w.destination("hook", "https://example.com/", 0)})
		var ids []string
		for n := range 20 {
			ids = append(ids, w.post("Thing", fmt.Sprintf(`{"n": %d}`, n)))
			pass(time.Minute)
		}
		if got := len(w.all()); got != 20 {
			t.Errorf("the other target has %d events", got)
		}
		if s := w.e.Status(); len(s) != 2 || s[1].Retries == 0 || s[1].LastError == "" || s[0].Delivered != 20 || s[1].ARN == "" {
			t.Errorf("status %+v", s)
		}
		w.mu.Lock()
		if tries < 5 || tries > 30 {
			t.Errorf("%d tries in twenty minutes", tries)
		}
		w.mu.Unlock()
		w.mu.Lock()
		w.calls, w.bodies = nil, nil
		down = false
		w.mu.Unlock()
		w.stop() // also over a restart
		w.start()
		pass(11 * time.Minute)
		bodies := w.called()
		if len(bodies) != 20 {
			t.Fatalf("%d calls", len(bodies))
		}
		for i, body := range bodies {
			if !strings.Contains(body, ids[i]) {
				t.Errorf("call %d: %s", i, body)
			}
		}
	})
}

func TestGivingUp(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy *eventsapi.RetryPolicy
		code   int
		tries  int
		within time.Duration
	}{
		{"refused for good", nil, 404, 1, time.Second},
		{"no retries", &eventsapi.RetryPolicy{MaximumRetryAttempts: new(int32(0))}, 500, 1, time.Second},
		{"three retries", &eventsapi.RetryPolicy{MaximumRetryAttempts: new(int32(3))}, 429, 4, 10 * time.Second},
		{"a minute", &eventsapi.RetryPolicy{MaximumEventAgeInSeconds: new(int32(60))}, 500, 8, 3 * time.Minute},
		{"a day", nil, 500, 100, 25 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				tries := 0
				w.answer = func(body string) (int, error) {
					if strings.Contains(body, `"next"`) {
						return 200, nil
					}
					tries++
					return c.code, nil
				}
				w.rule(mine, eventsapi.Target{Arn: w.destination("hook", "https://example.com/", 0), RetryPolicy: c.policy})
				w.post("Thing", `{}`)
				pass(c.within)
				w.mu.Lock()
				if tries < c.tries || tries > 2*c.tries {
					t.Errorf("%d tries, want %d or some more", tries, c.tries)
				}
				w.mu.Unlock()
				s := w.e.Status()[0]
				if s.GivenUp != 1 || s.LastError == "" {
					t.Errorf("status %+v", s)
				}
				w.post("next", `{}`)
				pass(time.Second)
				if s := w.e.Status()[0]; s.Delivered != 1 {
					t.Errorf("the next one is not delivered: %+v", s)
				}
			})
		})
	}
}

// What waits for a target is bounded; that something was removed is told.
func TestOverrun(t *testing.T) {
	usual := recordLimits
	recordLimits.Segment, recordLimits.Total = 10_000, 30_000
	defer func() { recordLimits = usual }()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		down := true
		w.answer = func(string) (int, error) {
			if down {
				return 503, nil
			}
			return 200, nil
		}
		w.rule(mine, eventsapi.Target{Arn: w.destination("hook", "https://example.com/", 0)})
		for n := range 200 {
			w.post("Thing", fmt.Sprintf(`{"n": %d, "text": "%s"}`, n, strings.Repeat("x", 1000)))
			pass(time.Second)
		}
		pass(2 * tendEvery)
		if size := w.e.record.Size(); size > 40_000 {
			t.Errorf("%d bytes wait", size)
		}
		w.mu.Lock()
		down = false
		w.bodies = nil
		w.mu.Unlock()
		pass(11 * time.Minute)
		if got := w.e.Status()[0]; got.Overrun.IsZero() || got.Delivered < 10 || got.Delivered > 150 {
			t.Errorf("status %+v", got)
		}
		last := -1
		for _, body := range w.called() {
			var n int
			_, rest, _ := strings.Cut(body, `"n":`)
			if _, err := fmt.Sscan(strings.TrimLeft(strings.FieldsFunc(rest, func(r rune) bool { return r == ',' || r == '}' })[0], " "), &n); err != nil {
				t.Fatal(err)
			}
			if n <= last {
				t.Errorf("%d after %d", n, last)
			}
			last = n
		}
		if last != 199 {
			t.Errorf("the last one is %d", last)
		}
	})
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.answer = func(string) (int, error) { return 200, nil }
		w.rule(mine, eventsapi.Target{Arn: w.destination("hook", "https://example.com/", 2)})
		for range 10 {
			w.post("Thing", `{}`)
		}
		pass(2100 * time.Millisecond)
		if n := len(w.called()); n < 4 || n > 6 {
			t.Errorf("%d calls in two seconds, at two a second", n)
		}
		pass(10 * time.Second)
		if n := len(w.called()); n != 10 {
			t.Errorf("%d calls", n)
		}
	})
}

// A target that is new gets what happens from then on; one that is removed nothing more; the group that was missing may come.
func TestTargetsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.everything()
		w.post("before", `{}`)
		pass(time.Second)
		w.rule(mine, eventsapi.Target{Arn: groupARN("later"), InputPath: new("$.detail")})
		w.post("while", `{"n": 1}`)
		pass(time.Second)
		w.mu.Lock()
		w.groups["later"] = true
		w.mu.Unlock()
		pass(time.Minute)
		got := w.events("later", "mine/t")
		if len(got) != 1 || got[0]["n"] != 1.0 {
			t.Fatalf("got %v", got)
		}
		if _, err := w.ops.RemoveTargets(t.Context(), &eventsapi.RemoveTargetsInput{Rule: new("mine"), Ids: []string{"t"}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.post("after", `{"n": 2}`)
		pass(time.Second)
		if got := w.events("later", "mine/t"); len(got) != 1 {
			t.Errorf("after its removal: %v", got)
		}
		if _, err := w.ops.DisableRule(t.Context(), &eventsapi.DisableRuleInput{Name: new("all")}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.post("disabled", `{}`)
		pass(time.Second)
		if n := len(w.all()); n != 3 {
			t.Errorf("the rule that was disabled has logged %d events", n)
		}
		pass(time.Minute)
		if n := store.EventCursors.Len(w.store.View()); n != 1 {
			t.Errorf("%d cursors are left", n)
		}
	})
}

// runs has RunTask write tasks, as many as there is room for.
func (w *world) runsTasks(room *int) {
	w.run = func(in *ecsapi.RunTaskInput) (*ecsapi.RunTaskOutput, error) {
		out := &ecsapi.RunTaskOutput{}
		for range *in.Count {
			if *room == 0 {
				out.Failures = append(out.Failures, ecsapi.Failure{Reason: new("RESOURCE:MEMORY")})
				continue
			}
			*room--
			id := fmt.Sprint("t", len(w.runs), "-", len(out.Tasks))
			out.Tasks = append(out.Tasks, ecsapi.Task{TaskArn: &id})
			w.write(func(tx *store.Tx) {
				store.Tasks.Put(tx, &gantry.Task{ID: gantry.TaskID(id), Cluster: "prod", Version: 1, LastStatus: gantry.Running, DesiredStatus: gantry.Running, StartedBy: *in.StartedBy})
			})
		}
		return out, nil
	}
}

// runsOnce is runsTasks, where a token that is known is answered as ECS does: with the tasks that it made.
func (w *world) runsOnce(room *int) {
	w.runsTasks(room)
	made, run := map[string]*ecsapi.RunTaskOutput{}, w.run
	w.run = func(in *ecsapi.RunTaskInput) (*ecsapi.RunTaskOutput, error) {
		if out := made[*in.ClientToken]; out != nil {
			return &ecsapi.RunTaskOutput{Tasks: out.Tasks}, nil
		}
		out, err := run(in)
		if err == nil && len(out.Tasks) > 0 {
			made[*in.ClientToken] = out
			w.write(func(tx *store.Tx) {
				store.ClientTokens.Put(tx, &gantry.ClientToken{Operation: "RunTask", Cluster: "prod", Token: *in.ClientToken})
			})
		}
		return out, err
	}
}

var cluster = new("arn:aws:ecs:us-east-1:123456789012:cluster/prod")

func TestRunTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		room := 100
		w.runsTasks(&room)
		w.rule(mine, eventsapi.Target{
			Arn: cluster, RoleArn: new("arn:aws:iam::123456789012:role/r"),
			EcsParameters: &eventsapi.EcsParameters{
				TaskDefinitionArn: new("arn:aws:ecs:us-east-1:123456789012:task-definition/job"), TaskCount: new(int32(2)), LaunchType: eventsapi.LaunchTypeEc2,
				Group: new("g"), Tags: []eventsapi.Tag{{Key: new("k"), Value: new("v")}}, PropagateTags: eventsapi.PropagateTagsTaskDefinition,
				PlacementStrategy:    []eventsapi.PlacementStrategy{{Type: eventsapi.PlacementStrategyTypeBinpack, Field: new("cpu")}},
				NetworkConfiguration: &eventsapi.NetworkConfiguration{AwsvpcConfiguration: &eventsapi.AwsVpcConfiguration{Subnets: []string{"subnet-1"}, AssignPublicIp: "ENABLED"}},
			},
			InputTransformer: &eventsapi.InputTransformer{InputPathsMap: map[string]string{"n": "$.detail.n"}, InputTemplate: new(`{"containerOverrides": [{"name": "job", "command": ["run", "<n>"]}]}`)},
		})
		w.post("Thing", `{"n": 7}`)
		pass(time.Second)
		if len(w.ran()) != 1 {
			t.Fatalf("%d runs", len(w.ran()))
		}
		in := w.runs[0]
		if *in.Cluster != *cluster || *in.TaskDefinition != "arn:aws:ecs:us-east-1:123456789012:task-definition/job" || *in.Count != 2 || in.LaunchType != "EC2" || *in.Group != "g" ||
			*in.StartedBy != "events-rule/mine" || *in.Tags[0].Key != "k" || in.PropagateTags != "TASK_DEFINITION" || *in.PlacementStrategy[0].Field != "cpu" ||
			in.NetworkConfiguration.AwsvpcConfiguration.Subnets[0] != "subnet-1" || in.NetworkConfiguration.AwsvpcConfiguration.AssignPublicIp != "ENABLED" ||
			in.Overrides.ContainerOverrides[0].Command[1] != "7" || len(*in.ClientToken) != 32 {
			t.Errorf("RunTask of %+v", in)
		}
	})
}

// A run of many tasks that finds room for some, and hours later for the rest, starts each once,
// although the first have ended and been forgotten since.
func TestRunOfManyTasksGoesOnHoursLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		room := 12
		w.runsOnce(&room)
		w.rule(mine, eventsapi.Target{Arn: cluster, EcsParameters: &eventsapi.EcsParameters{TaskDefinitionArn: new("job"), TaskCount: new(int32(25))}})
		w.post("Thing", `{}`)
		pass(time.Minute)
		if n := store.Tasks.Len(w.store.View()); n != 12 {
			t.Fatalf("%d tasks, and there is room for twelve", n)
		}
		w.write(func(tx *store.Tx) {
			for task := range store.Tasks.All(w.store.View(), "") {
				store.Tasks.Delete(tx, task.Key())
			}
		})
		pass(3 * time.Hour)
		w.mu.Lock()
		room = 100
		w.mu.Unlock()
		pass(11 * time.Minute)
		if n := store.Tasks.Len(w.store.View()); n != 13 || room != 87 {
			t.Errorf("%d tasks are there, and there is room for %d", n, room)
		}
		if s := w.e.Status()[0]; s.Delivered != 1 || s.LastError != "" {
			t.Errorf("status %+v", s)
		}
	})
}

// The first tasks of a run are not those of the run before, when the rest finds room later.
func TestOverlapWithItself(t *testing.T) {
	for _, policy := range []string{"skip", "queue", "replace"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			room := 3
			w.runsOnce(&room)
			w.rule(mine, eventsapi.Target{Arn: cluster, EcsParameters: &eventsapi.EcsParameters{
				TaskDefinitionArn: new("job"), TaskCount: new(int32(5)), Tags: []eventsapi.Tag{{Key: new("gantry:overlap"), Value: &policy}}}})
			w.post("Thing", `{}`)
			pass(time.Minute)
			w.mu.Lock()
			room = 100
			w.mu.Unlock()
			pass(11 * time.Minute)
			living := 0
			for task := range store.Tasks.All(w.store.View(), "") {
				if task.LastStatus == gantry.Running {
					living++
				}
			}
			if s := w.e.Status()[0]; living != 5 || s.Delivered != 1 {
				t.Errorf("%s: %d tasks run of five; %+v", policy, living, s)
			}
		})
	}
}

// Tasks that have no place are run when there is room, each once; a definition that is not there is given up.
func TestRunTaskWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		room := 3
		w.runsOnce(&room)
		w.rule(mine, eventsapi.Target{Arn: cluster, EcsParameters: &eventsapi.EcsParameters{TaskDefinitionArn: new("job"), TaskCount: new(int32(5))}})
		w.post("Thing", `{}`)
		pass(time.Minute)
		if n := store.Tasks.Len(w.store.View()); n != 3 {
			t.Errorf("%d tasks, and there is room for three", n)
		}
		if s := w.e.Status()[0]; !strings.Contains(s.LastError, "RESOURCE:MEMORY") {
			t.Errorf("status %+v", s)
		}
		w.mu.Lock()
		room = 100
		w.mu.Unlock()
		pass(11 * time.Minute)
		if n := store.Tasks.Len(w.store.View()); n != 5 {
			t.Errorf("%d tasks of five", n)
		}
		w.mu.Lock()
		w.run = func(*ecsapi.RunTaskInput) (*ecsapi.RunTaskOutput, error) {
			return nil, ecsapi.NewClientException("TaskDefinition not found.")
		}
		w.mu.Unlock()
		w.post("Thing", `{}`)
		pass(time.Second)
		if s := w.e.Status()[0]; s.GivenUp != 1 || s.Delivered != 1 || !strings.Contains(s.LastError, "TaskDefinition not found.") {
			t.Errorf("status %+v", s)
		}
	})
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		policy              string
		runs, living, ended int // after three events, and after the first run has ended by itself
	}{
		{"", 3, 3, 3}, {"skip", 1, 1, 1}, {"queue", 1, 1, 2}, {"replace", 3, 1, 3},
	} {
		t.Run("policy "+c.policy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				room := 100
				w.runsTasks(&room)
				p := &eventsapi.EcsParameters{TaskDefinitionArn: new("job")}
				if c.policy != "" {
					p.Tags = []eventsapi.Tag{{Key: new("gantry:overlap"), Value: &c.policy}}
				}
				w.rule(mine, eventsapi.Target{Arn: cluster, EcsParameters: p})
				for range 3 {
					w.post("Thing", `{}`)
					pass(time.Second)
				}
				living := 0
				for task := range store.Tasks.All(w.store.View(), "") {
					if task.LastStatus != gantry.Stopped {
						living++
					}
				}
				if len(w.ran()) != c.runs || living != c.living {
					t.Errorf("%d runs, %d tasks live; want %d, %d", len(w.ran()), living, c.runs, c.living)
				}
				w.write(func(tx *store.Tx) {
					if err := store.Tasks.Change(tx, "prod/t1-0", func(t *gantry.Task) error { t.LastStatus = gantry.Stopped; return nil }); err != nil {
						t.Error(err)
					}
				})
				pass(time.Second)
				if len(w.ran()) != c.ended {
					t.Errorf("after the first has ended there are %d runs, want %d", len(w.ran()), c.ended)
				}
			})
		})
	}
}
