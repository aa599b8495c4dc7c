package taskdef

import (
	"maps"
	"slices"
	"strings"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// awslogsOptions are the options that ECS takes for the awslogs driver.
var awslogsOptions = []string{
	"awslogs-create-group", "awslogs-datetime-format", "awslogs-group", "awslogs-multiline-pattern",
	"awslogs-region", "awslogs-stream-prefix", "max-buffer-size", "mode",
}

// awslogsRequired are those without which ECS does not register, in the order it names them.
var awslogsRequired = []string{"awslogs-region", "awslogs-group"}

func checkLog(def *ecsapi.TaskDefinition, c *ecsapi.ContainerDefinition) error {
	l := c.LogConfiguration
	if l == nil {
		return nil
	}
	switch l.LogDriver {
	case ecsapi.LogDriverAwslogs:
		return checkAwslogs(c, l)
	case ecsapi.LogDriverAwsfirelens:
		if !slices.ContainsFunc(def.ContainerDefinitions, func(c ecsapi.ContainerDefinition) bool { return c.FirelensConfiguration != nil }) {
			return client("Container '%s' uses log driver awsfirelens, but no container has a firelensConfiguration.", *c.Name)
		}
	}
	return nil
}

func checkAwslogs(c *ecsapi.ContainerDefinition, l *ecsapi.LogConfiguration) error {
	var missing []string
	for _, name := range awslogsRequired {
		if l.Options[name] == "" && !secretOption(l, name) {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return client("Log driver awslogs requires options: %s", strings.Join(missing, ", "))
	}
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(l.Options)) {
		if !slices.Contains(awslogsOptions, name) {
			unknown = append(unknown, name)
		}
	}
	if unknown != nil {
		return client("Log driver awslogs disallows options: %s", strings.Join(unknown, ", "))
	}
	if v, ok := l.Options["awslogs-create-group"]; ok && v != "true" {
		return client("Log driver awslogs option 'awslogs-create-group' should only be set to 'true', else omit option.")
	}
	if v, ok := l.Options["mode"]; ok && v != "blocking" && v != "non-blocking" {
		return client("Log driver awslogs option 'mode' of container '%s' should be 'blocking' or 'non-blocking'.", *c.Name)
	}
	return nil
}

func secretOption(l *ecsapi.LogConfiguration, name string) bool {
	return slices.ContainsFunc(l.SecretOptions, func(s ecsapi.Secret) bool { return wire.Value(s.Name) == name })
}
