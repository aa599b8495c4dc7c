package engine

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func port(p uint16) map[hostPort]bool { return map[hostPort]bool{{"tcp", p}: true} }

// A burst of tasks starts in the order of arrival, each woken by the one before.
func TestLedgerWakesInOrder(t *testing.T) {
	l := newLedger(Capacity{CPU: 3})
	var woken []string
	for i, arn := range []string{"a", "b", "c", "d"} {
		l.await(candidate{arn: arn, needs: needs{cpu: 1}, order: int64(i), wake: func() { woken = append(woken, arn) }})
	}
	if l.take("b") {
		t.Error("b started before a")
	}
	for _, arn := range []string{"a", "b", "c"} {
		if !l.take(arn) {
			t.Errorf("%s did not start in its turn", arn)
		}
	}
	if l.take("d") {
		t.Error("d started though the machine is full")
	}
	l.give("b")
	if want := []string{"b", "c", "d"}; !slices.Equal(woken, want) {
		t.Errorf("woken: %v, want %v", woken, want)
	}
	if !l.take("d") || !l.take("d") {
		t.Error("d did not start once there was room")
	}
}

// A task that waits for a port lets those behind it pass, and is woken when the port is free.
func TestLedgerLetsOthersPass(t *testing.T) {
	l := newLedger(Capacity{})
	l.hold("old", needs{ports: port(80)})
	woken := 0
	l.await(candidate{arn: "new", needs: needs{ports: port(80)}, order: 1, wake: func() { woken++ }})
	l.await(candidate{arn: "other", needs: needs{ports: port(81)}, order: 2, wake: func() {}})
	if l.take("new") || !l.take("other") {
		t.Error("the one whose port is taken has to wait, the other must not")
	}
	l.give("old")
	if woken != 1 || !l.take("new") {
		t.Errorf("woken %d times, want once, and then it starts", woken)
	}
}

// Whatever happens, no port is held twice, the capacity is kept, and whoever could start has been told.
func TestLedgerLosesNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger(Capacity{CPU: 4})
		told := map[string]bool{}
		var order int64
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			arn := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "task")
			_, runs := l.taken[arn]
			waits := slices.ContainsFunc(l.waiting, func(c candidate) bool { return c.arn == arn })
			switch {
			case !runs && !waits:
				n := needs{cpu: rapid.Int64Range(0, 4).Draw(t, "cpu")}
				if p := rapid.Uint16Range(0, 2).Draw(t, "port"); p > 0 {
					n.ports = port(p)
				}
				order++
				l.await(candidate{arn: arn, needs: n, order: order, wake: func() { told[arn] = true }})
				told[arn] = true // it asks by itself
			case rapid.Bool().Draw(t, "give"):
				l.give(arn)
				delete(told, arn)
			}
			// Everybody who was told asks, until nobody starts any more.
			for again := true; again; {
				again = false
				for arn := range told {
					delete(told, arn)
					again = l.take(arn) || again
				}
			}
			if first := l.first(); first != nil {
				t.Fatalf("%s could start, and was not told", first.arn)
			}
			var s sum
			s.ports, s.gpus = map[hostPort]int{}, map[string]int{}
			for _, n := range l.taken {
				s.add(n, 1)
			}
			if s.cpu != l.sum.cpu || s.cpu > 4 {
				t.Fatalf("tasks take %d units of CPU, the ledger says %d, the machine has 4", s.cpu, l.sum.cpu)
			}
			for p, n := range s.ports {
				if n > 1 || l.sum.ports[p] != n {
					t.Fatalf("port %v is held %d times, the ledger says %d", p, n, l.sum.ports[p])
				}
			}
		}
	})
}
