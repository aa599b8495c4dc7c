package e2e

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestNotYet: what a task definition may ask for and gantry does not do yet registers as on
// AWS, and is refused when it is run, by a sentence that names it. Nothing is left out silently.
func TestNotYet(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk()
	const role = "arn:aws:iam::123456789012:role/r"
	const secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:s-abcdef"
	for what, change := range map[string]func(*ecs.RegisterTaskDefinitionInput, *types.ContainerDefinition){
		"networkMode awsvpc": func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.NetworkMode = types.NetworkModeAwsvpc
		},
		"taskRoleArn": func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.TaskRoleArn = aws.String(role)
		},
		"secrets": func(in *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			in.ExecutionRoleArn = aws.String(role)
			c.Secrets = []types.Secret{{Name: aws.String("S"), ValueFrom: aws.String(secret)}}
		},
		"logConfiguration.secretOptions": func(in *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			in.ExecutionRoleArn = aws.String(role)
			c.LogConfiguration = &types.LogConfiguration{LogDriver: types.LogDriverJsonFile, SecretOptions: []types.Secret{{Name: aws.String("o"), ValueFrom: aws.String(secret)}}}
		},
		"repositoryCredentials": func(in *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			in.ExecutionRoleArn = aws.String(role)
			c.RepositoryCredentials = &types.RepositoryCredentials{CredentialsParameter: aws.String(secret)}
		},
		"firelensConfiguration": func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			c.FirelensConfiguration = &types.FirelensConfiguration{Type: types.FirelensConfigurationTypeFluentbit}
		},
		"efsVolumeConfiguration": func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.Volumes = []types.Volume{{Name: aws.String("v"), EfsVolumeConfiguration: &types.EFSVolumeConfiguration{FileSystemId: aws.String("fs-1")}}}
		},
		"configuredAtLaunch": func(in *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			in.Volumes = []types.Volume{{Name: aws.String("v"), ConfiguredAtLaunch: aws.Bool(true)}}
			c.MountPoints = []types.MountPoint{mountPoint("v", "/v")}
		},
		"an environment file in S3": func(in *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			in.ExecutionRoleArn = aws.String(role)
			c.EnvironmentFiles = []types.EnvironmentFile{{Type: types.EnvironmentFileTypeS3, Value: aws.String("arn:aws:s3:::bucket/x.env")}}
		},
		"enableFaultInjection": func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.EnableFaultInjection = aws.Bool(true)
		},
		"a Windows runtimePlatform": func(in *ecs.RegisterTaskDefinitionInput, _ *types.ContainerDefinition) {
			in.RuntimePlatform = &types.RuntimePlatform{OperatingSystemFamily: types.OSFamilyWindowsServer2022Core, CpuArchitecture: types.CPUArchitectureX8664}
		},
	} {
		t.Run(what, func(t *testing.T) {
			definition := s.define(t, change)
			refused[*types.UnsupportedFeatureException](t, c.RunTask, &ecs.RunTaskInput{TaskDefinition: &definition}, what)
		})
	}
	plain := s.define(t, nil)
	for what, in := range map[string]*ecs.RunTaskInput{
		"FARGATE":              {LaunchType: types.LaunchTypeFargate},
		"taskRoleArn":          {Overrides: &types.TaskOverride{TaskRoleArn: aws.String(role)}},
		"volumeConfigurations": {VolumeConfigurations: []types.TaskVolumeConfiguration{{Name: aws.String("v")}}},
	} {
		in.TaskDefinition = &plain
		refused[*types.UnsupportedFeatureException](t, c.RunTask, in, what)
	}
}

// TestLogDriversNotOffered: a driver that no instance has keeps a task from being placed; an option that
// the driver does not know keeps it from starting, and both say so.
func TestLogDriversNotOffered(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	definition := s.define(t, func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
		c.LogConfiguration = &types.LogConfiguration{LogDriver: types.LogDriverGelf, Options: map[string]string{"gelf-address": "udp://127.0.0.1:1"}}
	})
	out := must(t, s.sdk().RunTask, &ecs.RunTaskInput{TaskDefinition: &definition})
	if len(out.Failures) != 1 || *out.Failures[0].Reason != "ATTRIBUTE" {
		t.Errorf("the log driver gelf: %+v", out)
	}
	j := s.job(t, s.probe("probe"))
	j.in.ContainerDefinitions[0].LogConfiguration = &types.LogConfiguration{LogDriver: types.LogDriverJsonFile, Options: map[string]string{"max-sise": "1m"}}
	task := j.start().stopped()
	const want = "CannotStartContainerError: failed to initialize logging driver: unknown log opt 'max-sise' for json-file log driver"
	if c := part(t, task, "probe"); task.StopCode != types.TaskStopCodeTaskFailedToStart || c.ExitCode != nil || aws.ToString(c.Reason) != want {
		t.Errorf("%s\nwant %s", tell(task), want)
	}
}
