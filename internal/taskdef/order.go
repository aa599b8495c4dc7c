package taskdef

import (
	"slices"
	"strings"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// checkOrder checks dependsOn and links: that what they name exists and can
// come to pass, and that neither goes in a circle.
func checkOrder(def *ecsapi.TaskDefinition) error {
	depends, links := map[string][]string{}, map[string][]string{}
	for i := range def.ContainerDefinitions {
		c := &def.ContainerDefinitions[i]
		for _, d := range c.DependsOn {
			if err := checkDependency(def, c, d); err != nil {
				return err
			}
			depends[*c.Name] = append(depends[*c.Name], *d.ContainerName)
		}
		for _, link := range c.Links {
			name, err := checkLink(def, c, link)
			if err != nil {
				return err
			}
			links[*c.Name] = append(links[*c.Name], name)
		}
	}
	if circular(depends) {
		return client("Container dependencies should not have a cycle")
	}
	if circular(links) {
		return client("Container links should not have a cycle")
	}
	return nil
}

func checkDependency(def *ecsapi.TaskDefinition, c *ecsapi.ContainerDefinition, d ecsapi.ContainerDependency) error {
	on := container(def, wire.Value(d.ContainerName))
	if on == nil {
		return client("Cannot depend on container '%s' because it does not exist", wire.Value(d.ContainerName))
	}
	if on == c {
		return client("Container '%s' cannot depend on itself", *c.Name)
	}
	switch d.Condition {
	case ecsapi.ContainerConditionComplete, ecsapi.ContainerConditionSuccess:
		if essential(on) {
			return client("A dependency container with SUCCESS or COMPLETE condition cannot be an essential container")
		}
	case ecsapi.ContainerConditionHealthy:
		if on.HealthCheck == nil {
			return client("Container '%s' depends on container '%s' being HEALTHY, but that container has no health check", *c.Name, *on.Name)
		}
	}
	return nil
}

// checkLink reads "container" or "container:alias" and returns the container's name.
func checkLink(def *ecsapi.TaskDefinition, c *ecsapi.ContainerDefinition, link string) (string, error) {
	name, alias, hasAlias := strings.Cut(link, ":")
	if !validName(name) || hasAlias && !validName(alias) {
		return "", client("Container link '%s' of container '%s' is not of the form name or name:alias", wire.Shorten(link), *c.Name)
	}
	if name == *c.Name {
		return "", client("Container links should not have a cycle")
	}
	if container(def, name) == nil {
		return "", client("Cannot link container '%s' to container '%s' because it does not exist", *c.Name, name)
	}
	return name, nil
}

// circular reports whether following the arrows can lead back to where one was.
func circular(arrows map[string][]string) bool {
	const visiting, done = 1, 2
	state := map[string]int{}
	var visit func(string) bool
	visit = func(name string) bool {
		if state[name] != 0 {
			return state[name] == visiting
		}
		state[name] = visiting
		found := slices.ContainsFunc(arrows[name], visit)
		state[name] = done
		return found
	}
	for name := range arrows {
		if visit(name) {
			return true
		}
	}
	return false
}
