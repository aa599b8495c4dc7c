package ecs

import (
	"strings"
	"testing"

	"gantry/internal/wire/ecsapi"
)

// TestServiceRefusals: bad requests about services, with the exact exception and message.
func TestServiceRefusals(t *testing.T) {
	w := serving(t)
	w.define("awsvpc", 256, 128, func(in *ecsapi.RegisterTaskDefinitionInput) { in.NetworkMode = ecsapi.NetworkModeAwsvpc })
	w.define("old", 1, 16)
	must(w, w.ops.DeregisterTaskDefinition, &ecsapi.DeregisterTaskDefinitionInput{TaskDefinition: new("old:1")})
	must(w, w.ops.CreateCluster, &ecsapi.CreateClusterInput{
		ClusterName: new("fargate"), CapacityProviders: []string{"FARGATE"},
		DefaultCapacityProviderStrategy: []ecsapi.CapacityProviderStrategyItem{{CapacityProvider: new("FARGATE")}},
	})
	w.serve("prod", "daemon", "web", func(in *ecsapi.CreateServiceInput) {
		in.SchedulingStrategy, in.DesiredCount = ecsapi.SchedulingStrategyDaemon, nil
	})
	w.serve("prod", "gone", "web")
	must(w, w.ops.DeleteService, &ecsapi.DeleteServiceInput{Cluster: new("prod"), Service: new("gone"), Force: new(true)})

	type configuration = ecsapi.DeploymentConfiguration
	create := func(change func(*ecsapi.CreateServiceInput)) func() error {
		in := &ecsapi.CreateServiceInput{Cluster: new("prod"), ServiceName: new("new"), TaskDefinition: new("web"), DesiredCount: new(int32(1))}
		change(in)
		return call(w, w.ops.CreateService, in)
	}
	configured := func(c *configuration) func() error {
		return create(func(in *ecsapi.CreateServiceInput) { in.DeploymentConfiguration = c })
	}
	daemon := func(change func(*ecsapi.CreateServiceInput)) func() error {
		return create(func(in *ecsapi.CreateServiceInput) {
			in.SchedulingStrategy, in.DesiredCount = ecsapi.SchedulingStrategyDaemon, nil
			change(in)
		})
	}
	update := func(change func(*ecsapi.UpdateServiceInput)) func() error {
		in := &ecsapi.UpdateServiceInput{Cluster: new("prod"), Service: new("web")}
		change(in)
		return call(w, w.ops.UpdateService, in)
	}
	tagged := func(key, value string) func() error {
		return create(func(in *ecsapi.CreateServiceInput) { in.Tags = []ecsapi.Tag{{Key: &key, Value: &value}} })
	}
	hooks := func(h ecsapi.DeploymentLifecycleHook) func() error {
		return configured(&configuration{Strategy: ecsapi.DeploymentStrategyBlueGreen, LifecycleHooks: []ecsapi.DeploymentLifecycleHook{h}})
	}
	at := func(stages ...ecsapi.DeploymentLifecycleHookStage) []ecsapi.DeploymentLifecycleHookStage {
		return stages
	}
	const pause = ecsapi.DeploymentLifecycleHookTargetTypePause
	network := &ecsapi.NetworkConfiguration{AwsvpcConfiguration: &ecsapi.AwsVpcConfiguration{Subnets: []string{"s"}}}
	const noDeployment = "arn:aws:ecs:us-east-1:123456789012:service-deployment/prod/web/nope"

	for _, tt := range []struct {
		name string
		call func() error
		want string
	}{
		// Names and references.
		{"no name", call(w, w.ops.CreateService, &ecsapi.CreateServiceInput{}), "InvalidParameterException: serviceName is required: a string."},
		{"name with a space", create(func(in *ecsapi.CreateServiceInput) { in.ServiceName = new("a b") }), "InvalidParameterException: Service name a b is invalid: up to 255 letters, digits, hyphens and underscores are allowed."},
		{"create in an unknown cluster", create(func(in *ecsapi.CreateServiceInput) { in.Cluster = new("nope") }), "ClusterNotFoundException: Cluster not found."},
		{"update in an unknown cluster", update(func(in *ecsapi.UpdateServiceInput) { in.Cluster = new("nope") }), "ClusterNotFoundException: Cluster not found."},
		{"delete in an unknown cluster", call(w, w.ops.DeleteService, &ecsapi.DeleteServiceInput{Cluster: new("nope"), Service: new("web")}), "ClusterNotFoundException: Cluster not found."},
		{"describe in an unknown cluster", call(w, w.ops.DescribeServices, &ecsapi.DescribeServicesInput{Cluster: new("nope"), Services: []string{"web"}}), "ClusterNotFoundException: Cluster not found."},
		{"list in an unknown cluster", call(w, w.ops.ListServices, &ecsapi.ListServicesInput{Cluster: new("nope")}), "ClusterNotFoundException: Cluster not found."},
		{"there already", create(func(in *ecsapi.CreateServiceInput) { in.ServiceName = new("web") }), "InvalidParameterException: Creation of service was not idempotent."},
		{"still draining", create(func(in *ecsapi.CreateServiceInput) { in.ServiceName = new("gone") }), "InvalidParameterException: Unable to Start a service that is still Draining."},
		{"update what is not there", update(func(in *ecsapi.UpdateServiceInput) { in.Service = new("nope") }), "ServiceNotFoundException: Service not found."},
		{"update what is draining", update(func(in *ecsapi.UpdateServiceInput) { in.Service = new("gone") }), "ServiceNotActiveException: Service was not ACTIVE."},
		{"delete what is not there", call(w, w.ops.DeleteService, &ecsapi.DeleteServiceInput{Cluster: new("prod"), Service: new("nope")}), "ServiceNotFoundException: Service not found."},
		{"delete what runs", call(w, w.ops.DeleteService, &ecsapi.DeleteServiceInput{Cluster: new("prod"), Service: new("web")}), "InvalidParameterException: The service cannot be stopped while it is scaled above 0."},
		{"describe nothing", call(w, w.ops.DescribeServices, &ecsapi.DescribeServicesInput{Cluster: new("prod"), Services: []string{}}), "InvalidParameterException: Services cannot be empty."},
		{"describe eleven", call(w, w.ops.DescribeServices, &ecsapi.DescribeServicesInput{Cluster: new("prod"), Services: strings.Split("a b c d e f g h i j k", " ")}), "InvalidParameterException: services has 11 items; 1 to 10 are allowed."},
		{"a service of another cluster", call(w, w.ops.DescribeServices, &ecsapi.DescribeServicesInput{Cluster: new("prod"), Services: []string{"arn:aws:ecs:us-east-1:123456789012:service/test/web"}}),
			"InvalidParameterException: Identifier is for cluster test. Your cluster is prod"},
		{"a token of another list", call(w, w.ops.ListServices, &ecsapi.ListServicesInput{Cluster: new("prod"), NextToken: new("abc")}), "InvalidParameterException: Invalid token."},
		{"tasks of a service that is not there", call(w, w.ops.ListTasks, &ecsapi.ListTasksInput{Cluster: new("prod"), ServiceName: new("nope")}), "ServiceNotFoundException: Service not found."},
		{"an unknown namespace", call(w, w.ops.ListServicesByNamespace, &ecsapi.ListServicesByNamespaceInput{Namespace: new("n")}), "NamespaceNotFoundException: The namespace n was not found."},

		// Task definitions and counts.
		{"no task definition", create(func(in *ecsapi.CreateServiceInput) { in.TaskDefinition = nil }), "InvalidParameterException: taskDefinition is required: a family, family:revision or an ARN."},
		{"unknown task definition", create(func(in *ecsapi.CreateServiceInput) { in.TaskDefinition = new("nope") }), "ClientException: TaskDefinition not found."},
		{"inactive task definition", create(func(in *ecsapi.CreateServiceInput) { in.TaskDefinition = new("old:1") }), "ClientException: TaskDefinition is inactive"},
		{"update to an unknown task definition", update(func(in *ecsapi.UpdateServiceInput) { in.TaskDefinition = new("nope") }), "ClientException: TaskDefinition not found."},
		{"update to an inactive task definition", update(func(in *ecsapi.UpdateServiceInput) { in.TaskDefinition = new("old:1") }), "ClientException: TaskDefinition is inactive"},
		{"task definition of another launch type", create(func(in *ecsapi.CreateServiceInput) {
			in.LaunchType, in.TaskDefinition = ecsapi.LaunchTypeExternal, new("awsvpc")
		}), "InvalidParameterException: Task definition does not support launch_type EXTERNAL."},
		{"no desired count", create(func(in *ecsapi.CreateServiceInput) { in.DesiredCount = nil }), "InvalidParameterException: desiredCount is required where the schedulingStrategy is REPLICA: a number of tasks."},
		{"negative desired count", create(func(in *ecsapi.CreateServiceInput) { in.DesiredCount = new(int32(-1)) }), "InvalidParameterException: desiredCount is -1; it must be between 0 and 2147483647."},
		{"update to a negative desired count", update(func(in *ecsapi.UpdateServiceInput) { in.DesiredCount = new(int32(-1)) }), "InvalidParameterException: desiredCount is -1; it must be between 0 and 2147483647."},

		// What is not offered yet.
		{"fargate", create(func(in *ecsapi.CreateServiceInput) { in.LaunchType = ecsapi.LaunchTypeFargate }), "UnsupportedFeatureException: The launchType FARGATE is not offered by gantry yet: use EC2 or EXTERNAL."},
		{"strategy and launch type", create(func(in *ecsapi.CreateServiceInput) {
			in.LaunchType, in.CapacityProviderStrategy = ecsapi.LaunchTypeEc2, []ecsapi.CapacityProviderStrategyItem{{CapacityProvider: new("p")}}
		}), "InvalidParameterException: Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again."},
		{"strategy of a provider that is not the cluster's", create(func(in *ecsapi.CreateServiceInput) { in.CapacityProviderStrategy = items("p") }),
			"InvalidParameterException: The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again: 'p'."},
		{"daemon by a strategy", create(func(in *ecsapi.CreateServiceInput) {
			in.SchedulingStrategy, in.DesiredCount, in.CapacityProviderStrategy = ecsapi.SchedulingStrategyDaemon, nil, items("p 1")
		}), "InvalidParameterException: Specifying a capacity provider strategy is not supported when you create a service using the DAEMON scheduling strategy."},
		{"daemon by the cluster's default strategy", create(func(in *ecsapi.CreateServiceInput) {
			in.Cluster, in.SchedulingStrategy, in.DesiredCount = new("fargate"), ecsapi.SchedulingStrategyDaemon, nil
		}), "InvalidParameterException: Specifying a capacity provider strategy is not supported when you create a service using the DAEMON scheduling strategy. Cluster fargate has a default capacity provider strategy: specify the launch type EC2 or EXTERNAL and try again."},
		{"the cluster's default strategy", create(func(in *ecsapi.CreateServiceInput) { in.Cluster = new("fargate") }),
			"UnsupportedFeatureException: Tasks of the capacity provider FARGATE are not offered by gantry yet: use one of an Auto Scaling group, or the launchType EC2 or EXTERNAL."},
		{"awsvpc", create(func(in *ecsapi.CreateServiceInput) { in.TaskDefinition = new("awsvpc") }), "UnsupportedFeatureException: Task definition awsvpc:1 uses networkMode awsvpc, which gantry does not offer yet."},
		{"network configuration", create(func(in *ecsapi.CreateServiceInput) { in.NetworkConfiguration = network }), "InvalidParameterException: Network Configuration is not valid for the given networkMode of this task definition."},
		{"platform version", update(func(in *ecsapi.UpdateServiceInput) { in.PlatformVersion = new("1.4.0") }), "InvalidParameterException: The platform version must be null when specifying an EC2 launch type."},
		{"load balancer", create(func(in *ecsapi.CreateServiceInput) {
			in.LoadBalancers = []ecsapi.LoadBalancer{{ContainerName: new("web")}}
		}), "UnsupportedFeatureException: loadBalancers of a service is not offered by gantry yet."},
		{"service registry", create(func(in *ecsapi.CreateServiceInput) { in.ServiceRegistries = []ecsapi.ServiceRegistry{{}} }), "UnsupportedFeatureException: serviceRegistries of a service is not offered by gantry yet."},
		{"service connect", update(func(in *ecsapi.UpdateServiceInput) {
			in.ServiceConnectConfiguration = &ecsapi.ServiceConnectConfiguration{Enabled: new(true)}
		}), "UnsupportedFeatureException: serviceConnectConfiguration of a service is not offered by gantry yet."},
		{"lattice", create(func(in *ecsapi.CreateServiceInput) {
			in.VpcLatticeConfigurations = []ecsapi.VpcLatticeConfiguration{{RoleArn: new("r"), TargetGroupArn: new("t"), PortName: new("p")}}
		}), "UnsupportedFeatureException: vpcLatticeConfigurations of a service is not offered by gantry yet."},
		{"volumes", create(func(in *ecsapi.CreateServiceInput) {
			in.VolumeConfigurations = []ecsapi.ServiceVolumeConfiguration{{Name: new("v")}}
		}), "UnsupportedFeatureException: volumeConfigurations of a service is not offered by gantry yet."},
		{"exec", update(func(in *ecsapi.UpdateServiceInput) { in.EnableExecuteCommand = new(true) }), "UnsupportedFeatureException: enableExecuteCommand asks for ECS Exec, which gantry does not offer yet: leave it out."},
		{"role", create(func(in *ecsapi.CreateServiceInput) { in.Role = new("r") }), "InvalidParameterException: A role is for services with a load balancer: leave it out."},
		{"code deploy", create(func(in *ecsapi.CreateServiceInput) {
			in.DeploymentController = &ecsapi.DeploymentController{Type: ecsapi.DeploymentControllerTypeCodeDeploy}
		}), "UnsupportedFeatureException: The deploymentController CODE_DEPLOY is not offered by gantry yet: use ECS or EXTERNAL."},
		{"alarms", configured(&configuration{Alarms: &ecsapi.DeploymentAlarms{AlarmNames: []string{"a"}, Enable: new(true), Rollback: new(true)}}),
			"UnsupportedFeatureException: Deployment alarms are not offered by gantry yet: set deploymentConfiguration.alarms.enable to false."},
		{"a hook that calls a function", hooks(ecsapi.DeploymentLifecycleHook{HookTargetArn: new("arn:aws:lambda:us-east-1:123456789012:function:f"), RoleArn: new("r"), LifecycleStages: at(ecsapi.DeploymentLifecycleHookStagePostScaleUp)}),
			"UnsupportedFeatureException: deploymentConfiguration.lifecycleHooks with the targetType AWS_LAMBDA are not offered by gantry yet: use PAUSE."},

		// Placement.
		{"unreadable constraint", create(func(in *ecsapi.CreateServiceInput) {
			in.PlacementConstraints = []ecsapi.PlacementConstraint{{Type: ecsapi.PlacementConstraintTypeMemberOf, Expression: new("foo == 1")}}
		}), "InvalidParameterException: Invalid cluster query expression …"},
		{"strategy by another field", create(func(in *ecsapi.CreateServiceInput) {
			in.PlacementStrategy = []ecsapi.PlacementStrategy{{Type: ecsapi.PlacementStrategyTypeBinpack, Field: new("disk")}}
		}), "InvalidParameterException: binpack field 'disk' is invalid: it is cpu or memory."},
		{"rebalancing with binpack", create(func(in *ecsapi.CreateServiceInput) {
			in.AvailabilityZoneRebalancing = ecsapi.AvailabilityZoneRebalancingEnabled
			in.PlacementStrategy = []ecsapi.PlacementStrategy{{Type: ecsapi.PlacementStrategyTypeBinpack, Field: new("cpu")}}
		}), "InvalidParameterException: availabilityZoneRebalancing needs a placementStrategy that spreads over attribute:ecs.availability-zone first, or none. Set it to DISABLED, or change the placementStrategy, and try again."},
		{"rebalancing without room", create(func(in *ecsapi.CreateServiceInput) {
			in.AvailabilityZoneRebalancing = ecsapi.AvailabilityZoneRebalancingEnabled
			in.DeploymentConfiguration = &ecsapi.DeploymentConfiguration{MinimumHealthyPercent: new(int32(0)), MaximumPercent: new(int32(100))}
		}), "InvalidParameterException: AvailabilityZoneRebalancing does not support maximumPercent <= 100. Set it to DISABLED, or raise the maximumPercent, and try again."},
		{"rebalancing within zones", create(func(in *ecsapi.CreateServiceInput) {
			in.AvailabilityZoneRebalancing = ecsapi.AvailabilityZoneRebalancingEnabled
			in.PlacementConstraints = []ecsapi.PlacementConstraint{{Type: ecsapi.PlacementConstraintTypeMemberOf, Expression: new("attribute:ecs.availability-zone in [a, b]")}}
		}), "InvalidParameterException: AvailabilityZoneRebalancing does not support placementConstraints on attribute:ecs.availability-zone. Set it to DISABLED, or leave the constraint out, and try again."},

		// Daemons.
		{"daemon with a count", daemon(func(in *ecsapi.CreateServiceInput) { in.DesiredCount = new(int32(1)) }),
			"InvalidParameterException: The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again"},
		{"update a daemon's count", update(func(in *ecsapi.UpdateServiceInput) { in.Service, in.DesiredCount = new("daemon"), new(int32(1)) }),
			"InvalidParameterException: The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again"},
		{"daemon below its maximum", daemon(func(in *ecsapi.CreateServiceInput) {
			in.DeploymentConfiguration = &configuration{MaximumPercent: new(int32(50))}
		}), "InvalidParameterException: deploymentConfiguration.maximumPercent is 50; it must be between 100 and 2147483647."},
		{"daemon with a strategy", daemon(func(in *ecsapi.CreateServiceInput) {
			in.PlacementStrategy = []ecsapi.PlacementStrategy{{Type: ecsapi.PlacementStrategyTypeRandom}}
		}), "InvalidParameterException: The daemon scheduling strategy does not support placement strategies. Remove the placement strategy and try again"},
		{"daemon above 100", daemon(func(in *ecsapi.CreateServiceInput) {
			in.DeploymentConfiguration = &configuration{MaximumPercent: new(int32(200))}
		}), "InvalidParameterException: The daemon scheduling strategy does not support values above 100 for maximumPercent on a deployment configuration. Change the maximumPercent value to 100, and try again"},
		{"daemon in blue and green", daemon(func(in *ecsapi.CreateServiceInput) {
			in.DeploymentConfiguration = &configuration{Strategy: ecsapi.DeploymentStrategyBlueGreen}
		}), "InvalidParameterException: The daemon scheduling strategy supports the deployment strategy ROLLING only."},
		{"daemon that is rebalanced", daemon(func(in *ecsapi.CreateServiceInput) {
			in.AvailabilityZoneRebalancing = ecsapi.AvailabilityZoneRebalancingEnabled
		}), "InvalidParameterException: The daemon scheduling strategy does not support availabilityZoneRebalancing. Set it to DISABLED and try again."},

		// The deployment configuration.
		{"minimum above 100", configured(&configuration{MinimumHealthyPercent: new(int32(101))}), "InvalidParameterException: deploymentConfiguration.minimumHealthyPercent is 101; it must be between 0 and 100."},
		{"maximum below 100", configured(&configuration{MaximumPercent: new(int32(99))}), "InvalidParameterException: deploymentConfiguration.maximumPercent is 99; it must be between 100 and 2147483647."},
		{"update to a bad maximum", update(func(in *ecsapi.UpdateServiceInput) {
			in.DeploymentConfiguration = &configuration{MaximumPercent: new(int32(0))}
		}), "InvalidParameterException: deploymentConfiguration.maximumPercent is 0; it must be between 100 and 2147483647."},
		{"a bake time of two days", configured(&configuration{BakeTimeInMinutes: new(int32(2880))}), "InvalidParameterException: deploymentConfiguration.bakeTimeInMinutes is 2880; it must be between 0 and 1440."},
		{"strategy that is none", configured(&configuration{Strategy: "RED"}), "InvalidParameterException: Invalid value for deploymentConfiguration.strategy: RED. Valid values are: ROLLING, BLUE_GREEN, LINEAR, CANARY."},
		{"threshold of 0", configured(&configuration{DeploymentCircuitBreaker: &ecsapi.DeploymentCircuitBreaker{Enable: new(true), Rollback: new(true),
			ThresholdConfiguration: &ecsapi.ThresholdConfiguration{Type: ecsapi.ThresholdTypeCount, Value: new(int32(0))}}}),
			"InvalidParameterException: deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration.value is 0; it must be between 1 and 2147483647."},
		{"threshold of 101 percent", configured(&configuration{DeploymentCircuitBreaker: &ecsapi.DeploymentCircuitBreaker{Enable: new(true), Rollback: new(true),
			ThresholdConfiguration: &ecsapi.ThresholdConfiguration{Type: ecsapi.ThresholdTypeUnboundedPercent, Value: new(int32(101))}}}),
			"InvalidParameterException: deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration.value is 101; it must be between 1 and 100."},
		{"early success below the minimum", configured(&configuration{EarlySuccessCriteria: &ecsapi.DeploymentEarlySuccessCriteria{Enable: new(true), HealthyPercent: new(int32(50))}}),
			"InvalidParameterException: deploymentConfiguration.earlySuccessCriteria.healthyPercent is 50; it must be at least the minimumHealthyPercent, which is 100."},
		{"early success in blue and green", configured(&configuration{Strategy: ecsapi.DeploymentStrategyBlueGreen, EarlySuccessCriteria: &ecsapi.DeploymentEarlySuccessCriteria{Enable: new(true)}}),
			"InvalidParameterException: deploymentConfiguration.earlySuccessCriteria are for the deployment strategy ROLLING; this is BLUE_GREEN."},
		{"linear steps in canary", configured(&configuration{Strategy: ecsapi.DeploymentStrategyCanary, LinearConfiguration: &ecsapi.LinearConfiguration{}}),
			"InvalidParameterException: deploymentConfiguration.linearConfiguration is for the deployment strategy LINEAR; this is CANARY."},
		{"small linear steps", configured(&configuration{Strategy: ecsapi.DeploymentStrategyLinear, LinearConfiguration: &ecsapi.LinearConfiguration{StepPercent: new(2.9)}}),
			"InvalidParameterException: deploymentConfiguration.linearConfiguration.stepPercent is 2.9; it must be between 3 and 100."},
		{"steps that are no tenths", configured(&configuration{Strategy: ecsapi.DeploymentStrategyLinear, LinearConfiguration: &ecsapi.LinearConfiguration{StepPercent: new(3.05)}}),
			"InvalidParameterException: deploymentConfiguration.linearConfiguration.stepPercent is 3.05; it must be a multiple of 0.1."},
		{"a canary in linear", configured(&configuration{Strategy: ecsapi.DeploymentStrategyLinear, CanaryConfiguration: &ecsapi.CanaryConfiguration{}}),
			"InvalidParameterException: deploymentConfiguration.canaryConfiguration is for the deployment strategy CANARY; this is LINEAR."},
		{"a long canary", configured(&configuration{Strategy: ecsapi.DeploymentStrategyCanary, CanaryConfiguration: &ecsapi.CanaryConfiguration{CanaryBakeTimeInMinutes: new(int32(1441))}}),
			"InvalidParameterException: deploymentConfiguration.canaryConfiguration.canaryBakeTimeInMinutes is 1441; it must be between 0 and 1440."},
		{"hooks in rolling", configured(&configuration{LifecycleHooks: []ecsapi.DeploymentLifecycleHook{{TargetType: pause, LifecycleStages: at(ecsapi.DeploymentLifecycleHookStagePostScaleUp)}}}),
			"InvalidParameterException: deploymentConfiguration.lifecycleHooks are for the deployment strategies BLUE_GREEN, LINEAR and CANARY; this is ROLLING, which has no lifecycle stages."},
		{"a hook without stages", hooks(ecsapi.DeploymentLifecycleHook{TargetType: pause}), "InvalidParameterException: deploymentConfiguration.lifecycleHooks: lifecycleStages cannot be empty."},
		{"a pause with a function", hooks(ecsapi.DeploymentLifecycleHook{TargetType: pause, HookTargetArn: new("f"), LifecycleStages: at(ecsapi.DeploymentLifecycleHookStagePostScaleUp)}),
			"InvalidParameterException: deploymentConfiguration.lifecycleHooks with the targetType PAUSE have neither a hookTargetArn nor a roleArn."},
		{"a pause where traffic shifts", hooks(ecsapi.DeploymentLifecycleHook{TargetType: pause, LifecycleStages: at(ecsapi.DeploymentLifecycleHookStageTestTrafficShift)}),
			"InvalidParameterException: deploymentConfiguration.lifecycleHooks with the targetType PAUSE cannot be at the stage TEST_TRAFFIC_SHIFT: it takes AWS_LAMBDA."},
		{"a pause of no time", hooks(ecsapi.DeploymentLifecycleHook{TargetType: pause, LifecycleStages: at(ecsapi.DeploymentLifecycleHookStagePostScaleUp),
			TimeoutConfiguration: &ecsapi.DeploymentLifecycleHookTimeoutConfiguration{TimeoutInMinutes: new(int32(0))}}),
			"InvalidParameterException: deploymentConfiguration.lifecycleHooks.timeoutConfiguration.timeoutInMinutes is 0; it must be between 1 and 20160."},

		// Tags and tokens.
		{"reserved tag", tagged("aws:x", "y"), "InvalidParameterException: Tag keys with the prefix aws: are reserved: aws:x."},
		{"misspelt tag", tagged("gantry:circuit-braker", "count-exits"), "InvalidParameterException: The tag gantry:circuit-braker is not one of gantry's. On a service there may be: gantry:circuit-breaker."},
		{"tag with another value", tagged("gantry:circuit-breaker", "yes"), "InvalidParameterException: The tag gantry:circuit-breaker is invalid: \"yes\" is nothing that a circuit breaker can do. It is count-exits."},
		{"a misspelt tag later", call(w, w.ops.TagResource, &ecsapi.TagResourceInput{ResourceArn: new("arn:aws:ecs:us-east-1:123456789012:service/prod/web"), Tags: []ecsapi.Tag{{Key: new("Gantry:circuit-breaker"), Value: new("count-exits")}}}),
			"InvalidParameterException: The tag Gantry:circuit-breaker is not one of gantry's. On a service there may be: gantry:circuit-breaker."},
		{"token with a space", create(func(in *ecsapi.CreateServiceInput) { in.ClientToken = new("a b") }), "InvalidParameterException: clientToken contains invalid characters."},
		{"long token", create(func(in *ecsapi.CreateServiceInput) { in.ClientToken = new(strings.Repeat("x", 37)) }), "InvalidParameterException: clientToken has 37 characters; at most 36 are allowed."},

		// Deployments.
		{"deployments of nothing", call(w, w.ops.ListServiceDeployments, &ecsapi.ListServiceDeploymentsInput{Cluster: new("prod"), Service: new("nope")}), "ServiceNotFoundException: Service not found."},
		{"status that is none", call(w, w.ops.ListServiceDeployments, &ecsapi.ListServiceDeploymentsInput{Cluster: new("prod"), Service: new("web"), Status: []ecsapi.ServiceDeploymentStatus{"GREAT"}}), "InvalidParameterException: Invalid value for status[0]: GREAT. …"},
		{"describe no ARN", call(w, w.ops.DescribeServiceDeployments, &ecsapi.DescribeServiceDeploymentsInput{ServiceDeploymentArns: []string{"x"}}), "InvalidParameterException: Invalid identifier: x is not an ARN of Amazon ECS."},
		{"describe another ARN", call(w, w.ops.DescribeServiceRevisions, &ecsapi.DescribeServiceRevisionsInput{ServiceRevisionArns: []string{noDeployment}}),
			"InvalidParameterException: Invalid identifier: " + noDeployment + " is the ARN of a service-deployment; the ARN of a service-revision is expected."},
		{"stop what never was", call(w, w.ops.StopServiceDeployment, &ecsapi.StopServiceDeploymentInput{ServiceDeploymentArn: new(noDeployment)}), "ServiceDeploymentNotFoundException: The service deployment was not found."},
		{"stop somehow", call(w, w.ops.StopServiceDeployment, &ecsapi.StopServiceDeploymentInput{ServiceDeploymentArn: new(noDeployment), StopType: "SLOWLY"}), "InvalidParameterException: Invalid value for stopType: SLOWLY. Valid values are: ABORT, ROLLBACK."},
		{"continue what never was", call(w, w.ops.ContinueServiceDeployment, &ecsapi.ContinueServiceDeploymentInput{ServiceDeploymentArn: new(noDeployment), HookId: new("h")}), "ServiceDeploymentNotFoundException: The service deployment was not found."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			w.wantRefusal(tt.call(), tt.want)
		})
	}
}
