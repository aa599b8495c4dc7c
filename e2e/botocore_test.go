package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// modelExamples are those that come with the API's model, older and smaller than
// the CLI's: operation, input, output. CreateService 2 is not in scope: it has a load
// balancer.
var modelExamples = map[string]func(*stage){
	"CreateCluster 1":    func(s *stage) { s.news(); s.put("my_cluster", s.cluster) },
	"DeleteCluster 1":    func(s *stage) { s.has("my_cluster") },
	"DescribeClusters 1": func(*stage) {},
	"ListClusters 1":     func(*stage) {},
	"TagResource 1":      func(s *stage) { s.has("dev") },
	"UntagResource 1":    func(s *stage) { s.has("dev") },
	"ListTagsForResource 1": func(s *stage) {
		s.has("dev")
		must(s.t, s.c.TagResource, &ecs.TagResourceInput{ResourceArn: aws.String("arn:aws:ecs:us-east-1:123456789012:cluster/" + s.names[1]), Tags: []types.Tag{tag("team", "dev")}})
	},
	"DescribeContainerInstances 1":  func(s *stage) { s.joined("default", "f2756532-8f13-4d53-87c9-aed50dc94cd7", nil) },
	"DeregisterContainerInstance 1": func(s *stage) { s.joined("default", "container_instance_UUID", nil) },
	"ListContainerInstances 1":      func(*stage) {},
	"RegisterTaskDefinition 1":      func(*stage) {},
	"DescribeTaskDefinition 1":      func(s *stage) { s.put("hello_world:8", s.published("hello_world")) },
	"ListTaskDefinitionFamilies 1":  func(s *stage) { s.sleep() },
	"ListTaskDefinitionFamilies 2":  func(s *stage) { name, _, _ := strings.Cut(s.sleep(), ":"); s.put("hpcc", name) },
	"ListTaskDefinitions 1":         func(s *stage) { s.sleep() },
	"ListTaskDefinitions 2":         func(s *stage) { name, _, _ := strings.Cut(s.sleep(), ":"); s.put("wordpress", name) },
	"RunTask 1":                     func(s *stage) { s.put("sleep360:1", s.sleep()) },
	"DescribeTasks 1":               func(s *stage) { s.put("c5cba4eb-5dad-405e-96db-71ef8eefe6a8", id(s.serves("default"))) },
	"ListTasks 1":                   func(s *stage) { s.runs("default", "none") },
	"ListTasks 2": func(s *stage) {
		task := describeTask(s.t, s.c, "default", s.runs("default", "none"))
		s.put("f6bbb147-5370-4ace-8c73-c7181ded911f", id(*task.ContainerInstanceArn))
	},
	"CreateService 1":    func(s *stage) { s.put("hello_world", s.sleep()); s.creates("ecs-simple-service") },
	"UpdateService 1":    func(s *stage) { s.put("amazon-ecs-sample", s.sleep()); s.served("my-http-service", "default", 1) },
	"UpdateService 2":    func(s *stage) { s.served("my-http-service", "default", 1) },
	"DescribeServices 1": func(s *stage) { s.served("ecs-simple-service", "default", 1) },
	"ListServices 1":     func(s *stage) { s.served("my-http-service", "default", 1) },
	"DeleteService 1":    func(s *stage) { s.served("my-http-service", "default", 0) },

	"PutAccountSetting 1":        func(*stage) {},
	"PutAccountSetting 2":        func(*stage) {},
	"PutAccountSettingDefault 1": func(*stage) {},
	"DeleteAccountSetting 1":     func(*stage) {},
	"DeleteAccountSetting 2":     func(*stage) {},
	"ListAccountSettings 1":      func(*stage) {},
	"ListAccountSettings 2":      func(*stage) {},
}

// publishedModel is a file of the API's model as botocore has it, where Python has it or
// in the CLI that build/setup.sh installs.
func publishedModel(t *testing.T, name string) []byte {
	t.Helper()
	file := "data/ecs/2014-11-13/" + name
	if out, err := exec.Command("python3", "-c", "import botocore, os; print(os.path.dirname(botocore.__file__))").Output(); err == nil {
		if text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), file)); err == nil {
			return text
		}
	}
	out, err := exec.Command(filepath.Join(repository(), "build", "setup.sh"), "aws1").Output()
	if err != nil {
		t.Skipf("no model of the API: build/setup.sh aws1: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "awscli", "awscli", "botocore", file))
	if err != nil {
		t.Skipf("no model of the API: %v", err)
	}
	return text
}

// TestExamplesOfTheModel sends the inputs that come with the API's model, and holds
// the shape of the outputs against those published.
func TestExamplesOfTheModel(t *testing.T) {
	t.Parallel()
	var model struct {
		Examples map[string][]struct{ Input, Output json.RawMessage }
	}
	if err := json.Unmarshal(publishedModel(t, "examples-1.json"), &model); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for operation, examples := range model.Examples {
		for i, e := range examples {
			name := fmt.Sprintf("%s %d", operation, i+1)
			prepare, ok := modelExamples[name]
			if !ok {
				if name != "CreateService 2" {
					t.Errorf("%s is neither in scope nor out of it", name)
				}
				continue
			}
			ran++
			t.Run(name, func(t *testing.T) {
				s := &stage{server: gantry(t), t: t, c: gantry(t).sdk(), cluster: family(t)}
				prepare(s)
				s.put("arn:aws:ecs:region:aws_account_id:", "arn:aws:ecs:us-east-1:123456789012:")
				s.put("<aws_account_id>", "123456789012")
				body := string(e.Input)
				if body == "" {
					body = "{}"
				}
				a := s.call(t, ecsTarget+operation, strings.NewReplacer(s.names...).Replace(body))
				if a.status != 200 {
					t.Fatalf("%s: %s: %s", body, a.code, a.message)
				}
				want, err := shapeOf(string(e.Output))
				if err != nil {
					t.Fatal(err)
				}
				got, err := shapeOf(a.body)
				if err != nil {
					t.Fatal(err)
				}
				for _, path := range want.lacks(got) {
					t.Errorf("%s (%s) is published and not answered: %s", path, want[path], a.body)
				}
			})
		}
	}
	if ran != len(modelExamples) {
		t.Errorf("%d examples ran, want %d", ran, len(modelExamples))
	}
}

// TestDocumentedExceptions: internal/ecs/testdata/documented.txt, whose requests are tested
// there, leaves out no exception that AWS documents for an operation that is offered.
func TestDocumentedExceptions(t *testing.T) {
	var model struct {
		Operations map[string]struct{ Errors []struct{ Shape string } }
	}
	if err := json.Unmarshal(publishedModel(t, "service-2.json"), &model); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(repository(), "internal", "ecs", "testdata", "documented.txt"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	operation := ""
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		switch {
		case len(words) < 2 || words[0] == "#":
		case words[0] == "=>":
			known[operation+" "+strings.TrimSuffix(words[1], ":")] = true
		case strings.HasSuffix(words[1], "Exception"):
			known[words[0]+" "+words[1]] = true
		default:
			operation = words[0]
		}
	}
	n := 0
	for _, operation := range offered(t) {
		for _, e := range model.Operations[operation].Errors {
			switch e.Shape {
			case "AccessDeniedException", "ClientException", "InvalidParameterException", "ServerException":
				continue // which all operations have
			}
			if n++; !known[operation+" "+e.Shape] {
				t.Errorf("%s is documented to answer %s, and documented.txt does not say when", operation, e.Shape)
			}
		}
	}
	if n < 100 {
		t.Errorf("the model documents %d exceptions only", n)
	}
}
