package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// pageSize is how many rows are asked for at once when the store is read: some
// megabytes.
const pageSize = 4_000

// load reads all rows at the revision that the head had.
func (b *etcd) load(ctx context.Context) (iter.Seq2[event, error], Revision, int64, error) {
	first, err := b.client.Get(ctx, headKey)
	if err != nil {
		return nil, 0, 0, err
	}
	if len(first.Kvs) == 0 {
		return nil, 0, 0, errors.New("the store has no head")
	}
	at := first.Header.Revision
	rows := func(yield func(event, error) bool) {
		end := clientv3.GetPrefixRangeEnd(rowPrefix)
		for from := rowPrefix; ; {
			r, err := b.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithRev(at), clientv3.WithLimit(pageSize))
			if err != nil {
				yield(event{}, err)
				return
			}
			for _, kv := range r.Kvs {
				e := eventOf(kv)
				e.value, e.revision = kv.Value, Revision(kv.ModRevision)
				if !yield(e, nil) {
					return
				}
			}
			if !r.More {
				return
			}
			from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
		}
	}
	return rows, Revision(at), first.Kvs[0].Version, nil
}

func eventOf(kv *mvccpb.KeyValue) event {
	table, key, _ := strings.Cut(strings.TrimPrefix(string(kv.Key), rowPrefix), "/")
	return event{table: table, key: key}
}

// watch applies what etcd tells, transaction by transaction.
func (b *etcd) watch(ctx context.Context, after Revision, apply func(batch) error) error {
	for next, err := range b.follow(ctx, after) {
		if err != nil {
			return err
		}
		if err := apply(next); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (b *etcd) history(ctx context.Context, after Revision) iter.Seq2[batch, error] {
	return b.follow(ctx, after, clientv3.WithPrevKV())
}

// follow yields the transactions after a revision. etcd's client takes a broken
// stream up again where it was.
func (b *etcd) follow(ctx context.Context, after Revision, options ...clientv3.OpOption) iter.Seq2[batch, error] {
	return func(yield func(batch, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		options := append(options, clientv3.WithPrefix(), clientv3.WithRev(int64(after)+1))
		for r := range b.client.Watch(ctx, prefix, options...) {
			if err := r.Err(); err != nil {
				if r.CompactRevision > 0 || errors.Is(err, rpctypes.ErrCompacted) {
					err = fmt.Errorf("%w: revision %d is, up to %d", ErrCompacted, after, r.CompactRevision)
				}
				yield(batch{}, err)
				return
			}
			for events := r.Events; len(events) > 0; {
				n := 1
				for n < len(events) && events[n].Kv.ModRevision == events[0].Kv.ModRevision {
					n++
				}
				if !yield(batchOf(events[:n]), nil) {
					return
				}
				events = events[n:]
			}
		}
		if err := ctx.Err(); err != nil {
			yield(batch{}, err)
			return
		}
		yield(batch{}, errors.New("etcd ended the watch"))
	}
}

// batchOf is one transaction; the order of its rows is their keys', as in the
// memory twin.
func batchOf(events []*clientv3.Event) batch {
	b := batch{revision: Revision(events[0].Kv.ModRevision), events: make([]event, 0, len(events))}
	for _, e := range events {
		switch {
		case string(e.Kv.Key) == headKey && e.Type == clientv3.EventTypePut:
			b.head, b.by = e.Kv.Version, string(e.Kv.Value)
		case string(e.Kv.Key) == turnKey:
			b.turn = string(e.Kv.Value)
		case bytes.HasPrefix(e.Kv.Key, []byte(rowPrefix)):
			row := eventOf(e.Kv)
			if e.Type == clientv3.EventTypePut {
				row.value = e.Kv.Value
			}
			if e.PrevKv != nil {
				row.before = e.PrevKv.Value
			}
			b.events = append(b.events, row)
		}
	}
	b.sort()
	return b
}
