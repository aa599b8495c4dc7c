// Package ledger starts tasks on container instances: for RunTask, StartTask and
// the service scheduler alike. It keeps a placement index of every ECS cluster in
// step with the store, so that it knows what each instance has left.
//
//	launched, err := l.Launch(ctx, ledger.Batch{…})
//
// Launch chooses places from memory (Place), and writes the tasks together with
// the Reservations of their instances (Reserve) in one transaction. Until that
// has ended the places are claimed, so that two callers are not given the same room.
//
// The index is an opinion, the Reservations in the store are the truth: with
// several servers another one may have been faster; then the transaction finds
// the instance full, and Launch looks again.
//
// The package starts no goroutine. It never moves a task and never stops one;
// whoever makes a task STOPPED calls Release in the same transaction.
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
	// Refused are those that PlaceOn was given and that cannot take the task. One that
	// is not in the cluster lacks nothing.
	Refused []placement.Examined

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

// PlaceOn claims places on the instances that the caller names, one for each id,
// as far as the task can go there.
func (l *Ledger) PlaceOn(cluster gantry.ClusterName, spec placement.Spec, ids []gantry.TaskID, on []gantry.InstanceID) (*Claim, error) {
	request, err := placement.Compile(spec)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.catchUp()
	b := l.book(cluster)
	claim := &Claim{Instances: len(b.instances), ledger: l, cluster: cluster}
	for i, id := range on {
		examined := placement.Examined{Instance: id}
		instance := b.instances[id]
		if instance != nil {
			examined, _ = placement.Examine(b.pool(instance.LaunchType), request, id)
		}
		if instance == nil || len(examined.Lacks) > 0 {
			claim.Refused = append(claim.Refused, examined)
			continue
		}
		b.add(ids[i], &entry{instance: id, group: spec.Group, demand: spec.Demand, claimed: true})
		claim.Places = append(claim.Places, Place{Task: ids[i], Instance: id})
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
