package plane

import "gantry/internal/wire/ecsapi"

// The benchmarks' task: its family, and what it takes.
const (
	Family  = "web"
	TaskCPU = 256
	TaskMiB = 512
)

// Definition is that of all tasks: a web server with a dynamic host port, a log, and a few settings.
var Definition = &ecsapi.RegisterTaskDefinitionInput{
	Family: new(Family), NetworkMode: ecsapi.NetworkModeBridge,
	ContainerDefinitions: []ecsapi.ContainerDefinition{{
		Name: new("web"), Image: new(Image), Cpu: new(int32(TaskCPU)), Memory: new(int32(TaskMiB)),
		PortMappings: []ecsapi.PortMapping{{ContainerPort: new(int32(8080)), HostPort: new(int32(0))}},
		Environment: []ecsapi.KeyValuePair{
			{Name: new("STAGE"), Value: new("production")}, {Name: new("LOG_LEVEL"), Value: new("info")},
		},
		LogConfiguration: &ecsapi.LogConfiguration{LogDriver: ecsapi.LogDriverAwslogs, Options: map[string]string{
			"awslogs-group": "/bench/web", "awslogs-region": string(Place.Region), "awslogs-stream-prefix": "bench",
		}},
	}},
}
