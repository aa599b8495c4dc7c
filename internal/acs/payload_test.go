package acs

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry"
	"gantry/internal/wire/ecsapi"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the payloads that are made into testdata")

var testPlace = gantry.Place{Region: "us-east-1", Account: "123456789012"}

// Each file of testdata/payload holds a task definition as it was registered, a
// task as the store has it, and the payload that its agent is sent.
func TestPayload(t *testing.T) {
	files, err := filepath.Glob("testdata/payload/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts := sections(string(text))
			var def ecsapi.TaskDefinition
			decode(t, parts["definition"], &def)
			var task gantry.Task
			decode(t, parts["task"], &task)
			made, err := Payload(testPlace, &task, &gantry.Definition{Name: task.Definition, Wire: &def}, nil, Defaults{})
			if err != nil {
				t.Fatal(err)
			}
			got := indent(t, made)
			if *update {
				before, _, _ := strings.Cut(string(text), "-- payload --\n")
				if err := os.WriteFile(file, []byte(before+"-- payload --\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(parts["payload"], got); diff != "" {
				t.Errorf("payload (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPayloadByDigest: a service's tasks are made from the images that its revision knows.
func TestPayloadByDigest(t *testing.T) {
	const digest = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
	def := &gantry.Definition{Wire: &ecsapi.TaskDefinition{ContainerDefinitions: []ecsapi.ContainerDefinition{
		{Name: new("web"), Image: new("team/web:1")},
		{Name: new("free"), Image: new("team/free:1"), VersionConsistency: ecsapi.VersionConsistencyDisabled},
		{Name: new("exact"), Image: new("team/exact@" + digest)},
		{Name: new("unknown"), Image: new("team/unknown")},
	}}}
	revision := &gantry.ServiceRevision{Digests: map[string]string{"web": digest, "free": digest, "exact": digest}}
	p, err := Payload(testPlace, &gantry.Task{ID: "t", Cluster: "prod"}, def, revision, Defaults{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range p.Containers {
		got = append(got, c.Image)
	}
	want := []string{"team/web:1@" + digest, "team/free:1", "team/exact@" + digest, "team/unknown"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

func TestStopPayload(t *testing.T) {
	got := indent(t, StopPayload(testPlace, &gantry.Task{ID: "t3", Cluster: "prod", Definition: "web:1"}))
	want := `{
  "arn": "arn:aws:ecs:us-east-1:123456789012:task/prod/t3",
  "taskClusterArn": "arn:aws:ecs:us-east-1:123456789012:cluster/prod",
  "family": "web",
  "version": "1",
  "desiredStatus": "STOPPED",
  "overrides": "{}",
  "containers": [],
  "volumes": []
}
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPayloadRefusesSizesThatAreNoNumbers(t *testing.T) {
	_, err := Payload(testPlace, &gantry.Task{ID: "t", Cluster: "prod", CPU: "much"}, &gantry.Definition{Wire: &ecsapi.TaskDefinition{}}, nil, Defaults{})
	if err == nil || err.Error() != `payload of task prod/t: its cpu is "much", not a number` {
		t.Errorf("got %v", err)
	}
}

// The account's defaultLogDriverMode is for awslogs without a mode of its own.
func TestPayloadFillsInTheLogMode(t *testing.T) {
	for _, tt := range []struct {
		name   string
		driver ecsapi.LogDriver
		given  map[string]string
		mode   string
		want   map[string]string
	}{
		{"the account's", "awslogs", map[string]string{"awslogs-group": "g"}, "blocking", map[string]string{"awslogs-group": "g", "mode": "blocking"}},
		{"the container's own", "awslogs", map[string]string{"mode": "non-blocking"}, "blocking", map[string]string{"mode": "non-blocking"}},
		{"of another driver", "json-file", map[string]string{"max-file": "2"}, "blocking", map[string]string{"max-file": "2"}},
		{"no account to ask", "awslogs", map[string]string{"awslogs-group": "g"}, "", map[string]string{"awslogs-group": "g"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := &ecsapi.LogConfiguration{LogDriver: tt.driver, Options: maps.Clone(tt.given)}
			def := &gantry.Definition{Wire: &ecsapi.TaskDefinition{ContainerDefinitions: []ecsapi.ContainerDefinition{{Name: new("web"), LogConfiguration: log}}}}
			p, err := Payload(testPlace, &gantry.Task{ID: "t", Cluster: "prod"}, def, nil, Defaults{LogDriverMode: tt.mode})
			if err != nil {
				t.Fatal(err)
			}
			var host hostConfig
			decode(t, p.Containers[0].DockerConfig.HostConfig, &host)
			if diff := cmp.Diff(tt.want, host.LogConfig.Config); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.given, log.Options); diff != "" {
				t.Errorf("the definition itself was changed:\n%s", diff)
			}
		})
	}
}

// Merging must not write into the definition, which everybody shares.
func TestMergeLeavesTheDefinitionAlone(t *testing.T) {
	env := make([]ecsapi.KeyValuePair, 1, 8)
	env[0] = ecsapi.KeyValuePair{Name: new("A"), Value: new("1")}
	c := &ecsapi.ContainerDefinition{Name: new("web"), Environment: env}
	merge(c, &ecsapi.TaskOverride{ContainerOverrides: []ecsapi.ContainerOverride{
		{Name: new("web"), Environment: []ecsapi.KeyValuePair{{Name: new("B"), Value: new("2")}}},
	}})
	if spill := env[:2][1]; spill.Name != nil {
		t.Errorf("an override was written behind the definition's environment: %s", *spill.Name)
	}
}

func sections(text string) map[string]string {
	parts := map[string]string{}
	name := ""
	for line := range strings.Lines(text) {
		if head, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok && strings.HasSuffix(head, " --") {
			name = strings.TrimSuffix(head, " --")
			continue
		}
		parts[name] += line
	}
	return parts
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}

func indent(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
