package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// examplesVersion is the CLI whose examples the table below knows in full. Those of
// other versions run too as far as the table knows them.
const examplesVersion = "1.45.11"

// A stage is what one published example finds: a cluster of its own, and names to
// put in the place of the published ones.
type stage struct {
	*server
	t       *testing.T
	c       *ecs.Client
	cluster string // put in the place of MyCluster
	service string // what served made
	names   []string
}

// put replaces a published name by one that is there.
func (s *stage) put(published, real string) { s.names = append(s.names, published, real) }

// has makes a cluster, for the examples that ask for one to be there.
func (s *stage) has(published string) {
	s.put(published, s.server.cluster(s.t))
}

// joined makes a container instance that the example names.
func (s *stage) joined(cluster, published string, attributes map[string]string) string {
	arn := s.join(s.t, cluster, instance{attributes: attributes, document: `{"instanceId":"i-1","instanceType":"t3.micro","imageId":"ami-1"}`,
		tags: []types.Tag{tag("team", "dev")}})
	s.put(published, arn)
	s.t.Cleanup(func() {
		_, _ = s.c.DeregisterContainerInstance(context.Background(), &ecs.DeregisterContainerInstanceInput{Cluster: &cluster, ContainerInstance: &arn})
	})
	return arn
}

// sleep registers what the published sleep360 stands for.
func (s *stage) sleep() string {
	return s.define(s.t, func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) { c.Name = aws.String("sleep") })
}

// runs starts a task that the example names.
func (s *stage) runs(cluster, published string) string {
	arn := s.launch(s.t, cluster, s.sleep())
	s.put(published, id(arn))
	s.t.Cleanup(func() {
		_, _ = s.c.StopTask(context.Background(), &ecs.StopTaskInput{Cluster: &cluster, Task: &arn})
	})
	return arn
}

// creates names a service that the example creates in the cluster default.
func (s *stage) creates(published string) {
	s.service = family(s.t)
	s.put(published, s.service)
	s.t.Cleanup(func() {
		_, _ = s.c.DeleteService(context.Background(), &ecs.DeleteServiceInput{Service: &s.service, Force: aws.Bool(true)})
	})
}

// served creates a service that the example names and waits until it is stable, in the
// named cluster or in one of its own, whose name it gives back.
func (s *stage) served(published, cluster string, count int32) string {
	if cluster == "" {
		cluster = s.server.cluster(s.t)
	}
	s.service = family(s.t)
	s.put(published, s.service)
	definition := s.sleep()
	must(s.t, s.c.CreateService, &ecs.CreateServiceInput{Cluster: &cluster, ServiceName: &s.service, TaskDefinition: &definition, DesiredCount: &count})
	s.t.Cleanup(func() {
		_, _ = s.c.DeleteService(context.Background(), &ecs.DeleteServiceInput{Cluster: &cluster, Service: &s.service, Force: aws.Bool(true)})
	})
	if err := stableWaiter(s.c).Wait(s.t.Context(), &ecs.DescribeServicesInput{Cluster: &cluster, Services: []string{s.service}}, stateWithin); err != nil {
		s.t.Fatal(err)
	}
	return cluster
}

// taskSet makes a service with a task set that the example names.
func (s *stage) taskSet() {
	cluster, definition := s.server.cluster(s.t), s.sleep()
	s.service = family(s.t)
	must(s.t, s.c.CreateService, &ecs.CreateServiceInput{Cluster: &cluster, ServiceName: &s.service, DesiredCount: aws.Int32(1),
		DeploymentController: &types.DeploymentController{Type: types.DeploymentControllerTypeExternal}})
	out := must(s.t, s.c.CreateTaskSet, &ecs.CreateTaskSetInput{Cluster: &cluster, Service: &s.service, TaskDefinition: &definition})
	s.put("arn:aws:ecs:us-west-2:123456789012:task-set/MyCluster/MyService/ecs-svc/1234567890123456789", *out.TaskSet.TaskSetArn)
	s.put("MyCluster", cluster)
	s.put("MyService", s.service)
}

