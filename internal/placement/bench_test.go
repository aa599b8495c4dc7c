package placement

import (
	"fmt"
	"testing"
	"time"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// The benchmarks place batches of 100 tasks, each batch on a clone of a cluster whose
// instances are about half full, and report the time per task, cloning and counting it
// included.
const batch = 100

var zonesThenMemory = []ecsapi.PlacementStrategy{
	{Type: "spread", Field: new("attribute:ecs.availability-zone")},
	{Type: "binpack", Field: new("memory")},
}

// benchCluster gives a cluster of instances in three zones, of three sizes, two of three on
// linux disks of type ssd, with some tasks of other groups on them.
func benchCluster(instances int) *Cluster {
	c := NewCluster()
	for i := range instances {
		id := gantry.InstanceID(fmt.Sprintf("%032x", mix(uint64(i))))
		c.Set(Instance{
			ID: id, Status: "ACTIVE", Connected: true, AgentVersion: "1.79.0", RegisteredAt: time.Unix(int64(i), 0),
			Attributes: map[string]string{
				"ecs.availability-zone": fmt.Sprintf("us-east-1%c", 'a'+i%3),
				"ecs.instance-type":     []string{"m5.large", "m5.xlarge", "c5.2xlarge"}[i/3%3],
				"disk":                  []string{"ssd", "ssd", "hdd"}[i/9%3],
			},
			Total:    Resources{CPU: 4096 << (i / 3 % 3), Memory: 8192 << (i / 3 % 3)},
			Reserved: []Port{{22, TCP}, {2375, TCP}, {2376, TCP}, {51678, TCP}, {51679, TCP}},
		})
		for t := range i % 7 {
			d := Demand{CPU: 256, Memory: 512 + int64(t*i%5)*64}
			if t%3 == 0 {
				d.Ports = []Port{{uint16(8000 + i%50), TCP}}
			}
			if err := c.AddTask(id, gantry.Group(fmt.Sprint("service:", i%20)), d); err != nil {
				panic(err)
			}
		}
	}
	return c
}

func BenchmarkPlace(b *testing.B) {
	for _, shape := range []struct {
		name string
		spec Spec
	}{
		{"spread-zones-binpack-memory", Spec{Strategies: zonesThenMemory}},
		{"with-ports-and-memberOf", Spec{
			Strategies: zonesThenMemory,
			Constraints: []ecsapi.PlacementConstraint{{Type: "memberOf",
				Expression: new("attribute:disk == ssd and attribute:ecs.instance-type =~ m5.*")}},
			Demand: Demand{Ports: []Port{{8010, TCP}, {8443, TCP}}},
		}},
		{"service-default", Spec{Strategies: ServiceStrategies()}},
		{"runtask-default", Spec{Strategies: RunTaskStrategies()}},
		{"distinct-binpack-cpu", Spec{
			Strategies:  []ecsapi.PlacementStrategy{{Type: "binpack", Field: new("cpu")}},
			Constraints: []ecsapi.PlacementConstraint{{Type: "distinctInstance"}},
		}},
	} {
		for _, instances := range []int{1000, 5000} {
			b.Run(fmt.Sprintf("%s/instances=%d", shape.name, instances), func(b *testing.B) {
				spec := shape.spec
				spec.Group, spec.Demand.CPU, spec.Demand.Memory = "service:new", 256, 512
				benchBatches(b, benchCluster(instances), spec)
			})
		}
	}
}

func benchBatches(b *testing.B, c *Cluster, spec Spec) {
	tasks := make([]gantry.TaskID, batch)
	for i := range tasks {
		tasks[i] = gantry.TaskID(fmt.Sprintf("%032x", mix(uint64(i+1))))
	}
	b.ReportAllocs()
	for b.Loop() {
		work := c.Clone()
		r, err := Compile(spec)
		if err != nil {
			b.Fatal(err)
		}
		for _, task := range tasks {
			choice, refusal := Place(work, r, task)
			if refusal != nil {
				b.Fatal(refusal)
			}
			if err := work.AddTask(choice.Instance, spec.Group, spec.Demand); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/task")
}

// BenchmarkPlaceInPlace places batches on the cluster itself, and takes them back: the
// same work twice over, without the copies that a clone makes.
func BenchmarkPlaceInPlace(b *testing.B) {
	for _, instances := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("instances=%d", instances), func(b *testing.B) {
			c := benchCluster(instances)
			spec := Spec{Group: "service:new", Demand: Demand{CPU: 256, Memory: 512}, Strategies: zonesThenMemory}
			r, err := Compile(spec)
			if err != nil {
				b.Fatal(err)
			}
			placed := make([]gantry.InstanceID, batch)
			b.ReportAllocs()
			for b.Loop() {
				for i := range placed {
					choice, refusal := Place(c, r, gantry.TaskID(placed[i]))
					if refusal != nil {
						b.Fatal(refusal)
					}
					placed[i] = choice.Instance
					if err := c.AddTask(placed[i], spec.Group, spec.Demand); err != nil {
						b.Fatal(err)
					}
				}
				for _, id := range placed {
					if err := c.RemoveTask(id, spec.Group, spec.Demand); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/task")
		})
	}
}

// BenchmarkPlaceOne clones, compiles and places a single task: a RunTask with count 1.
func BenchmarkPlaceOne(b *testing.B) {
	for _, instances := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("instances=%d", instances), func(b *testing.B) {
			c := benchCluster(instances)
			spec := Spec{Group: "family:one", Demand: Demand{CPU: 256, Memory: 512}, Strategies: zonesThenMemory}
			b.ReportAllocs()
			for b.Loop() {
				work := c.Clone()
				r, err := Compile(spec)
				if err != nil {
					b.Fatal(err)
				}
				choice, refusal := Place(work, r, "0123456789abcdef0123456789abcdef")
				if refusal != nil {
					b.Fatal(refusal)
				}
				if err := work.AddTask(choice.Instance, spec.Group, spec.Demand); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
