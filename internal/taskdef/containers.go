package taskdef

import (
	"strings"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

const (
	maxNameLength = 255 // of families, containers, volumes
	// Health checks: facts of the API reference, in seconds and attempts.
	minHealthInterval, maxHealthInterval = 5, 300
	minHealthTimeout, maxHealthTimeout   = 2, 60
	minHealthRetries, maxHealthRetries   = 1, 10
	maxHealthStartPeriod                 = 300
	// Restart policies.
	minRestartPeriod, maxRestartPeriod = 60, 1800
	maxIgnoredExitCodes                = 50
)

func checkFamily(def *ecsapi.TaskDefinition) error {
	family := wire.Value(def.Family)
	if family == "" {
		return client("Family should not be null or empty.")
	}
	if len(family) > maxNameLength {
		return client("Family has %d characters; at most %d are allowed.", len(family), maxNameLength)
	}
	if !validName(family) {
		return client("Family contains invalid characters.")
	}
	return nil
}

// validName reports whether s is 1 to 255 letters, digits, '_' and '-'.
func validName(s string) bool {
	if s == "" || len(s) > maxNameLength {
		return false
	}
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-') {
			return false
		}
	}
	return true
}

func checkContainers(def *ecsapi.TaskDefinition) error {
	if len(def.ContainerDefinitions) == 0 {
		return client("Container list cannot be empty.")
	}
	if n := len(def.ContainerDefinitions); n > maxContainers {
		return client("The task definition has %d containers; at most %d are allowed.", n, maxContainers)
	}
	seen, anyEssential := map[string]bool{}, false
	for i := range def.ContainerDefinitions {
		c := &def.ContainerDefinitions[i]
		if err := checkContainerName(c); err != nil {
			return err
		}
		if seen[*c.Name] {
			return client("Container names must be unique: '%s' is used more than once.", *c.Name)
		}
		seen[*c.Name] = true
		anyEssential = anyEssential || essential(c)
	}
	if !anyEssential {
		return client("At least one container of a task definition must be essential.")
	}
	for i := range def.ContainerDefinitions {
		c := &def.ContainerDefinitions[i]
		for _, err := range []error{
			checkTimes(c), checkHealth(c), checkRestart(c), checkEnvironment(c), checkLog(def, c), checkLinux(c), checkRequirements(c), checkMounts(def, c),
		} {
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func checkContainerName(c *ecsapi.ContainerDefinition) error {
	switch {
	case wire.Value(c.Name) == "":
		return client("Container.name should not be null or empty.")
	case !validName(*c.Name):
		return client("Container.name contains invalid characters.")
	case strings.TrimSpace(wire.Value(c.Image)) == "":
		return client("Container.image should not be null or empty.")
	case len(*c.Image) > maxNameLength || strings.ContainsAny(*c.Image, " \t\r\n"):
		return client("Container.image contains invalid characters or is too long.")
	}
	return nil
}

func checkTimes(c *ecsapi.ContainerDefinition) error {
	if wire.Value(c.StartTimeout) < 0 {
		return client("Invalid 'startTimeout' setting for container '%s'.", *c.Name)
	}
	if wire.Value(c.StopTimeout) < 0 {
		return client("Invalid 'stopTimeout' setting for container '%s'.", *c.Name)
	}
	return nil
}

func checkHealth(c *ecsapi.ContainerDefinition) error {
	h := c.HealthCheck
	if h == nil {
		return nil
	}
	if len(h.Command) == 0 {
		return client("Invalid health check for container '%s'. The command cannot be empty.", *c.Name)
	}
	switch h.Command[0] {
	case "CMD", "CMD-SHELL":
		if len(h.Command) < 2 {
			return client("Invalid health check for container '%s'. After %s a command is expected.", *c.Name, h.Command[0])
		}
	case "NONE":
	default:
		return client("Invalid health check for container '%s'. The command must start with CMD or CMD-SHELL.", *c.Name)
	}
	for _, r := range []struct {
		what        string
		value       *int32
		least, most int32
	}{
		{"interval", h.Interval, minHealthInterval, maxHealthInterval},
		{"timeout", h.Timeout, minHealthTimeout, maxHealthTimeout},
		{"retries", h.Retries, minHealthRetries, maxHealthRetries},
		{"startPeriod", h.StartPeriod, 0, maxHealthStartPeriod},
	} {
		if r.value != nil && (*r.value < r.least || *r.value > r.most) {
			return client("Invalid health check for container '%s'. The %s must be between %d and %d.", *c.Name, r.what, r.least, r.most)
		}
	}
	return nil
}

func checkRestart(c *ecsapi.ContainerDefinition) error {
	p := c.RestartPolicy
	if p == nil {
		return nil
	}
	if p.RestartAttemptPeriod != nil && (*p.RestartAttemptPeriod < minRestartPeriod || *p.RestartAttemptPeriod > maxRestartPeriod) {
		return client("Invalid restart policy for container '%s'. The restartAttemptPeriod must be between %d and %d.", *c.Name, minRestartPeriod, maxRestartPeriod)
	}
	if n := len(p.IgnoredExitCodes); n > maxIgnoredExitCodes {
		return client("Invalid restart policy for container '%s'. It has %d ignoredExitCodes; at most %d are allowed.", *c.Name, n, maxIgnoredExitCodes)
	}
	return nil
}

func checkEnvironment(c *ecsapi.ContainerDefinition) error {
	for _, e := range c.Environment {
		if wire.Value(e.Name) == "" {
			return client("An environment variable of container '%s' has no name.", *c.Name)
		}
	}
	for _, f := range c.EnvironmentFiles {
		if !strings.HasSuffix(wire.Value(f.Value), ".env") {
			return client("Environment file '%s' of container '%s' must have the extension .env.", wire.Shorten(wire.Value(f.Value)), *c.Name)
		}
	}
	names := map[string]bool{}
	for _, e := range c.Environment {
		names[*e.Name] = true
	}
	for _, s := range c.Secrets {
		if names[wire.Value(s.Name)] {
			return client("The secret name must be unique and not shared with any new or existing environment variables set on the container, such as '%s'.", *s.Name)
		}
	}
	return nil
}
