package placement

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gantry"
	"gantry/internal/wire/ecsapi"
)

// TestScenarios plays testdata/*.txt; placing.txt says how they are written.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 2 {
		t.Fatalf("found %v: %v", files, err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s := &stage{}
		lines := bufio.NewScanner(f)
		for n := 1; lines.Scan(); n++ {
			line := strings.TrimSpace(lines.Text())
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if err := s.play(line); err != nil {
				t.Errorf("%s:%d: %s: %s: %v", file, n, s.scenario, line, err)
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
		if s.checks < 5 {
			t.Errorf("%s checks %d times", file, s.checks)
		}
		if s.waiting != nil {
			t.Errorf("%s: the last action has no outcome", file)
		}
	}
}

// stage is a scenario that is being played.
type stage struct {
	scenario string
	cluster  *Cluster
	tasks    []Placed
	draining map[gantry.InstanceID]bool
	spec     Spec
	waiting  []string // what the last action gave, in the words of the next line
	failures []string
	named    int
	checks   int
}

func (s *stage) play(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	fields := strings.Fields(rest)
	switch word {
	case "on", "refused", "stops", "failure":
		return s.check(word, rest)
	}
	if s.waiting != nil {
		return fmt.Errorf("the outcome of the action before was %q", s.waiting)
	}
	switch word {
	case "scenario":
		*s = stage{scenario: rest, cluster: NewCluster(), draining: map[gantry.InstanceID]bool{}, named: s.named, checks: s.checks}
	case "instance":
		return s.instance(fields)
	case "task":
		return s.task(fields)
	case "request":
		s.spec = Spec{Group: gantry.Group(fields[0])}
		return s.demand(&s.spec.Demand, fields[1:])
	case "strategy":
		strategy := ecsapi.PlacementStrategy{Type: ecsapi.PlacementStrategyType(fields[0])}
		if len(fields) > 1 {
			strategy.Field = &fields[1]
		}
		s.spec.Strategies = append(s.spec.Strategies, strategy)
	case "constraint":
		kind, expression, _ := strings.Cut(rest, " ")
		s.spec.Constraints = append(s.spec.Constraints, ecsapi.PlacementConstraint{Type: ecsapi.PlacementConstraintType(kind), Expression: &expression})
	case "place", "stop", "failures":
		return s.act(word, fields)
	default:
		return fmt.Errorf("unknown word %q", word)
	}
	return nil
}

func (s *stage) instance(fields []string) error {
	inst := Instance{ID: gantry.InstanceID(fields[0]), Status: "ACTIVE", Connected: true, Attributes: map[string]string{}}
	for _, field := range fields[1:] {
		key, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseInt(value, 10, 64)
		switch key {
		case "cpu":
			inst.Total.CPU = n
		case "memory":
			inst.Total.Memory = n
		case "gpus":
			inst.Total.GPUs = n
		case "DRAINING":
			inst.Status, err = "DRAINING", nil
			s.draining[inst.ID] = true
		case "disconnected":
			inst.Connected, err = false, nil
		case "ports":
			inst.Reserved, err = ports(value)
		default:
			inst.Attributes[key], err = value, nil
		}
		if err != nil {
			return err
		}
	}
	s.cluster.Set(inst)
	return nil
}

func (s *stage) task(fields []string) error {
	s.named++
	t := Placed{Task: gantry.TaskID(fmt.Sprint("task-", s.named)), Instance: gantry.InstanceID(fields[0]), Running: true}
	t.Draining = s.draining[t.Instance]
	for last := len(fields) - 1; ; last = len(fields) - 1 {
		switch fields[last] {
		case "PENDING":
			t.Running = false
		case "protected":
			t.Protected = true
		default:
			if err := s.demand(&t.Demand, fields[2:]); err != nil {
				return err
			}
			s.tasks = append(s.tasks, t)
			return s.cluster.AddTask(t.Instance, gantry.Group(fields[1]), t.Demand)
		}
		fields = fields[:last]
	}
}

func (s *stage) demand(d *Demand, fields []string) error {
	for _, field := range fields {
		key, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseInt(value, 10, 64)
		switch name, other := strings.CutPrefix(key, "other:"); {
		case other:
			d.Other = append(d.Other, Amount{name, n})
		case key == "cpu":
			d.CPU = n
		case key == "memory":
			d.Memory = n
		case key == "gpus":
			d.GPUs = n
		case key == "ports":
			d.Ports, err = ports(value)
		case key == "requires":
			err = nil
			for _, a := range strings.Split(value, ",") {
				name, v, hasValue := strings.Cut(a, "=")
				required := ecsapi.Attribute{Name: &name}
				if hasValue {
					required.Value = &v
				}
				s.spec.Requires = append(s.spec.Requires, required)
			}
		default:
			err = fmt.Errorf("unknown field %q", key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func ports(text string) ([]Port, error) {
	var list []Port
	for _, port := range strings.Split(text, ",") {
		number, protocol, _ := strings.Cut(port, "/")
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return nil, err
		}
		list = append(list, Port{uint16(n), Protocol(protocol)})
	}
	return list, nil
}

func (s *stage) act(word string, fields []string) error {
	r, err := Compile(s.spec)
	if err != nil {
		return err
	}
	if word == "failures" {
		_, refusal := Place(s.cluster, r, "task-x")
		if refusal == nil {
			return fmt.Errorf("the task would be placed")
		}
		for _, x := range refusal.Closest {
			s.waiting = append(s.waiting, fmt.Sprintf("failure %s %q %s", x.Instance, x.Reason(), x.Detail()))
		}
		return nil
	}
	n, err := strconv.Atoi(fields[0])
	if err != nil {
		return err
	}
	if word == "stop" {
		outcome := "stops"
		for _, id := range ChooseToStop(s.cluster, r, s.tasks, n) {
			i := slices.IndexFunc(s.tasks, func(t Placed) bool { return t.Task == id })
			outcome += " " + string(s.tasks[i].Instance)
		}
		s.waiting = []string{outcome}
		return nil
	}
	outcome := "on"
	for range n {
		s.named++
		choice, refusal := Place(s.cluster, r, gantry.TaskID(fmt.Sprint("task-", s.named)))
		if refusal != nil {
			s.waiting = []string{"refused " + refusal.Event()}
			return nil
		}
		outcome += " " + string(choice.Instance)
		if err := s.cluster.AddTask(choice.Instance, s.spec.Group, s.spec.Demand); err != nil {
			return err
		}
	}
	s.waiting = []string{outcome}
	return nil
}

// check compares the outcome of the last action with what the scenario wants. A word of it
// may list alternatives: a|b.
func (s *stage) check(word, rest string) error {
	if len(s.waiting) == 0 {
		return fmt.Errorf("nothing was done")
	}
	s.checks++
	want, got := word+" "+rest, s.waiting[0]
	if s.waiting = s.waiting[1:]; len(s.waiting) == 0 {
		s.waiting = nil
	}
	wants, gots := strings.Fields(want), strings.Fields(got)
	same := len(wants) == len(gots)
	for i := 0; same && i < len(wants); i++ {
		same = wants[i] == gots[i] || slices.Contains(strings.Split(wants[i], "|"), gots[i])
	}
	if !same {
		return fmt.Errorf("got %s", got)
	}
	return nil
}
