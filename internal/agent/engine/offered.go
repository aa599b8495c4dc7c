package engine

import (
	"slices"
	"strings"

	"gantry/internal/wire/acsapi"
)

// checkOffered refuses what a payload may ask for and this agent does not do yet, with a sentence that says so.
func (d *Definition) checkOffered() {
	t := d.Task
	switch t.NetworkMode {
	case "", "bridge", "host", "none":
	default:
		d.refuse("", errResourceInitialization, "networkMode %s is not offered yet; bridge, host and none are", t.NetworkMode)
	}
	if !slices.Contains([]string{"", "host", "task"}, t.PIDMode) {
		d.refuse("", errResourceInitialization, "pidMode %s is not known; host and task are", t.PIDMode)
	}
	if !slices.Contains([]string{"", "host", "task", "none"}, t.IPCMode) {
		d.refuse("", errResourceInitialization, "ipcMode %s is not known; host, task and none are", t.IPCMode)
	}
	if t.EnableFaultInjection {
		d.refuse("", errResourceInitialization, "fault injection is not offered yet")
	}
	for _, v := range t.Volumes {
		d.checkVolume(v)
	}
	for _, a := range t.Associations {
		if a.Type != "gpu" {
			d.refuse("", errResourceInitialization, "accelerators of type %s are not offered", a.Type)
		}
	}
	for i := range d.Containers {
		d.checkContainer(&d.Containers[i])
	}
}

func (d *Definition) checkContainer(c *ContainerDefinition) {
	if c.Config.Image == "" {
		d.refuse(c.Name, errDockerClientConfig, "the container has no image")
	}
	if c.RegistryAuth != nil {
		d.refuse("", errResourceInitialization, "unable to pull registry auth for container %s: private registry credentials are not offered yet", c.Name)
	}
	if c.LogsAuthStrategy == "ExecutionRole" && d.Task.ExecutionRoleCredentials != nil {
		// Without such credentials (gantry has no roles yet) logs are shipped in the instance's name.
		d.refuse("", errResourceInitialization, "shipping the logs of container %s with the credentials of the execution role is not offered yet", c.Name)
	}
	if len(c.Secrets) > 0 {
		d.refuse("", errResourceInitialization, "unable to pull secrets for container %s: secrets are not offered yet", c.Name)
	}
	for _, file := range c.EnvironmentFiles {
		if strings.HasPrefix(file.Value, "arn:") {
			d.refuse("", errResourceInitialization, "unable to download environment file %s: files in S3 are not offered yet; use a file of the instance (file:///path)", file.Value)
		} else if _, ok := environmentFilePath(file.Value); !ok {
			d.refuse("", errResourceInitialization, "environment file %q is neither an absolute path nor file:///path", file.Value)
		}
	}
	for _, m := range c.MountPoints {
		if d.volume(m.SourceVolume) == nil {
			d.refuse(c.Name, errInvalidVolume, "mount point %s names the volume %q, which the task does not have", m.ContainerPath, m.SourceVolume)
		}
	}
	for _, opt := range c.Host.SecurityOpt {
		if _, ok := securityOptions[opt]; !ok {
			d.refuse(c.Name, errHostConfig, "security option %q is not offered; no-new-privileges and seccomp=unconfined are", opt)
		}
	}
	for _, ports := range c.PortMappings {
		if _, err := readPorts(ports); err != nil {
			d.refuse(c.Name, errHostConfig, "%v", err)
		}
	}
	if d.Task.Memory > 0 && c.Host.Memory > d.Task.Memory*MiB {
		d.refuse(c.Name, errHostConfig, "container %s asks for more memory (%d MiB) than the task has (%d MiB)", c.Name, c.Host.Memory/MiB, d.Task.Memory)
	}
}

// securityOptions are the dockerSecurityOptions that mean something here. AppArmor and SELinux labels are refused.
var securityOptions = map[string]func(*Spec){
	"no-new-privileges":      func(s *Spec) { s.NoNewPrivileges = true },
	"no-new-privileges:true": func(s *Spec) { s.NoNewPrivileges = true },
	"no-new-privileges=true": func(s *Spec) { s.NoNewPrivileges = true },
	"seccomp=unconfined":     func(s *Spec) { s.SeccompUnconfined = true },
	"seccomp:unconfined":     func(s *Spec) { s.SeccompUnconfined = true },
}

func (d *Definition) checkVolume(v acsapi.Volume) {
	switch v.Type {
	case "", "host":
	case "docker":
		if c := v.Docker; c != nil {
			switch {
			case c.Driver != "" && c.Driver != "local":
				d.refuse("", errResourceInitialization, "volume %s: the driver %q is not offered; local is", v.Name, c.Driver)
			case !slices.Contains([]string{"", "task", "shared"}, c.Scope):
				d.refuse("", errResourceInitialization, "volume %s: the scope %q is not known; task and shared are", v.Name, c.Scope)
			}
		}
	default:
		d.refuse("", errResourceInitialization, "volume %s: volumes of type %s are not offered yet", v.Name, v.Type)
	}
}

func (d *Definition) volume(name string) *acsapi.Volume {
	for i := range d.Task.Volumes {
		if d.Task.Volumes[i].Name == name {
			return &d.Task.Volumes[i]
		}
	}
	return nil
}
