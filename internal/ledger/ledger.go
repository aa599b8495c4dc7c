// Package ledger knows what every container instance has left, and chooses one
// for each new task: it keeps the placement index of every ECS cluster in step
// with the store, for RunTask and for the service scheduler alike.
//
// Place answers from memory. The places it gives are claimed until the caller
// says how its transaction ended, so that two callers are not given the same
// room while the first one's task is still being written:
//
//	claim, err := l.Place(cluster, ecsapi.LaunchTypeEc2, spec, ids)
//	_, err = s.Update(ctx, …)   // the tasks, and each instance's Reservation
//	claim.Done()                // kept where the tasks were written, else given back
//
// The ledger is an opinion, the Reservations in the store are the truth: with
// several servers another one may have been faster, and then the transaction
// finds the instance full. Release the claim and place again.
//
// It writes nothing, starts no goroutine, and never moves a task.
package ledger

import (
	"sync"

	"gantry"
	"gantry/internal/placement"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// A Ledger holds the placement index of every cluster. It is safe for concurrent use.
type Ledger struct {
	store *store.Store

	// mu serialises decisions. A decision takes microseconds and waits for nothing,
	// so that one lock serves all clusters.
	mu sync.Mutex
	// at is the revision that books are in step with; 0 before the first look.
	at    store.Revision
	books map[gantry.ClusterName]*book
}

// New makes a ledger of what the store holds.
func New(s *store.Store) *Ledger { return &Ledger{store: s} }

// A Claim is the places found for the tasks of one request.
type Claim struct {
	// Places are those of the first tasks, in the order of their ids.
	Places []Place
	// Refusal says why the next task has no place; nil where all have one.
	Refusal *placement.Refusal
	// Instances is how many container instances of the launch type the cluster has.
	Instances int

	ledger  *Ledger
	cluster gantry.ClusterName
}

// A Place is where one task goes.
type Place struct {
	Task     gantry.TaskID
	Instance gantry.InstanceID
}

// Place claims places for the tasks with the given ids, all of one spec, on the
// cluster's container instances of one launch type (EC2 or EXTERNAL). It stops at
// the first task that fits nowhere. The error is placement's *InvalidError: the
// spec itself is wrong.
func (l *Ledger) Place(cluster gantry.ClusterName, launch ecsapi.LaunchType, spec placement.Spec, ids []gantry.TaskID) (*Claim, error) {
	request, err := placement.Compile(spec)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.catchUp()
	b := l.book(cluster)
	index := b.pool(launch)
	claim := &Claim{Instances: index.Len(), ledger: l, cluster: cluster}
	for _, id := range ids {
		choice, refusal := placement.Place(index, request, id)
		if refusal != nil {
			claim.Refusal = refusal
			break
		}
		b.add(id, &entry{instance: choice.Instance, group: spec.Group, demand: spec.Demand, claimed: true})
		claim.Places = append(claim.Places, Place{Task: id, Instance: choice.Instance})
	}
	return claim, nil
}

// Done ends the claim: a place whose task was written stays taken, any other is
// free again. Call it once, when the transaction has ended, however it ended.
func (c *Claim) Done() {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	c.ledger.catchUp()
	b := c.ledger.book(c.cluster)
	for _, p := range c.Places {
		if e := b.tasks[p.Task]; e != nil && e.claimed {
			b.remove(p.Task) // the store knows no such task
		}
	}
}

// catchUp brings the books in step with the store. mu is held.
func (l *Ledger) catchUp() {
	if l.at == 0 {
		l.rebuild(l.store.View())
		return
	}
	changes, ok := l.store.Changes(l.at)
	if !ok {
		l.rebuild(l.store.View())
		return
	}
	for _, c := range changes {
		l.tell(c)
		l.at = c.Revision
	}
}

// tell takes one change over. A change told twice does no harm.
func (l *Ledger) tell(c store.Change) {
	if before, after, ok := store.Tasks.Of(c); ok {
		if after != nil {
			l.book(after.Cluster).setTask(after)
		} else {
			l.book(before.Cluster).remove(before.ID)
		}
	} else if before, after, ok := store.Instances.Of(c); ok {
		if after != nil {
			l.book(after.Cluster).setInstance(after)
		} else {
			l.book(before.Cluster).removeInstance(before.ID)
		}
	} else if _, after, ok := store.Connections.Of(c); ok && after != nil {
		l.book(after.Cluster).setConnection(after)
	}
}

// rebuild makes the books anew from a snapshot. Places that are claimed for tasks
// which the snapshot does not know yet stay claimed.
func (l *Ledger) rebuild(snap *store.Snapshot) {
	old := l.books
	l.books, l.at = map[gantry.ClusterName]*book{}, snap.Revision()
	for c := range store.Connections.All(snap, "") {
		l.book(c.Cluster).setConnection(c)
	}
	for i := range store.Instances.All(snap, "") {
		l.book(i.Cluster).setInstance(i)
	}
	for t := range store.Tasks.All(snap, "") {
		l.book(t.Cluster).setTask(t)
	}
	for cluster, b := range old {
		for id, e := range b.tasks {
			if _, known := store.Tasks.Get(snap, string(cluster)+"/"+string(id)); e.claimed && !known {
				l.book(cluster).add(id, e)
			}
		}
	}
}

func (l *Ledger) book(cluster gantry.ClusterName) *book {
	b := l.books[cluster]
	if b == nil {
		b = newBook()
		l.books[cluster] = b
	}
	return b
}
