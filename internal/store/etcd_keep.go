package store

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// space is known of the embedded etcd only: whoever runs another one looks after it.
func (b *etcd) space() (space, bool) {
	if b.server == nil {
		return space{}, false
	}
	return b.server.space(), true
}

func (m *member) space() space {
	db := m.etcd.Server.Backend()
	return space{size: db.Size(), inUse: db.SizeInUse(), quota: m.quota}
}

// hardQuota is etcd's own limit. When it is reached, etcd writes nothing more, not
// even deletions; so it lies above the quota, by more than can be written before
// the size that etcd tells follows, which takes it a tenth of a second.
func hardQuota(quota int64) int64 { return quota + quota/4 + 256<<20 }

// shrink rewrites the database if much of it is unused, and ends etcd's alarm if
// it is below its limit again.
func (b *etcd) shrink(ctx context.Context) error {
	db := b.server.etcd.Server.Backend()
	db.ForceCommit() // until then, what was compacted counts as in use
	if s := b.server.space(); s.above(sparingAt) && s.loose() {
		if err := db.Defrag(); err != nil {
			return fmt.Errorf("rewrite etcd's database: %w", err)
		}
	}
	if db.Size() >= hardQuota(b.server.quota) {
		return nil
	}
	alarms, err := b.client.AlarmList(ctx)
	if err != nil {
		return fmt.Errorf("ask for etcd's alarms: %w", err)
	}
	for _, a := range alarms.Alarms {
		if a.Alarm != etcdserverpb.AlarmType_NOSPACE {
			continue
		}
		if _, err := b.client.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: a.MemberID, Alarm: a.Alarm}); err != nil {
			return fmt.Errorf("end etcd's alarm: %w", err)
		}
	}
	return nil
}

// compact waits until the space is free to be used again.
func (b *etcd) compact(ctx context.Context, rev Revision) error {
	_, err := b.client.Compact(ctx, int64(rev), clientv3.WithCompactPhysical())
	if errors.Is(err, rpctypes.ErrCompacted) {
		return nil
	}
	return err
}

const (
	// leadPrefix is where leaders are elected; no row lies there.
	leadPrefix = "gantry-lead/"
	// leaderGone is after how many seconds a leader that is not heard of is replaced.
	leaderGone = 5
)

// lead elects by etcd's leases, unless there is nobody to be elected against.
func (b *etcd) lead(ctx context.Context, name string, run func(context.Context) error) error {
	if b.alone() {
		return run(ctx)
	}
	for {
		err := b.term(ctx, name, run)
		if !errors.Is(err, errDeposed) {
			return err
		}
	}
}

// errDeposed ends a term whose lease was lost.
var errDeposed = errors.New("this server no longer leads")

func (b *etcd) term(ctx context.Context, name string, run func(context.Context) error) error {
	session, err := concurrency.NewSession(b.client, concurrency.WithTTL(leaderGone), concurrency.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("stand for election: %w", err)
	}
	defer session.Close()
	election := concurrency.NewElection(session, leadPrefix+name)
	if err := election.Campaign(ctx, ""); err != nil {
		return fmt.Errorf("stand for election: %w", err)
	}
	term, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-session.Done():
			cancel(errDeposed)
		case <-ended:
		}
	}()
	err = run(term)
	if context.Cause(term) == errDeposed && ctx.Err() == nil {
		return errDeposed
	}
	resign, done := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer done()
	return errors.Join(err, election.Resign(resign))
}
