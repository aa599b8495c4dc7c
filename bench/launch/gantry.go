package main

import (
	"bytes"
	"fmt"
	"time"

	"gantry/bench/client"
	"gantry/bench/gantryup"
	"gantry/bench/running"
	"gantry/internal/wire/ecsapi"
)

const family = "hello"

// A gantryPeer is the real `gantry up`, asked by RunTask.
type gantryPeer struct {
	server *gantryup.Server
}

func openGantry(program, dir, image, folder string) (*gantryPeer, error) {
	s, err := gantryup.Start(program, dir)
	if err != nil {
		return nil, err
	}
	p := &gantryPeer{server: s}
	if err := p.prepare(image, folder); err != nil {
		return nil, fmt.Errorf("prepare gantry: %w\n%w", err, p.close())
	}
	return p, nil
}

func (p *gantryPeer) prepare(image, folder string) error {
	if err := p.server.Command("image", "load", image); err != nil {
		return err
	}
	if err := p.server.API.Call("CreateCluster", &ecsapi.CreateClusterInput{}, nil); err != nil {
		return err
	}
	if err := p.server.API.Call("RegisterTaskDefinition", &ecsapi.RegisterTaskDefinitionInput{
		Family: new(family), NetworkMode: ecsapi.NetworkModeBridge,
		Volumes: []ecsapi.Volume{{Name: new("bench"), Host: &ecsapi.HostVolumeProperties{SourcePath: &folder}}},
		ContainerDefinitions: []ecsapi.ContainerDefinition{{
			Name: new("hello"), Image: new(running.ImageName), Cpu: new(int32(10)), Memory: new(int32(32)),
			PortMappings: []ecsapi.PortMapping{{ContainerPort: new(int32(8080)), HostPort: new(int32(0))}},
			MountPoints:  []ecsapi.MountPoint{{SourceVolume: new("bench"), ContainerPath: new("/bench")}},
			LogConfiguration: &ecsapi.LogConfiguration{LogDriver: ecsapi.LogDriverAwslogs, Options: map[string]string{
				"awslogs-group": "/bench/hello", "awslogs-region": p.server.API.Region,
				"awslogs-create-group": "true", "awslogs-stream-prefix": "bench",
			}},
		}},
	}, nil); err != nil {
		return err
	}
	return p.server.Joined(running.Within)
}

func (p *gantryPeer) name() string { return "gantry, RunTask, bridge, port, awslogs" }

func (p *gantryPeer) pid() int { return p.server.Pid() }

func (p *gantryPeer) counted() bool { return true }

// begin signs, connects and calls, as a client does that has nothing prepared.
func (p *gantryPeer) begin() error {
	request, err := p.server.API.Sign("RunTask", &ecsapi.RunTaskInput{TaskDefinition: new(family)})
	if err != nil {
		return err
	}
	c, err := client.Dial(p.server.API.Address)
	if err != nil {
		return err
	}
	defer c.Close()
	body, err := c.Do(request)
	if err != nil {
		return err
	}
	if !bytes.Contains(body, []byte(`"failures":[]`)) {
		return fmt.Errorf("RunTask: %s", body)
	}
	return nil
}

func (p *gantryPeer) settle() error {
	for end := time.Now().Add(running.Within); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var out ecsapi.DescribeClustersOutput
		if err := p.server.API.Call("DescribeClusters", &ecsapi.DescribeClustersInput{}, &out); err != nil {
			return err
		}
		if c := out.Clusters; len(c) == 1 && *c[0].RunningTasksCount == 0 && *c[0].PendingTasksCount == 0 {
			return nil
		}
	}
	return fmt.Errorf("tasks still run after %s", running.Within)
}

func (p *gantryPeer) close() error { return p.server.Down() }
