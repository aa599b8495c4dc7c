package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gantry/bench/measure"
	"gantry/bench/running"
)

// crowd is how many containers are started at once.
const crowd = 20

// pause lets a peer finish what it does behind the scenes before the next one's turn.
const pause = 300 * time.Millisecond

// A peer starts containers in its own way.
type peer interface {
	name() string
	// begin asks for one container; it may be called many times at once.
	begin() error
	// settle returns when every container that was begun is gone.
	settle() error
	// pid is the process that serves the peer.
	pid() int
	// counted is whether what a launch costs can be read from that process: whether
	// shims and what they start are its descendants.
	counted() bool
	close() error
}

// A score is what a peer took in all turns, in milliseconds.
type score struct {
	answered measure.Sample // until the call came back, of one container
	one      measure.Sample
	median   measure.Sample // of a crowd, the middle one
	last     measure.Sample // of a crowd, the last one
	cpu      measure.Sample // CPU time for each container, from asking until it is gone
}

// compare lets the peers take turns until the budget is used up.
func compare(ctx context.Context, o options, s *running.Signals, peers []peer) error {
	scores := make([]score, len(peers))
	for _, p := range peers { // what is slow once
		if _, err := turn(s, p, 1); err != nil {
			return fmt.Errorf("%s: %w", p.name(), err)
		}
	}
	began, rounds, crowds := time.Now(), 0, 0
	for rounds < o.most && (rounds < 3 || time.Since(began) < o.budget/2) {
		for i, p := range peers {
			t, err := turn(s, p, 1)
			if err = errors.Join(err, ctx.Err()); err != nil {
				return fmt.Errorf("%s: %w", p.name(), err)
			}
			scores[i].one = append(scores[i].one, t.took.Median())
			scores[i].answered = append(scores[i].answered, t.answered)
		}
		rounds++
	}
	for crowds < max(1, o.most/3) && (crowds < 1 || time.Since(began) < o.budget) {
		for i, p := range peers {
			t, err := turn(s, p, crowd)
			if err = errors.Join(err, ctx.Err()); err != nil {
				return fmt.Errorf("%s, %d at once: %w", p.name(), crowd, err)
			}
			scores[i].median = append(scores[i].median, t.took.Median())
			scores[i].last = append(scores[i].last, t.took.Quantile(1))
			scores[i].cpu = append(scores[i].cpu, t.cpu/crowd)
		}
		crowds++
	}
	print(peers, scores, rounds, crowds)
	return nil
}

// A result is one turn.
type result struct {
	took     measure.Sample // ms until each container's program ran
	answered float64        // ms until the last call came back
	cpu      float64        // ms of CPU
}

// turn lets a peer start n containers, and waits until they are gone again.
func turn(s *running.Signals, p peer, n int) (result, error) {
	used := measure.Family(p.pid())
	began := time.Now()
	errs := make([]error, n)
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() { errs[i] = p.begin() })
	}
	answered := make(chan time.Duration, 1)
	go func() {
		calls.Wait()
		answered <- time.Since(began)
	}()
	took, conns, err := s.Await(began, n)
	for _, c := range conns {
		c.Close()
	}
	back := <-answered
	if err = errors.Join(append(errs, err)...); err != nil {
		return result{}, err
	}
	if err := p.settle(); err != nil {
		return result{}, err
	}
	time.Sleep(pause)
	return result{
		took: measure.Milliseconds(took), answered: milliseconds(back), cpu: milliseconds(measure.Family(p.pid()) - used),
	}, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func print(peers []peer, scores []score, rounds, crowds int) {
	fmt.Printf("\nfrom asking until the program runs, ms: median (fastest–slowest) of %d turns of one and %d of %d at once\n", rounds, crowds, crowd)
	for i, p := range peers {
		s := scores[i]
		fmt.Printf("  %-42s one %s, asked and answered %.0f;  %d at once: middle %s, last %s\n", p.name(),
			s.one.Text("%.0f"), s.answered.Median(), crowd, s.median.Text("%.0f"), s.last.Text("%.0f"))
	}
	for i, p := range peers {
		if p.counted() {
			fmt.Printf("  %-42s CPU for each of %d, from asking until it is gone: %s ms\n", p.name(), crowd, scores[i].cpu.Text("%.0f"))
		}
	}
	ours := scores[0]
	for i, p := range peers[1:] {
		s := scores[i+1]
		fmt.Printf("  gantry : %s = %.2f one, %.2f the middle of %d, %.2f the last of %d\n", p.name(),
			ours.one.Median()/s.one.Median(), ours.median.Median()/s.median.Median(), crowd, ours.last.Median()/s.last.Median(), crowd)
	}
	fmt.Printf("machine, at the end: %s\n", measure.Describe())
}