// protectable makes a service with a task that the example names.
func (s *stage) protectable() {
	cluster := s.served("MyService", "", 1)
	s.put("ECS-project-update-cluster", cluster)
	s.put("c43ed3b1331041f289316f958adb6a24", id(must(s.t, s.c.ListTasks, &ecs.ListTasksInput{Cluster: &cluster, ServiceName: &s.service}).TaskArns[0]))
}

// serves starts a task with a port and someone who started it.
func (s *stage) serves(cluster string) string {
	definition := s.define(s.t, func(in *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
		in.NetworkMode = types.NetworkModeBridge
		c.PortMappings = []types.PortMapping{{ContainerPort: aws.Int32(80)}}
	})
	out := must(s.t, s.c.RunTask, &ecs.RunTaskInput{Cluster: &cluster, TaskDefinition: &definition, StartedBy: aws.String("ecs-svc/1")})
	arn := *out.Tasks[0].TaskArn
	s.t.Cleanup(func() {
		_, _ = s.c.StopTask(context.Background(), &ecs.StopTaskInput{Cluster: &cluster, Task: &arn})
	})
	if err := runningWaiter(s.c).Wait(s.t.Context(), &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: []string{arn}}, stateWithin); err != nil {
		s.t.Fatal(err)
	}
	return arn
}

// provides makes a capacity provider with managed scaling and a tag.
func (s *stage) provides() string {
	name := fmt.Sprintf("a%x", time.Now().UnixNano())
	must(s.t, s.c.CreateCapacityProvider, &ecs.CreateCapacityProviderInput{
		Name: &name, Tags: []types.Tag{tag("environment", "production")},
		AutoScalingGroupProvider: &types.AutoScalingGroupProvider{
			AutoScalingGroupArn:          aws.String("arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:x:autoScalingGroupName/" + name + "-group"),
			ManagedScaling:               &types.ManagedScaling{Status: types.ManagedScalingStatusEnabled, TargetCapacity: aws.Int32(100)},
			ManagedTerminationProtection: types.ManagedTerminationProtectionEnabled,
		},
	})
	return name
}

// associated is a cluster with the given capacity providers, the first its default.
func (s *stage) associated(providers ...string) string {
	cluster := s.server.cluster(s.t)
	must(s.t, s.c.PutClusterCapacityProviders, &ecs.PutClusterCapacityProvidersInput{
		Cluster: &cluster, CapacityProviders: providers,
		DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{{CapacityProvider: &providers[0], Weight: 1}},
	})
	return cluster
}

const (
	oldInstance = "arn:aws:ecs:us-west-2:130757420319:container-instance/1c3be8ed-df30-47b4-8f1e-6e68ebd01f34"
	user        = "arn:aws:iam::123456789012:user/MyUser"
)

