package ecs

import (
	"strings"
	"testing"

	"gantry/internal/wire/ecsapi"
)

// TestRefusals: bad requests with the exact exception and message. A message
// that ends in "…" is compared up to there.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	must(w, w.ops.CreateCluster, &ecsapi.CreateClusterInput{
		ClusterName: new("fargate"), CapacityProviders: []string{"FARGATE"},
		DefaultCapacityProviderStrategy: []ecsapi.CapacityProviderStrategyItem{{CapacityProvider: new("FARGATE")}},
	})
	w.provide("a")
	w.provide("b")
	w.associate("two", []string{"a", "b"})
	w.define("web", 256, 128)
	w.define("awsvpc", 256, 128, func(in *ecsapi.RegisterTaskDefinitionInput) { in.NetworkMode = ecsapi.NetworkModeAwsvpc })
	w.define("old", 1, 16)
	must(w, w.ops.DeregisterTaskDefinition, &ecsapi.DeregisterTaskDefinitionInput{TaskDefinition: new("old:1")})
	instance := string(w.join("prod", 1024, 512))
	task := *w.run("prod", "web", 1)[0].TaskArn
	many := make([]string, 101)
	tags := func(kv ...string) (out []ecsapi.Tag) {
		for i := 0; i < len(kv); i += 2 {
			out = append(out, ecsapi.Tag{Key: new(kv[i]), Value: new(kv[i+1])})
		}
		return out
	}
	run := func(change func(*ecsapi.RunTaskInput)) func() error {
		return func() error {
			in := &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web")}
			change(in)
			_, err := do(w, w.ops.RunTask, in)
			return err
		}
	}
	for _, tt := range []struct {
		name string
		call func() error
		want string
	}{
		// Clusters.
		{"name of a cluster", call(w, w.ops.CreateCluster, &ecsapi.CreateClusterInput{ClusterName: new("a b")}),
			"InvalidParameterException: Cluster name a b is invalid: up to 255 letters, digits, hyphens and underscores are allowed."},
		{"unknown provider", call(w, w.ops.CreateCluster, &ecsapi.CreateClusterInput{CapacityProviders: []string{"asg"}}),
			"InvalidParameterException: The specified capacity provider 'asg' was not found."},
		{"strategy of a stranger", call(w, w.ops.CreateCluster, &ecsapi.CreateClusterInput{DefaultCapacityProviderStrategy: []ecsapi.CapacityProviderStrategyItem{{CapacityProvider: new("FARGATE")}}}),
			"InvalidParameterException: The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again: 'FARGATE'."},
		{"setting of a cluster", call(w, w.ops.UpdateClusterSettings, &ecsapi.UpdateClusterSettingsInput{Cluster: new("prod"), Settings: []ecsapi.ClusterSetting{{Name: "containerInsights", Value: new("maybe")}}}),
			"InvalidParameterException: Invalid value for cluster setting containerInsights: maybe. Valid values are: enabled, disabled, enhanced."},
		{"delete an unknown cluster", call(w, w.ops.DeleteCluster, &ecsapi.DeleteClusterInput{Cluster: new("nope")}), "ClusterNotFoundException: Cluster not found."},
		{"delete with instances", call(w, w.ops.DeleteCluster, &ecsapi.DeleteClusterInput{Cluster: new("prod")}),
			"ClusterContainsContainerInstancesException: The Cluster cannot be deleted while Container Instances are active or draining."},
		{"another region", call(w, w.ops.DescribeClusters, &ecsapi.DescribeClustersInput{Clusters: []string{"arn:aws:ecs:eu-west-1:123456789012:cluster/prod"}}),
			"InvalidParameterException: Identifier is for region eu-west-1. Your region is us-east-1"},
		{"another account", call(w, w.ops.DescribeClusters, &ecsapi.DescribeClustersInput{Clusters: []string{"arn:aws:ecs:us-east-1:999999999999:cluster/prod"}}),
			"InvalidParameterException: Identifier is for account 999999999999. Your accountId is 123456789012"},
		{"another kind of ARN", call(w, w.ops.ListTasks, &ecsapi.ListTasksInput{Cluster: new(task)}),
			"InvalidParameterException: Invalid identifier: " + task + " is the ARN of a task; the ARN of a cluster is expected."},
		{"not an ARN", call(w, w.ops.ListTasks, &ecsapi.ListTasksInput{Cluster: new("arn:aws:ecs")}),
			"InvalidParameterException: Invalid identifier: arn:aws:ecs is not an ARN of Amazon ECS."},

		// Task definitions.
		{"describe nothing", call(w, w.ops.DescribeTaskDefinition, &ecsapi.DescribeTaskDefinitionInput{TaskDefinition: new("nope")}), "ClientException: Unable to describe task definition."},
		{"describe a revision that never was", call(w, w.ops.DescribeTaskDefinition, &ecsapi.DescribeTaskDefinitionInput{TaskDefinition: new("web:9")}), "ClientException: Unable to describe task definition."},
		{"describe a family without ACTIVE revisions", call(w, w.ops.DescribeTaskDefinition, &ecsapi.DescribeTaskDefinitionInput{TaskDefinition: new("old")}), "ClientException: Unable to describe task definition."},
		{"revision that is no number", call(w, w.ops.DescribeTaskDefinition, &ecsapi.DescribeTaskDefinitionInput{TaskDefinition: new("web:latest")}), "ClientException: Invalid revision number. Number: latest"},
		{"deregister a family", call(w, w.ops.DeregisterTaskDefinition, &ecsapi.DeregisterTaskDefinitionInput{TaskDefinition: new("web")}), "ClientException: Revision is missing."},
		{"delete none", call(w, w.ops.DeleteTaskDefinitions, &ecsapi.DeleteTaskDefinitionsInput{TaskDefinitions: []string{}}), "InvalidParameterException: TaskDefinitions cannot be empty."},
		{"reserved tag", call(w, w.ops.TagResource, &ecsapi.TagResourceInput{ResourceArn: new(task), Tags: tags("aws:x", "y")}), "InvalidParameterException: Tag keys with the prefix aws: are reserved: aws:x."},
		{"tag twice", call(w, w.ops.TagResource, &ecsapi.TagResourceInput{ResourceArn: new(task), Tags: tags("a", "1", "a", "2")}), "InvalidParameterException: Duplicate tag key: a."},
		{"misspelt tag of gantry", call(w, w.ops.TagResource, &ecsapi.TagResourceInput{ResourceArn: new("arn:aws:ecs:us-east-1:123456789012:cluster/prod"), Tags: tags("gantry:queue", "1m")}), "InvalidParameterException: The tag gantry:queue is for a task, and means nothing on a cluster."},
		{"tag with a hash", call(w, w.ops.TagResource, &ecsapi.TagResourceInput{ResourceArn: new(task), Tags: tags("a#", "1")}), "InvalidParameterException: Tag a# has invalid characters. Letters, numbers, spaces and _ . : / = + - @ are allowed."},

		// RunTask.
		{"no definition", call(w, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("prod")}), "InvalidParameterException: taskDefinition is required: a string."},
		{"unknown cluster", run(func(in *ecsapi.RunTaskInput) { in.Cluster = new("nope") }), "ClusterNotFoundException: Cluster not found."},
		{"unknown definition", run(func(in *ecsapi.RunTaskInput) { in.TaskDefinition = new("nope") }), "ClientException: TaskDefinition not found."},
		{"inactive definition", run(func(in *ecsapi.RunTaskInput) { in.TaskDefinition = new("old:1") }), "ClientException: TaskDefinition is inactive"},
		{"eleven tasks", run(func(in *ecsapi.RunTaskInput) { in.Count = new(int32(11)) }), "InvalidParameterException: count …"},
		{"no task", run(func(in *ecsapi.RunTaskInput) { in.Count = new(int32(0)) }), "InvalidParameterException: count …"},
		{"fargate", run(func(in *ecsapi.RunTaskInput) { in.LaunchType = ecsapi.LaunchTypeFargate }), "UnsupportedFeatureException: The launchType FARGATE is not offered by gantry yet: use EC2 or EXTERNAL."},
		{"launch type that is none", run(func(in *ecsapi.RunTaskInput) { in.LaunchType = "MOON" }), "InvalidParameterException: Invalid value for launchType: MOON. Valid values are: EC2, FARGATE, EXTERNAL, MANAGED_INSTANCES."},
		{"strategy of a provider that is not the cluster's", run(func(in *ecsapi.RunTaskInput) { in.CapacityProviderStrategy = items("FARGATE") }),
			"InvalidParameterException: The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again: 'FARGATE'."},
		{"strategy of Fargate", run(func(in *ecsapi.RunTaskInput) {
			in.Cluster, in.CapacityProviderStrategy = new("fargate"), items("FARGATE 1")
		}),
			"UnsupportedFeatureException: Tasks of the capacity provider FARGATE are not offered by gantry yet: use one of an Auto Scaling group, or the launchType EC2 or EXTERNAL."},
		{"strategy without weight", run(func(in *ecsapi.RunTaskInput) {
			in.Cluster, in.CapacityProviderStrategy = new("two"), items("a", "b 0+1")
		}),
			"InvalidParameterException: At least one capacity provider in the capacity provider strategy must have a weight that is greater than zero."},
		{"misspelt tag", run(func(in *ecsapi.RunTaskInput) { in.Tags = tags("gantry:retry", "3") }),
			"InvalidParameterException: The tag gantry:retry is not one of gantry's. On a task there may be: gantry:queue, gantry:retries."},
		{"invalid tag", run(func(in *ecsapi.RunTaskInput) { in.Tags = tags("gantry:queue", "later") }),
			`InvalidParameterException: The tag gantry:queue is invalid: "later" is no time to wait. It is from 1s to 168h, such as 90s, 30m or 1h30m.`},
		{"StartTask that waits", call(w, w.ops.StartTask, &ecsapi.StartTaskInput{Cluster: new("prod"), TaskDefinition: new("web"), ContainerInstances: []string{instance}, Tags: tags("gantry:queue", "1m")}),
			"InvalidParameterException: The tags gantry:queue and gantry:retries are for RunTask: StartTask goes past the scheduler, which would act on them."},
		{"the cluster's default strategy", run(func(in *ecsapi.RunTaskInput) { in.Cluster = new("fargate") }),
			"UnsupportedFeatureException: Tasks of the capacity provider FARGATE are not offered by gantry yet: use one of an Auto Scaling group, or the launchType EC2 or EXTERNAL."},
		{"both", run(func(in *ecsapi.RunTaskInput) {
			in.LaunchType, in.CapacityProviderStrategy = ecsapi.LaunchTypeEc2, []ecsapi.CapacityProviderStrategyItem{{CapacityProvider: new("FARGATE")}}
		}), "InvalidParameterException: Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again."},
		{"exec", run(func(in *ecsapi.RunTaskInput) { in.EnableExecuteCommand = new(true) }),
			"UnsupportedFeatureException: enableExecuteCommand asks for ECS Exec, which gantry does not offer yet: run the task without it."},
		{"awsvpc", run(func(in *ecsapi.RunTaskInput) { in.TaskDefinition = new("awsvpc") }), "UnsupportedFeatureException: Task definition awsvpc:1 uses networkMode awsvpc, which gantry does not offer yet."},
		{"network configuration", run(func(in *ecsapi.RunTaskInput) {
			in.NetworkConfiguration = &ecsapi.NetworkConfiguration{AwsvpcConfiguration: &ecsapi.AwsVpcConfiguration{Subnets: []string{"s"}}}
		}), "InvalidParameterException: Network Configuration is not valid for the given networkMode of this task definition."},
		{"group of a service", run(func(in *ecsapi.RunTaskInput) { in.Group = new("service:web") }), "InvalidParameterException: Group name with prefix 'service:' is reserved for the tasks of services."},
		{"long startedBy", run(func(in *ecsapi.RunTaskInput) { in.StartedBy = new(strings.Repeat("x", 129)) }), "InvalidParameterException: startedBy has 129 characters; …"},
		{"override of nobody", run(func(in *ecsapi.RunTaskInput) {
			in.Overrides = &ecsapi.TaskOverride{ContainerOverrides: []ecsapi.ContainerOverride{{Name: new("db")}}}
		}), "InvalidParameterException: Override for container named db is not a container in the TaskDefinition."},
		{"overrides too long", run(func(in *ecsapi.RunTaskInput) {
			in.Overrides = &ecsapi.TaskOverride{ContainerOverrides: []ecsapi.ContainerOverride{{Name: new("web"), Command: []string{strings.Repeat("x", 8192)}}}}
		}), "InvalidParameterException: The overrides have 8246 characters of JSON; at most 8192 are allowed."},
		{"override of the size", run(func(in *ecsapi.RunTaskInput) { in.Overrides = &ecsapi.TaskOverride{Cpu: new("lots")} }), "ClientException: Invalid 'cpu' setting for task."},
		{"role by override", run(func(in *ecsapi.RunTaskInput) {
			in.Overrides = &ecsapi.TaskOverride{TaskRoleArn: new("arn:aws:iam::1:role/r")}
		}),
			"UnsupportedFeatureException: Task definition web:1 uses taskRoleArn (the containers would run without the role's credentials), which gantry does not offer yet."},
		{"constraint that cannot be read", run(func(in *ecsapi.RunTaskInput) {
			in.PlacementConstraints = []ecsapi.PlacementConstraint{{Type: ecsapi.PlacementConstraintTypeMemberOf, Expression: new("attribute:a in []")}}
		}), "InvalidParameterException: Invalid cluster query expression …"},
		{"strategy that is none", run(func(in *ecsapi.RunTaskInput) {
			in.PlacementStrategy = []ecsapi.PlacementStrategy{{Type: ecsapi.PlacementStrategyTypeBinpack, Field: new("disk")}}
		}), "InvalidParameterException: binpack field 'disk' is invalid: it is cpu or memory."},
		{"tags of a service", run(func(in *ecsapi.RunTaskInput) { in.PropagateTags = ecsapi.PropagateTagsService }), "InvalidParameterException: propagateTags SERVICE is for the tasks of services; use TASK_DEFINITION or NONE."},
		{"token with a space", run(func(in *ecsapi.RunTaskInput) { in.ClientToken = new("a b") }), "InvalidParameterException: clientToken contains invalid characters."},
		{"token too long", run(func(in *ecsapi.RunTaskInput) { in.ClientToken = new(strings.Repeat("x", 65)) }), "InvalidParameterException: clientToken has 65 characters; at most 64 are allowed."},

		// Other operations on tasks.
		{"start nowhere", call(w, w.ops.StartTask, &ecsapi.StartTaskInput{Cluster: new("prod"), TaskDefinition: new("web"), ContainerInstances: []string{}}), "InvalidParameterException: ContainerInstances cannot be empty."},
		{"stop nobody", call(w, w.ops.StopTask, &ecsapi.StopTaskInput{Cluster: new("prod"), Task: new("nope")}), "InvalidParameterException: The referenced task was not found."},
		{"describe no task", call(w, w.ops.DescribeTasks, &ecsapi.DescribeTasksInput{Cluster: new("prod"), Tasks: []string{}}), "InvalidParameterException: Tasks cannot be empty."},
		{"describe too many", call(w, w.ops.DescribeTasks, &ecsapi.DescribeTasksInput{Cluster: new("prod"), Tasks: many}), "InvalidParameterException: tasks has 101 items; 1 to 100 are allowed."},
		{"task of another cluster", call(w, w.ops.DescribeTasks, &ecsapi.DescribeTasksInput{Cluster: new("prod"), Tasks: []string{"arn:aws:ecs:us-east-1:123456789012:task/test/1"}}),
			"InvalidParameterException: Identifier is for cluster test. Your cluster is prod"},
		{"list by startedBy and family", call(w, w.ops.ListTasks, &ecsapi.ListTasksInput{Cluster: new("prod"), StartedBy: new("me"), Family: new("web")}), "InvalidParameterException: When startedBy is used it must be the only filter."},
		{"list a service's", call(w, w.ops.ListTasks, &ecsapi.ListTasksInput{Cluster: new("prod"), ServiceName: new("nope")}), "ServiceNotFoundException: Service not found."},
		{"token of no list", call(w, w.ops.ListTasks, &ecsapi.ListTasksInput{Cluster: new("prod"), NextToken: new("bm9wZQ")}), "InvalidParameterException: Invalid token."},
		{"token that is no token", call(w, w.ops.ListClusters, &ecsapi.ListClustersInput{NextToken: new("%%")}), "InvalidParameterException: Invalid token."},
		{"page too large", call(w, w.ops.ListTasks, &ecsapi.ListTasksInput{Cluster: new("prod"), MaxResults: new(int32(101))}), "InvalidParameterException: maxResults …"},
		{"report nonsense", call(w, w.ops.SubmitTaskStateChange, &ecsapi.SubmitTaskStateChangeInput{Cluster: new("prod"), Task: new(task), Status: new("FLYING")}),
			"InvalidParameterException: Invalid status: FLYING. Valid values are: PENDING, RUNNING, STOPPED."},

		// Container instances.
		{"register in no cluster", call(w, w.ops.RegisterContainerInstance, &ecsapi.RegisterContainerInstanceInput{Cluster: new("nope")}), "ClusterNotFoundException: Cluster not found."},
		{"register with a port that is none", call(w, w.ops.RegisterContainerInstance, &ecsapi.RegisterContainerInstanceInput{Cluster: new("prod"), TotalResources: []ecsapi.Resource{{Name: new("PORTS"), StringSetValue: []string{"ssh"}}}}),
			"InvalidParameterException: ssh is not a port: a number from 1 to 65535 is expected."},
		{"register with an endless attribute", call(w, w.ops.RegisterContainerInstance, &ecsapi.RegisterContainerInstanceInput{Cluster: new("prod"), Attributes: []ecsapi.Attribute{{Name: new("a"), Value: new(strings.Repeat("x", 2048))}}}),
			"InvalidParameterException: The attribute a has 2049 characters with its value; at most 2048 are allowed."},
		{"register with an endless token", call(w, w.ops.RegisterContainerInstance, &ecsapi.RegisterContainerInstanceInput{Cluster: new("prod"), ClientToken: new(strings.Repeat("x", 2049))}),
			"InvalidParameterException: clientToken has 2049 characters; at most 2048 are allowed."},
		{"register again as nobody", call(w, w.ops.RegisterContainerInstance, &ecsapi.RegisterContainerInstanceInput{Cluster: new("prod"), ContainerInstanceArn: new("0123")}),
			"ClientException: Container instance 0123 is not registered in cluster prod."},
		{"deregister with tasks", call(w, w.ops.DeregisterContainerInstance, &ecsapi.DeregisterContainerInstanceInput{Cluster: new("prod"), ContainerInstance: new(instance)}),
			"InvalidParameterException: Found running tasks on the instance."},
		{"deregister nobody", call(w, w.ops.DeregisterContainerInstance, &ecsapi.DeregisterContainerInstanceInput{Cluster: new("prod"), ContainerInstance: new("nope")}),
			"InvalidParameterException: The referenced container instance was not found."},
		{"describe no instance", call(w, w.ops.DescribeContainerInstances, &ecsapi.DescribeContainerInstancesInput{Cluster: new("prod"), ContainerInstances: []string{}}), "InvalidParameterException: ContainerInstances cannot be empty."},
		{"filter that cannot be read", call(w, w.ops.ListContainerInstances, &ecsapi.ListContainerInstancesInput{Cluster: new("prod"), Filter: new("foo == 1")}), "InvalidParameterException: Invalid cluster query expression …"},
		{"state that is none", call(w, w.ops.UpdateContainerInstancesState, &ecsapi.UpdateContainerInstancesStateInput{Cluster: new("prod"), ContainerInstances: []string{instance}, Status: ecsapi.ContainerInstanceStatusRegistering}),
			"InvalidParameterException: Container instance status should be one of [ACTIVE,DRAINING]"},
		{"state of another kind", call(w, w.ops.UpdateContainerInstancesState, &ecsapi.UpdateContainerInstancesStateInput{Cluster: new("prod"), ContainerInstances: []string{instance}, Status: "RUNNING"}),
			"InvalidParameterException: Container instance status should be one of [ACTIVE,DRAINING]"},
		{"no state", call(w, w.ops.UpdateContainerInstancesState, &ecsapi.UpdateContainerInstancesStateInput{Cluster: new("prod"), ContainerInstances: []string{instance}}),
			"InvalidParameterException: Container instance status should be one of [ACTIVE,DRAINING]"},
		{"agent update", call(w, w.ops.UpdateContainerAgent, &ecsapi.UpdateContainerAgentInput{Cluster: new("prod"), ContainerInstance: new(instance)}),
			"NoUpdateAvailableException: There is no update available for this container agent."},

		// Attributes, tags, settings.
		{"attribute of ECS", call(w, w.ops.PutAttributes, &ecsapi.PutAttributesInput{Cluster: new("prod"), Attributes: []ecsapi.Attribute{{Name: new("ecs.os-type"), TargetId: new(instance), TargetType: ecsapi.TargetTypeContainerInstance}}}),
			"InvalidParameterException: The attribute ecs.os-type is reserved for Amazon ECS and cannot be changed."},
		{"attribute with a star", call(w, w.ops.PutAttributes, &ecsapi.PutAttributesInput{Cluster: new("prod"), Attributes: []ecsapi.Attribute{{Name: new("a*"), TargetId: new(instance), TargetType: ecsapi.TargetTypeContainerInstance}}}),
			`InvalidParameterException: The attribute name a* is invalid: 1 to 128 letters, digits and - _ . / \ are allowed.`},
		{"attribute of nobody", call(w, w.ops.PutAttributes, &ecsapi.PutAttributesInput{Cluster: new("prod"), Attributes: []ecsapi.Attribute{{Name: new("a"), TargetId: new("nope"), TargetType: ecsapi.TargetTypeContainerInstance}}}),
			"TargetNotFoundException: The container instance nope was not found."},
		{"attribute value without name", call(w, w.ops.ListAttributes, &ecsapi.ListAttributesInput{Cluster: new("prod"), TargetType: ecsapi.TargetTypeContainerInstance, AttributeValue: new("x")}),
			"InvalidParameterException: attributeValue needs an attributeName."},
		{"tags of nothing", call(w, w.ops.ListTagsForResource, &ecsapi.ListTagsForResourceInput{ResourceArn: new("arn:aws:ecs:us-east-1:123456789012:task/prod/nope")}),
			"ResourceNotFoundException: The specified resource was not found: arn:aws:ecs:us-east-1:123456789012:task/prod/nope."},
		{"tags of no ARN", call(w, w.ops.ListTagsForResource, &ecsapi.ListTagsForResourceInput{ResourceArn: new("prod")}), "InvalidParameterException: The specified resource ARN is invalid: prod."},
		{"tags of a service", call(w, w.ops.ListTagsForResource, &ecsapi.ListTagsForResourceInput{ResourceArn: new("arn:aws:ecs:us-east-1:123456789012:service/prod/web")}),
			"ResourceNotFoundException: The specified resource was not found: arn:aws:ecs:us-east-1:123456789012:service/prod/web."},
		{"setting that is none", call(w, w.ops.PutAccountSetting, &ecsapi.PutAccountSettingInput{Name: "darkMode", Value: new("enabled")}), "InvalidParameterException: Invalid value for name: darkMode. …"},
		{"value that is none", call(w, w.ops.PutAccountSettingDefault, &ecsapi.PutAccountSettingDefaultInput{Name: ecsapi.SettingNameContainerInsights, Value: new("maybe")}),
			"InvalidParameterException: Invalid value for setting containerInsights: maybe. Valid values are: enabled, disabled, enhanced."},
		{"the short ARN format", call(w, w.ops.PutAccountSetting, &ecsapi.PutAccountSettingInput{Name: ecsapi.SettingNameTaskLongArnFormat, Value: new("disabled")}),
			"InvalidParameterException: You can no longer disable Long Arn settings."},
		{"setting of nobody", call(w, w.ops.PutAccountSetting, &ecsapi.PutAccountSettingInput{Name: ecsapi.SettingNameContainerInsights, Value: new("enabled"), PrincipalArn: new("me")}),
			"InvalidParameterException: The principal ARN is invalid: me."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			w.wantRefusal(tt.call(), tt.want)
		})
	}
}

// TestNoInstances: a cluster without container instances of the launch type.
func TestNoInstances(t *testing.T) {
	w := newWorld(t)
	w.makeCluster("prod")
	w.define("web", 256, 128)
	run := call(w, w.ops.RunTask, &ecsapi.RunTaskInput{Cluster: new("prod"), TaskDefinition: new("web")})
	w.wantRefusal(run(), "InvalidParameterException: No Container Instances were found in your cluster.")
	w.join("prod", 1024, 512, ecsapi.Attribute{Name: new("ecs.capability.external")})
	w.wantRefusal(run(), "InvalidParameterException: No Container Instances were found in your cluster. It has container instances of launch type EXTERNAL, and the task asks for EC2.")
}
