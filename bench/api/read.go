package main

import (
	"bytes"
	"errors"
	"fmt"

	"gantry/bench/client"
	"gantry/bench/plane"
	"gantry/internal/wire/ecsapi"
)

// readings are what is measured.
var readings = []reading{
	{"DescribeTasks of 100 tasks", describeLoad},
	{"ListTasks, a page of 100", func(c *peer) (client.Load, error) {
		return c.load("ListTasks", &ecsapi.ListTasksInput{Cluster: new(cluster)})
	}},
	{"ListTasks of one service, a page of 100", func(c *peer) (client.Load, error) {
		return c.load("ListTasks", &ecsapi.ListTasksInput{Cluster: new(cluster), ServiceName: new(serviceName(3))})
	}},
	{fmt.Sprintf("DescribeServices of %d services, which have all tasks and %d events each", services, events), func(c *peer) (client.Load, error) {
		in := &ecsapi.DescribeServicesInput{Cluster: new(cluster)}
		for i := range services {
			in.Services = append(in.Services, serviceName(i))
		}
		return c.load("DescribeServices", in)
	}},
}

// A reading is a call that changes nothing.
type reading struct {
	name string
	load func(*peer) (client.Load, error)
}

// measureReading measures one on both control planes, and beside them a bare server that
// answers as many bytes as the large one does.
func measureReading(o options, small, large *peer, r reading) (err error) {
	loads := make([]client.Load, 2)
	size := 0
	for i, c := range []*peer{small, large} {
		if loads[i], err = r.load(c); err != nil {
			return err
		}
		if size, err = sizeOf(loads[i]); err != nil {
			return err
		}
	}
	bare, err := start(bareRole, wish{Number: size})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.End()) }()
	loads = append(loads, client.Load{Address: bare.API.Address, Request: loads[0].Request, Connections: connections})
	var got [3]series
	var paced series
	for range o.rounds {
		for i, c := range []*peer{small, large, bare} {
			if err := got[i].round(c, func() (client.Result, error) { return loads[i].Saturate(o.length) }); err != nil {
				return err
			}
		}
		if err := paced.round(large, func() (client.Result, error) { return loads[1].Pace(o.length, readRate) }); err != nil {
			return err
		}
	}
	fmt.Printf("\n%s, %d KB each answer, %d connections\n", r.name, size/1000, connections)
	got[0].print(fmt.Sprintf("  beside %d tasks", few))
	got[1].print(fmt.Sprintf("  beside %d tasks", many))
	got[2].print("  bare net/http, as many bytes")
	paced.print(fmt.Sprintf("  beside %d, at %d/s, when due", many, readRate))
	ratio(&got[0], &got[1])
	fmt.Printf("  cost over bare net/http: %.2f ×\n", bareRatio(&got[0], &got[2]))
	return nil
}

// load is one call, made again and again.
func (c *peer) load(operation string, in any) (client.Load, error) {
	request, err := c.API.Sign(operation, in)
	l := client.Load{Address: c.API.Address, Request: request, Connections: connections}
	if operation != "ListTasks" { // which tells of no failures
		l.Check = unfailing
	}
	return l, err
}

func describeLoad(c *peer) (client.Load, error) {
	return c.load("DescribeTasks", &ecsapi.DescribeTasksInput{Cluster: new(cluster), Tasks: c.Describe})
}

func runLoad(c *peer) (client.Load, error) {
	return c.load("RunTask", &ecsapi.RunTaskInput{Cluster: new(cluster), TaskDefinition: new(plane.Family), Count: new(int32(1))})
}

// sizeOf is the size of a load's answer.
func sizeOf(l client.Load) (int, error) {
	c, err := client.Dial(l.Address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	body, err := c.Do(l.Request)
	return len(body), err
}

// unfailing checks that an answer tells of no failures.
func unfailing(body []byte) error {
	// They come last: the whole of a large answer need not be looked at.
	if !bytes.Contains(body[max(0, len(body)-len(noFailures)-2):], noFailures) && !bytes.Contains(body, noFailures) {
		return fmt.Errorf("not what was asked for: %s", body[:min(len(body), 500)])
	}
	return nil
}