// inScope are the published examples that gantry answers, with what has to be there before.
var inScope = map[string]func(*stage){
	"create-cluster 1":    func(s *stage) { s.news() },
	"create-cluster 3":    func(s *stage) { s.news() },
	"delete-cluster 1":    func(s *stage) { s.has("MyCluster") },
	"describe-clusters 1": func(*stage) {},
	"list-clusters 1":     func(*stage) {},
	"update-cluster 1": func(s *stage) {
		s.news()
		s.put("ECS-project-update-cluster", s.cluster)
		must(s.t, s.c.CreateCluster, &ecs.CreateClusterInput{
			ClusterName: &s.cluster, CapacityProviders: []string{"FARGATE"},
			DefaultCapacityProviderStrategy: []types.CapacityProviderStrategyItem{{CapacityProvider: aws.String("FARGATE")}},
		})
	},
	"create-cluster 2": func(s *stage) {
		s.news()
		s.put("MyCapacityProvider1", s.provides())
		s.put("MyCapacityProvider2", s.provides())
	},
	"describe-clusters 2": func(s *stage) { s.put("sampleCluster", s.associated(s.provides())) },
	"create-capacity-provider 1": func(s *stage) {
		s.put("MyCapacityProvider", family(s.t))
		s.put("MyASG", family(s.t))
	},
	"capacity-provider-update 1": func(s *stage) {
		s.put("Infra-ECS-Cluster-ECS-project-update-cluster-d6bb6d5b-EC2CapacityProvider-3fIpdkLywwFt", s.provides())
	},
	"delete-capacity-provider 1": func(s *stage) { s.put("ExampleCapacityProvider", s.provides()) },
	"delete-capacity-provider 2": func(s *stage) { s.put("ExampleCapacityProvider", s.provides()) },
	// All providers: the first page has to show one that is not built in.
	"describe-capacity-providers 1": func(s *stage) { s.provides() },
	"describe-capacity-providers 2": func(s *stage) { s.put("MyCapacityProvider", s.provides()) },
	"put-cluster-capacity-providers 1": func(s *stage) {
		one := s.provides()
		s.put("MyCapacityProvider1", one)
		s.put("MyCapacityProvider2", s.provides())
		s.put("MyCluster", s.associated(one))
	},
	"put-cluster-capacity-providers 2": func(s *stage) {
		one := s.provides()
		s.put("MyCapacityProvider1", one)
		s.put("MyCluster", s.associated(one, s.provides()))
	},
	"put-cluster-capacity-providers 3": func(s *stage) { s.put("MyCluster", s.associated(s.provides())) },
	"update-cluster-settings 1":        func(s *stage) { s.has("MyCluster") },
	"tag-resource 1":                   func(s *stage) { s.has("MyCluster") },
	"tag-resource 2":                   func(s *stage) { s.has("MyCluster") },
	"untag-resource 1":                 func(s *stage) { s.has("MyCluster") },
	"list-tags-for-resource 1": func(s *stage) {
		s.has("MyCluster")
		must(s.t, s.c.TagResource, &ecs.TagResourceInput{ResourceArn: aws.String("arn:aws:ecs:us-east-1:123456789012:cluster/" + s.names[1]), Tags: []types.Tag{tag("key1", "value1")}})
	},

	"register-task-definition 1":   func(s *stage) { s.put("<path_to_json_file>/", "") },
	"register-task-definition 2":   func(*stage) {},
	"describe-task-definition 1":   func(s *stage) { s.put("hello_world:8", s.published("hello_world")) },
	"deregister-task-definition 1": func(s *stage) { s.put("curler:1", s.published("curler")) },
	"delete-task-definitions 1": func(s *stage) {
		name := s.published("curltest")
		s.put("curltest:1", name)
		must(s.t, s.c.DeregisterTaskDefinition, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: &name})
	},
	"list-task-definitions 1":         func(s *stage) { s.sleep() },
	"list-task-definitions 2":         func(s *stage) { name, _, _ := strings.Cut(s.sleep(), ":"); s.put("wordpress", name) },
	"list-task-definition-families 1": func(s *stage) { s.sleep() },
	"list-task-definition-families 2": func(s *stage) { name, _, _ := strings.Cut(s.sleep(), ":"); s.put("hpcc", name) },

	"run-task 1": func(s *stage) {
		provider := s.provides()
		cluster := s.associated(provider)
		s.enlist(s.t, cluster, provider)
		s.put("--cluster default", "--cluster "+cluster)
		s.put("sleep360:1", s.sleep())
		s.put("550e8400", fmt.Sprintf("%x", time.Now().UnixNano()))
	},
	"start-task 1": func(s *stage) {
		s.put("sleep360", s.sleep())
		s.put("765936fadbdd46b5991a4bd70c2a43d4", *s.machine(s.t, "default").ContainerInstanceArn)
	},
	"describe-tasks 1": func(s *stage) {
		cluster := s.server.cluster(s.t)
		arn := s.serves(cluster)
		s.put("arn:aws:ecs:us-east-1:123456789012:task/MyCluster/4d590253bb114126b7afa7b58EXAMPLE", arn)
		s.put("MyCluster", cluster)
	},
	"stop-task 1":  func(s *stage) { s.halt(s.t, "default", s.runs("default", "666fdccc2e2d4b6894dd422f4eeee8f8")) },
	"list-tasks 1": func(s *stage) { s.runs("default", "none") },
	"list-tasks 2": func(s *stage) {
		task := describeTask(s.t, s.c, "default", s.runs("default", "none"))
		s.put("a1b2c3d4-5678-90ab-cdef-33333EXAMPLE", *task.ContainerInstanceArn)
	},
	"wait/tasks-running 1": func(s *stage) {
		cluster := s.server.cluster(s.t)
		s.put("arn:aws:ecs:us-west-2:123456789012:task/a1b2c3d4-5678-90ab-cdef-44444EXAMPLE", s.launch(s.t, cluster, s.sleep()))
		s.put("MyCluster", cluster)
	},
	"wait/task-stopped 1": func(s *stage) {
		cluster := s.server.cluster(s.t)
		s.halt(s.t, cluster, s.runs(cluster, "2c196f0a00dd4f58b7c8897a5c7bce13"))
		s.put("MyCluster", cluster)
	},
	"wait/task-stopped 2": func(s *stage) {
		cluster := s.server.cluster(s.t)
		s.halt(s.t, cluster, s.runs(cluster, "2c196f0a00dd4f58b7c8897a5c7bce13"))
		s.halt(s.t, cluster, s.runs(cluster, "4d590253bb114126b7afa7b58EXAMPLE"))
		s.put("MyCluster", cluster)
	},

	"describe-container-instances 1": func(s *stage) {
		cluster := s.server.cluster(s.t)
		s.joined(cluster, "a1b2c3d4-5678-90ab-cdef-11111EXAMPLE", nil)
		s.put("--cluster update", "--cluster "+cluster)
	},
	"list-container-instances 1": func(s *stage) { s.has("MyCluster") },
	"deregister-container-instance 1": func(s *stage) {
		cluster := s.server.cluster(s.t)
		s.joined(cluster, "arn:aws:ecs:us-west-2:123456789012:container-instance/a1b2c3d4-5678-90ab-cdef-11111EXAMPLE", nil)
		s.put("MyCluster", cluster)
	},
	"update-container-instances-state 1": func(s *stage) { s.joined("default", "765936fadbdd46b5991a4bd70c2a43d4", nil) },
	"put-attributes 1":                   func(s *stage) { s.joined("default", oldInstance, nil) },
	"delete-attributes 1":                func(s *stage) { s.joined("default", oldInstance, map[string]string{"stack": "production"}) },
	"list-attributes 1":                  func(s *stage) { s.joined("default", "none", map[string]string{"stack": "production"}) },

	"create-service 2": func(s *stage) {
		s.has("MyCluster")
		s.put("sleep360:2", s.sleep())
	},
	"describe-services 1": func(s *stage) { s.served("my-http-service", "default", 1) },
	"list-services 1":     func(s *stage) { s.put("MyCluster", s.served("MyService", "", 0)) },
	"update-service 1": func(s *stage) {
		s.put("--cluster test", "--cluster "+s.served("my-http-service", "", 1))
		s.put("amazon-ecs-sample", s.sleep())
	},
	"delete-service 1": func(s *stage) { s.put("MyCluster", s.served("MyService1", "", 1)) },
	"list-service-deployments 1": func(s *stage) {
		s.put("example-cluster", s.served("example-service", "", 1))
	},
	"describe-service-deployments 1": func(s *stage) {
		cluster := s.served("example-service", "", 1)
		out := must(s.t, s.c.ListServiceDeployments, &ecs.ListServiceDeploymentsInput{Cluster: &cluster, Service: &s.service})
		s.put("arn:aws:ecs:us-east-1:123456789012:service-deployment/example-cluster/example-service/ejGvqq2ilnbKT9qj0vLJe", *out.ServiceDeployments[0].ServiceDeploymentArn)
	},
	"describe-service-revisions 1": func(s *stage) {
		cluster := s.served("example-service", "", 1)
		s.put("arn:aws:ecs:us-east-1:123456789012:service-revision/example-cluster/example-service/1485800978477494678",
			*describeService(s.t, s.c, cluster, s.service).CurrentServiceRevisions[0].Arn)
	},
	"wait/services-stable 1": func(s *stage) { s.put("MyCluster", s.served("MyService", "", 1)) },
	"wait/services-inactive 1": func(s *stage) {
		cluster := s.served("MyService", "", 1)
		s.put("MyCluster", cluster)
		must(s.t, s.c.DeleteService, &ecs.DeleteServiceInput{Cluster: &cluster, Service: &s.service, Force: aws.Bool(true)})
	},

	"create-service 3":                  func(s *stage) { s.has("MyCluster") },
	"describe-task-sets 1":              func(s *stage) { s.taskSet() },
	"update-task-set 1":                 func(s *stage) { s.taskSet() },
	"delete-task-set 1":                 func(s *stage) { s.taskSet() },
	"update-service-primary-task-set 1": func(s *stage) { s.taskSet() },
	"get-task-protection 1":             func(s *stage) { s.protectable() },
	"update-task-protection 1":          func(s *stage) { s.protectable() },
	"update-task-protection 2":          func(s *stage) { s.protectable() },

	"put-account-setting 1":         func(*stage) {},
	"put-account-settings 1":        func(*stage) {},
	"put-account-setting-default 1": func(*stage) {},
	"delete-account-setting 1":      func(*stage) {},
	"list-account-settings 1":       func(*stage) {},
	"list-account-settings 2": func(s *stage) {
		must(s.t, s.c.PutAccountSetting, &ecs.PutAccountSettingInput{Name: types.SettingNameServiceLongArnFormat, Value: aws.String("enabled"), PrincipalArn: aws.String(user)})
	},
}

