package main

import "math"

// A Limit bounds a number, the characters of a string, or the items of a list or map.
// The SDK's schemas carry no constraints, so the limits are tables here; a member that is in none is not bounded.
type Limit struct {
	Least, Most int
	Set         bool
}

func between(least, most int) Limit { return Limit{Least: least, Most: most, Set: true} }
func upTo(most int) Limit           { return between(0, most) }

// ecsLimits are the constraints of the ECS model and those that its API reference states in words, by "Structure.member";
// "*" stands for every structure that has no line of its own. What depends on more than one member is checked by
// the operations instead, and so are attributes: the agent registers more of them, and longer ones, than PutAttributes allows.
var ecsLimits = map[string]Limit{
	"*.maxResults":                              between(1, 100),
	"ListAccountSettingsInput.maxResults":       between(1, 10),
	"DescribeCapacityProvidersInput.maxResults": between(1, 10),

	"DescribeServicesInput.services":                        between(1, 10),
	"DeleteTaskDefinitionsInput.taskDefinitions":            between(1, 10),
	"UpdateTaskProtectionInput.tasks":                       between(1, 10),
	"UpdateContainerInstancesStateInput.containerInstances": between(1, 10),
	"StartTaskInput.containerInstances":                     between(1, 10),
	"DescribeTasksInput.tasks":                              between(1, 100),
	"DescribeContainerInstancesInput.containerInstances":    between(1, 100),
	"DescribeClustersInput.clusters":                        upTo(100),
	"GetTaskProtectionInput.tasks":                          upTo(100),
	"DescribeServiceDeploymentsInput.serviceDeploymentArns": between(1, 20),
	"DescribeServiceRevisionsInput.serviceRevisionArns":     between(1, 20),
	"DescribeDaemonDeploymentsInput.daemonDeploymentArns":   between(1, 20),
	"DescribeDaemonRevisionsInput.daemonRevisionArns":       between(1, 20),
	"PutAttributesInput.attributes":                         between(1, 10),
	"DeleteAttributesInput.attributes":                      between(1, 10),

	"RunTaskInput.count":              between(1, 10),
	"RunTaskInput.clientToken":        upTo(64),
	"RunTaskInput.startedBy":          upTo(128),
	"StartTaskInput.startedBy":        upTo(36),
	"RunTaskInput.group":              upTo(255),
	"StartTaskInput.group":            upTo(255),
	"CreateServiceInput.clientToken":  upTo(36),
	"*.desiredCount":                  upTo(math.MaxInt32),
	"*.healthCheckGracePeriodSeconds": upTo(math.MaxInt32),

	"*.tags":    upTo(50),
	"Tag.key":   between(1, 128),
	"Tag.value": upTo(256),

	"*.placementConstraints": upTo(10),
	"*.placementStrategy":    upTo(5),
	"*.expression":           upTo(2000),

	"*.capacityProviderStrategy":            upTo(20),
	"*.defaultCapacityProviderStrategy":     upTo(20),
	"CapacityProviderStrategyItem.base":     upTo(100_000),
	"CapacityProviderStrategyItem.weight":   upTo(1000),
	"ManagedScaling.minimumScalingStepSize": between(1, 10_000),
	"ManagedScaling.maximumScalingStepSize": between(1, 10_000),
	"ManagedScaling.targetCapacity":         between(1, 100),
	"ManagedScaling.instanceWarmupPeriod":   upTo(10_000),

	"PortMapping.containerPort":            upTo(65535),
	"PortMapping.hostPort":                 upTo(65535),
	"PortMapping.name":                     between(1, 64),
	"ContainerDefinition.environmentFiles": upTo(10),
	"AwsVpcConfiguration.subnets":          between(1, 16),
	"AwsVpcConfiguration.securityGroups":   upTo(5),
}

// logsLimits are the constraints of the CloudWatch Logs API reference.
var logsLimits = map[string]Limit{
	"*.logGroupName":        between(1, 512),
	"*.logGroupNamePrefix":  between(1, 512),
	"*.logGroupIdentifier":  between(1, 2048),
	"*.logStreamName":       between(1, 512),
	"*.logStreamNamePrefix": between(1, 512),
	"*.filterPattern":       upTo(1024),
	"*.filterName":          between(1, 512),

	"PutLogEventsInput.logEvents":         between(1, 10_000),
	"InputLogEvent.timestamp":             upTo(math.MaxInt64),
	"InputLogEvent.message":               between(1, math.MaxInt32),
	"GetLogEventsInput.limit":             between(1, 10_000),
	"FilterLogEventsInput.limit":          between(1, 10_000),
	"FilterLogEventsInput.logStreamNames": between(1, 100),
	"DescribeLogGroupsInput.limit":        between(1, 50),
	"DescribeLogStreamsInput.limit":       between(1, 50),
	"CreateLogGroupInput.tags":            between(1, 50),
	"TagResourceInput.tags":               between(1, 50),
	"TagLogGroupInput.tags":               between(1, 50),
}

// eventsLimits are the constraints of the EventBridge API reference. How old an event may get in RetryPolicy is checked by
// the operations, and so is what an event may weigh.
var eventsLimits = map[string]Limit{
	"*.Limit": between(1, 100),

	"PutRuleInput.Name":                    between(1, 64),
	"DescribeRuleInput.Name":               between(1, 64),
	"DeleteRuleInput.Name":                 between(1, 64),
	"EnableRuleInput.Name":                 between(1, 64),
	"DisableRuleInput.Name":                between(1, 64),
	"*.Rule":                               between(1, 64),
	"*.Description":                        upTo(512),
	"*.ScheduleExpression":                 upTo(256),
	"PutRuleInput.EventPattern":            upTo(4096),
	"*.NamePrefix":                         between(1, 64),
	"ListRuleNamesByTargetInput.TargetArn": between(1, 1600),

	"PutTargetsInput.Targets":          between(1, 100),
	"RemoveTargetsInput.Ids":           between(1, 100),
	"Target.Id":                        between(1, 64),
	"Target.Arn":                       between(1, 1600),
	"Target.Input":                     upTo(8192),
	"Target.InputPath":                 upTo(256),
	"InputTransformer.InputPathsMap":   upTo(100),
	"InputTransformer.InputTemplate":   between(1, 8192),
	"EcsParameters.TaskCount":          between(1, math.MaxInt32),
	"EcsParameters.Group":              upTo(255),
	"RetryPolicy.MaximumRetryAttempts": upTo(185),

	"PutEventsInput.Entries": between(1, 10),

	"CreateConnectionInput.Name":       between(1, 64),
	"DeleteConnectionInput.Name":       between(1, 64),
	"DescribeConnectionInput.Name":     between(1, 64),
	"CreateApiDestinationInput.Name":   between(1, 64),
	"UpdateApiDestinationInput.Name":   between(1, 64),
	"DeleteApiDestinationInput.Name":   between(1, 64),
	"DescribeApiDestinationInput.Name": between(1, 64),
	"*.InvocationEndpoint":             between(1, 2048),
	"*.InvocationRateLimitPerSecond":   between(1, math.MaxInt32),

	"*.Tags":    upTo(50),
	"Tag.Key":   between(1, 128),
	"Tag.Value": upTo(256),
}
