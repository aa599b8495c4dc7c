package taskdef

import (
	"fmt"
	"slices"
	"strings"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// NotYet says which part of a definition, or of the overrides, gantry cannot
// honour yet: a sentence that names the member; nil where a task can be run.
// Such definitions register as on AWS, and are refused when they are run, so
// that nothing is silently left out. over may be nil.
//
// executionRoleArn is not among them: what AWS does with that role (pulling
// images, writing logs) gantry does without any.
func NotYet(def *ecsapi.TaskDefinition, over *ecsapi.TaskOverride) error {
	for _, absent := range []struct {
		used bool
		what string
	}{
		{mode(def) == ecsapi.NetworkModeAwsvpc, "networkMode awsvpc"},
		{wire.Value(def.TaskRoleArn) != "" || over != nil && wire.Value(over.TaskRoleArn) != "",
			"taskRoleArn (the containers would run without the role's credentials)"},
		{def.ProxyConfiguration != nil, "proxyConfiguration"},
		{len(def.InferenceAccelerators) > 0 || over != nil && len(over.InferenceAcceleratorOverrides) > 0, "inferenceAccelerators"},
		{def.EphemeralStorage != nil || over != nil && over.EphemeralStorage != nil, "ephemeralStorage (it belongs to Fargate)"},
		{set(def.EnableFaultInjection), "enableFaultInjection"},
		{def.RuntimePlatform != nil && strings.HasPrefix(string(def.RuntimePlatform.OperatingSystemFamily), "WINDOWS"),
			"a Windows runtimePlatform"},
	} {
		if absent.used {
			return notYet("Task definition %s uses %s", Name(def), absent.what)
		}
	}
	for i := range def.Volumes {
		if kind := absentVolume(&def.Volumes[i]); kind != "" {
			return notYet("Volume %s of task definition %s uses %s", *def.Volumes[i].Name, Name(def), kind)
		}
	}
	for i := range def.ContainerDefinitions {
		c := &def.ContainerDefinitions[i]
		if what := absentInContainer(c, Override(over, *c.Name)); what != "" {
			return notYet("Container %s of task definition %s uses %s", *c.Name, Name(def), what)
		}
	}
	return nil
}

// Name is "family:revision".
func Name(def *ecsapi.TaskDefinition) string {
	return fmt.Sprintf("%s:%d", wire.Value(def.Family), wire.Value(def.Revision))
}

func notYet(format string, args ...any) error {
	return ecsapi.NewUnsupportedFeatureException(fmt.Sprintf(format, args...) + ", which gantry does not offer yet.")
}

func absentVolume(v *ecsapi.Volume) string {
	switch {
	case v.EfsVolumeConfiguration != nil:
		return "efsVolumeConfiguration"
	case v.FsxWindowsFileServerVolumeConfiguration != nil:
		return "fsxWindowsFileServerVolumeConfiguration"
	case v.S3filesVolumeConfiguration != nil:
		return "s3filesVolumeConfiguration"
	case set(v.ConfiguredAtLaunch):
		return "configuredAtLaunch"
	}
	return ""
}

func absentInContainer(c *ecsapi.ContainerDefinition, o ecsapi.ContainerOverride) string {
	switch {
	case len(c.Secrets) > 0:
		return "secrets"
	case c.LogConfiguration != nil && len(c.LogConfiguration.SecretOptions) > 0:
		return "logConfiguration.secretOptions"
	case c.LogConfiguration != nil && c.LogConfiguration.LogDriver == ecsapi.LogDriverAwsfirelens:
		return "the log driver awsfirelens"
	case c.FirelensConfiguration != nil:
		return "firelensConfiguration"
	case c.RepositoryCredentials != nil:
		return "repositoryCredentials"
	case len(c.CredentialSpecs) > 0 || slices.ContainsFunc(c.DockerSecurityOptions, func(s string) bool { return strings.HasPrefix(s, "credentialspec:") }):
		return "credentialSpecs"
	case slices.ContainsFunc(slices.Concat(c.EnvironmentFiles, o.EnvironmentFiles), inS3):
		return "an environment file in S3 (name a file of the container instance instead)"
	}
	for _, r := range slices.Concat(c.ResourceRequirements, o.ResourceRequirements) {
		if r.Type != ecsapi.ResourceTypeGpu {
			return "the resource requirement " + string(r.Type)
		}
		if r.SharingStrategy != nil {
			return "a GPU sharingStrategy"
		}
	}
	return ""
}

func inS3(f ecsapi.EnvironmentFile) bool {
	return strings.HasPrefix(wire.Value(f.Value), "arn:") && strings.Contains(*f.Value, ":s3:")
}