// outOfScope are the other ones, each with what it waits for.
var outOfScope = map[string]string{
	"update-cluster 2": "Service Connect",
	"create-service 1": "Fargate", "create-service 4": "load balancers", "create-service 5": "EBS volumes",
	"update-service 2": "Fargate", "update-service 3": "EBS volumes", "update-service 4": "EBS volumes", "update-service 5": "Fargate", "list-services-by-namespace": "Service Connect",
	"create-task-set": "network mode awsvpc", "execute-command": "ECS Exec",
	"run-task 2": "EBS volumes", "start-task 2": "EBS volumes", "describe-tasks 2": "Fargate",
	"update-container-agent": "an agent is updated with gantry: the answer is always NoUpdateAvailableException",
}

// news is a cluster that the example creates.
func (s *stage) news() {
	s.put("MyCluster", s.cluster)
	s.t.Cleanup(func() {
		if _, err := s.c.DeleteCluster(context.Background(), &ecs.DeleteClusterInput{Cluster: &s.cluster}); err != nil {
			s.t.Error(err)
		}
	})
}

// published registers the definition that a published output shows.
func (s *stage) published(fam string) string {
	in := &ecs.RegisterTaskDefinitionInput{Family: aws.String(family(s.t)), ContainerDefinitions: []types.ContainerDefinition{
		{Name: aws.String("a"), Image: aws.String("x"), Cpu: 10, Memory: aws.Int32(500)},
	}}
	switch fam {
	case "hello_world":
		in.ContainerDefinitions[0].Links = []string{"b"}
		in.ContainerDefinitions[0].PortMappings = []types.PortMapping{{ContainerPort: aws.Int32(80), HostPort: aws.Int32(80)}}
		in.ContainerDefinitions = append(in.ContainerDefinitions, types.ContainerDefinition{
			Name: aws.String("b"), Image: aws.String("y"), Memory: aws.Int32(500), Environment: []types.KeyValuePair{{Name: aws.String("A"), Value: aws.String("1")}},
		})
	case "curler":
		in.ContainerDefinitions[0].EntryPoint, in.ContainerDefinitions[0].Command = []string{"curl"}, []string{"-v"}
	case "curltest":
		in.TaskRoleArn, in.ExecutionRoleArn = aws.String("arn:aws:iam::123456789012:role/r"), aws.String("arn:aws:iam::123456789012:role/r")
		in.NetworkMode, in.RequiresCompatibilities, in.Cpu, in.Memory = types.NetworkModeAwsvpc, []types.Compatibility{"FARGATE"}, aws.String("256"), aws.String("512")
		in.ContainerDefinitions[0].EntryPoint, in.ContainerDefinitions[0].Command = []string{"sh", "-c"}, []string{"true"}
		in.ContainerDefinitions[0].LogConfiguration = &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{
			"awslogs-create-group": "true", "awslogs-group": "/ecs/curltest", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "ecs"}}
	}
	return name(*must(s.t, s.c.RegisterTaskDefinition, in).TaskDefinition.TaskDefinitionArn)
}

