package taskdef

import (
	"slices"
	"strings"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// The two prefixes of capability attributes; the first is the older one.
const (
	legacy     = "com.amazonaws.ecs.capability."
	capability = "ecs.capability."
)

// requiredAttributes computes what a container instance must have registered so
// that a task of the definition can be placed there. The names are those that
// the agent registers.
func requiredAttributes(def *ecsapi.TaskDefinition) []ecsapi.Attribute {
	n := &needs{seen: map[string]bool{}}
	n.add(wire.Value(def.TaskRoleArn) != "", legacy+"task-iam-role")
	n.add(wire.Value(def.TaskRoleArn) != "" && def.NetworkMode == ecsapi.NetworkModeHost, legacy+"task-iam-role-network-host")
	n.add(def.Cpu != nil || def.Memory != nil, capability+"task-cpu-mem-limit")
	n.add(def.PidMode != "" || def.IpcMode != "", capability+"pid-ipc-namespace-sharing")
	n.add(def.NetworkMode == ecsapi.NetworkModeAwsvpc, capability+"task-eni")
	n.add(def.ProxyConfiguration != nil, capability+"aws-appmesh")
	n.add(len(def.InferenceAccelerators) > 0, capability+"task-eia")
	n.add(set(def.EnableFaultInjection), capability+"fault-injection")
	for i := range def.Volumes {
		n.volume(&def.Volumes[i])
	}
	for i := range def.ContainerDefinitions {
		n.container(def, &def.ContainerDefinitions[i])
	}
	return n.attributes
}

// needs collects attributes, each once, in the order they are found.
type needs struct {
	seen       map[string]bool
	attributes []ecsapi.Attribute
}

func (n *needs) add(needed bool, name string) {
	if needed && !n.seen[name] {
		n.seen[name] = true
		n.attributes = append(n.attributes, ecsapi.Attribute{Name: new(name)})
	}
}

// api asks for a version of Docker's API, by which agents say what their runtime can do.
func (n *needs) api(needed bool, version string) { n.add(needed, legacy+"docker-remote-api."+version) }

func (n *needs) volume(v *ecsapi.Volume) {
	if d := v.DockerVolumeConfiguration; d != nil {
		driver := wire.Value(d.Driver)
		if driver == "" {
			driver = "local"
		}
		n.add(true, capability+"docker-plugin."+driver)
		n.api(true, "1.25")
	}
	if e := v.EfsVolumeConfiguration; e != nil {
		n.add(true, capability+"efs")
		n.add(e.TransitEncryption != "" || e.AuthorizationConfig != nil, capability+"efsAuth")
	}
	n.add(v.FsxWindowsFileServerVolumeConfiguration != nil, capability+"fsxWindowsFileServer")
	n.add(v.S3filesVolumeConfiguration != nil, capability+"storage.s3-files")
	n.add(set(v.ConfiguredAtLaunch), capability+"storage.ebs-task-volume-attach")
}

func (n *needs) container(def *ecsapi.TaskDefinition, c *ecsapi.ContainerDefinition) {
	n.log(def, c.LogConfiguration)
	n.add(ecrImage(c), legacy+"ecr-auth")
	n.add(ecrImage(c) && wire.Value(def.ExecutionRoleArn) != "", capability+"execution-role-ecr-pull")
	n.add(set(c.Privileged), legacy+"privileged-container")
	n.add(len(c.DependsOn) > 0, capability+"container-ordering")
	n.add(c.HealthCheck != nil, capability+"container-health-check")
	n.add(c.RestartPolicy != nil && set(c.RestartPolicy.Enabled), capability+"container-restart-policy")
	n.add(slices.ContainsFunc(c.EnvironmentFiles, inS3), capability+"env-files.s3")
	n.add(c.RepositoryCredentials != nil, capability+"private-registry-authentication.secretsmanager")
	n.api(c.MemoryReservation != nil, "1.21")
	for _, p := range c.PortMappings {
		n.add(p.ContainerPortRange != nil, capability+"network.container-port-range")
	}
	for _, s := range c.Secrets {
		n.add(true, capability+"secrets."+secretStore(s)+".environment-variables")
	}
	if f := c.FirelensConfiguration; f != nil {
		n.add(true, capability+"firelens."+string(f.Type))
		n.add(f.Options["config-file-type"] != "", capability+"firelens.options.config."+f.Options["config-file-type"])
	}
	for _, option := range c.DockerSecurityOptions {
		n.add(strings.HasPrefix(option, "label:"), legacy+"selinux")
		n.add(strings.HasPrefix(option, "apparmor:"), legacy+"apparmor")
	}
	if p := c.LinuxParameters; p != nil {
		n.api(len(p.Tmpfs) > 0 || p.SharedMemorySize != nil, "1.22")
		n.api(p.InitProcessEnabled != nil, "1.25")
	}
}

func (n *needs) log(def *ecsapi.TaskDefinition, l *ecsapi.LogConfiguration) {
	if l == nil {
		return
	}
	n.add(true, legacy+"logging-driver."+string(l.LogDriver))
	n.api(l.LogDriver == ecsapi.LogDriverAwslogs, "1.19")
	n.api(l.LogDriver != ecsapi.LogDriverAwslogs, "1.18")
	n.add(l.LogDriver == ecsapi.LogDriverAwslogs && wire.Value(def.ExecutionRoleArn) != "", capability+"execution-role-awslogs")
	for _, s := range l.SecretOptions {
		n.add(true, capability+"secrets."+secretStore(s)+".bootstrap.log-driver")
	}
}

// ecrImage reports whether an image comes from Amazon ECR, whose registries are
// named <account>.dkr.ecr.<region>.amazonaws.com.
func ecrImage(c *ecsapi.ContainerDefinition) bool {
	registry, _, _ := strings.Cut(wire.Value(c.Image), "/")
	return strings.Contains(registry, ".dkr.ecr.")
}

// secretStore is the store that a secret's valueFrom points to: Secrets Manager
// by an ARN of its own, else the Parameter Store.
func secretStore(s ecsapi.Secret) string {
	if strings.Contains(wire.Value(s.ValueFrom), ":secretsmanager:") {
		return "asm"
	}
	return "ssm"
}