// TestPublishedExamples runs the commands that AWS publishes with its CLI, and holds
// the shape of their outputs against those published: every member that AWS shows
// is answered, with its type. Members that AWS does not show the CLI prints only
// where its model has them.
func TestPublishedExamples(t *testing.T) {
	t.Parallel()
	all, version := publishedExamples(t)
	gantry(t)
	known := knownDifferences(t)
	var mu sync.Mutex
	t.Run("all", func(t *testing.T) {
		for _, e := range all {
			prepare, ok := inScope[e.name]
			if !ok {
				file, _, _ := strings.Cut(e.name, " ")
				if outOfScope[e.name] == "" && outOfScope[file] == "" && version == examplesVersion {
					t.Errorf("%s is neither in scope nor out of it: %s", e.name, e.command)
				}
				continue
			}
			t.Run(e.name, func(t *testing.T) {
				t.Parallel()
				missing := runPublished(t, e, prepare)
				mu.Lock()
				defer mu.Unlock()
				for _, path := range missing {
					if d, ok := covers(known, e.name, path); ok {
						known[d] = true
					} else {
						t.Errorf("%s is published and not answered", path)
					}
				}
			})
		}
	})
	if version == examplesVersion && !t.Failed() && !filtered() {
		for d, seen := range known {
			if !seen {
				t.Errorf("docs/differences.md names %s of %s, which is no difference any more", d.member, d.example)
			}
		}
	}
}

// runPublished prepares and runs an example, and returns the members that are
// published and were not answered.
func runPublished(t *testing.T, e published, prepare func(*stage)) []string {
	t.Helper()
	s := &stage{server: gantry(t), t: t, c: gantry(t).sdk(), cluster: family(t)}
	prepare(s)
	s.put("us-west-2:123456789012", "us-east-1:123456789012")
	real := strings.NewReplacer(s.names...)
	dir := t.TempDir()
	for file, text := range e.files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(real.Replace(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := s.shell(t, dir, real.Replace(e.command))
	if e.output == "" {
		if out != "" && !strings.HasPrefix(e.name, "register-task-definition") && !strings.HasPrefix(e.name, "delete-service") {
			t.Errorf("no output is published, but:\n%s", out)
		}
		return nil
	}
	want, err := shapeOf(mended(e.output))
	if err != nil {
		t.Fatalf("the published output is not JSON: %v", err)
	}
	got, err := shapeOf(out)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	return want.lacks(got)
}

// shell runs a command line of the aws CLI as a person would.
func (s *server) shell(t *testing.T, dir, line string) string {
	t.Helper()
	program, err := awsProgram()
	if err != nil {
		t.Skipf("no aws CLI: build/setup.sh aws2: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `aws() { "$AWS" "$@"; }; `+line+" --output json")
	cmd.Env, cmd.Dir = append(slices.Clone(s.env), "AWS="+program), dir
	out, err := cmd.Output()
	if err != nil {
		why := ""
		if exit, ok := err.(*exec.ExitError); ok {
			why = strings.TrimSpace(string(exit.Stderr))
		}
		t.Fatalf("%s: %v: %s", line, err, why)
	}
	return strings.TrimSpace(string(out))
}

// covers finds the known difference that a member belongs to.
func covers(known map[difference]bool, example, path string) (difference, bool) {
	for d := range known {
		if d.example == example && (path == d.member || strings.HasPrefix(path, d.member+".") || strings.HasPrefix(path, d.member+"[]")) {
			return d, true
		}
	}
	return difference{}, false
}

// filtered reports whether only some of the tests were asked for.
func filtered() bool {
	for _, arg := range os.Args {
		if strings.HasPrefix(arg, "-test.run=") && strings.Contains(arg, "/") {
			return true
		}
	}
	return false
}
