package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// EtcdConfig says where the state is kept: in Dir by an etcd inside this process,
// or on the servers at Endpoints.
type EtcdConfig struct {
	// Dir is the embedded etcd's own folder. It is made if it is not there.
	Dir string
	// Listen is the URL, such as "unix:///run/gantry/etcd.sock", at which the
	// embedded etcd serves other gantry servers. Empty: it listens nowhere, and
	// this process is the only one that can write.
	Listen string
	// Quota is how large the embedded etcd's database may grow, in bytes;
	// 0 means DefaultQuota.
	Quota int64

	// Endpoints are the client URLs of an etcd that runs elsewhere, reached with TLS
	// where it is set.
	Endpoints []string
	TLS       *tls.Config
	// MaxOps and MaxBytes are what one transaction may have there: its --max-txn-ops
	// and --max-request-bytes. 0 means etcd's own defaults: 128 and 1.5 MiB, which is
	// little for a service of many tasks.
	MaxOps, MaxBytes int

	// Log gets etcd's warnings and errors, and its chatter at debug level.
	Log *slog.Logger
}

// DefaultQuota is 4 GiB: ten times what a hundred thousand tasks take with their
// history, and far below the 8 GiB that etcd advises as the most.
const DefaultQuota = 4 << 30

// Limits of one transaction.
const (
	// embeddedOps and embeddedBytes hold the largest update and the head.
	embeddedOps   = maxWrites + 1
	embeddedBytes = maxBytes + 1<<20
	// defaultOps and defaultBytes are those of an etcd that was not told others.
	defaultOps   = 128
	defaultBytes = 3 << 19
)

// Keys in etcd.
const (
	prefix    = "gantry/"
	rowPrefix = prefix + "r/"   // "gantry/r/<table>/<key>"
	headKey   = prefix + "head" // its version is the head; its value names the group that counted it up
	turnKey   = prefix + "turn" // the server that asks to go first
	metaKey   = prefix + "meta" // the Origin, as JSON
)

// patience is how long the quorum may take to answer before it counts as gone:
// longer than any election.
const patience = 10 * time.Second

// OpenEtcd opens the store that the configuration names, with the given tables, or
// with [Tables] where none are given. It returns when the store can be read and
// written; ctx bounds that only.
func OpenEtcd(ctx context.Context, c EtcdConfig, tables ...AnyTable) (*Store, error) {
	if len(tables) == 0 {
		tables = Tables()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	b, err := connect(ctx, c)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, b, tables, c.Log)
	if err != nil {
		b.close()
		return nil, err
	}
	return s, nil
}

// etcd is the backend on etcd, embedded or not.
type etcd struct {
	client *clientv3.Client
	server *member // nil where etcd runs elsewhere
	log    *slog.Logger
	max    limits
}

func connect(ctx context.Context, c EtcdConfig) (*etcd, error) {
	if len(c.Endpoints) == 0 {
		if c.Dir == "" {
			return nil, errors.New("open the store: neither a folder nor endpoints are given")
		}
		m, err := startMember(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("start etcd in %s: %w", c.Dir, err)
		}
		b := &etcd{client: m.client(), server: m, log: c.Log, max: newLimits(embeddedOps, embeddedBytes)}
		if err := b.checkOrigin(ctx); err != nil {
			b.close()
			return nil, err
		}
		return b, nil
	}
	ops, size := defaultOps, defaultBytes
	if c.MaxOps > 0 {
		ops = c.MaxOps
	}
	if c.MaxBytes > 0 {
		size = c.MaxBytes
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            c.Endpoints,
		TLS:                  c.TLS,
		DialTimeout:          patience,
		DialKeepAliveTime:    patience,
		DialKeepAliveTimeout: patience,
		MaxCallSendMsgSize:   size + 1<<20,
		Logger:               zapTo(c.Log, nil),
		Context:              context.WithoutCancel(ctx),
	})
	if err != nil {
		return nil, fmt.Errorf("reach etcd at %v: %w", c.Endpoints, err)
	}
	b := &etcd{client: client, log: c.Log, max: newLimits(ops, size)}
	if err := b.checkOrigin(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *etcd) limits() limits { return b.max }

// alone: nobody but this process can write, so that its replica is all there is.
func (b *etcd) alone() bool { return b.server != nil && b.server.alone }

func (b *etcd) close() error {
	err := b.client.Close()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	if b.server != nil {
		err = errors.Join(err, b.server.stop())
	}
	return err
}

// broken ends with an error when the embedded etcd has given up.
func (b *etcd) broken() <-chan error {
	if b.server == nil {
		return nil
	}
	return b.server.fatal
}

// commit writes one transaction, if the head is still as expected.
func (b *etcd) commit(ctx context.Context, t transaction) (Revision, bool, error) {
	if b.server != nil {
		if err := b.server.room(); err != nil {
			return 0, false, err
		}
	}
	ops := make([]clientv3.Op, 0, len(t.writes)+1)
	ops = append(ops, clientv3.OpPut(headKey, t.id))
	for _, w := range t.writes {
		key := rowPrefix + w.schema.name + "/" + w.key
		if w.row == nil {
			ops = append(ops, clientv3.OpDelete(key))
			continue
		}
		ops = append(ops, clientv3.OpPut(key, string(w.bytes)))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var late []clientv3.Op
	if t.turn != "" {
		late = append(late, clientv3.OpPut(turnKey, t.turn))
	}
	r, err := b.client.Txn(ctx).
		If(clientv3.Compare(clientv3.Version(headKey), "=", t.head)).
		Then(ops...).
		Else(late...).
		Commit()
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return 0, false, ErrNoSpace
	case errors.Is(err, rpctypes.ErrRequestTooLarge), errors.Is(err, rpctypes.ErrTooManyOps):
		return 0, false, fmt.Errorf("%w: %w", ErrTooLarge, err)
	case err != nil:
		return 0, false, fmt.Errorf("%w: %w", errUnsettled, err)
	}
	return Revision(r.Header.Revision), r.Succeeded, nil
}

// barrier is the revision of the newest transaction that counted up the head.
func (b *etcd) barrier(ctx context.Context) (Revision, int64, error) {
	r, err := b.client.Get(ctx, headKey)
	if err != nil {
		return 0, 0, fmt.Errorf("etcd: %w", err)
	}
	if len(r.Kvs) == 0 {
		return 0, 0, errors.New("etcd: the store's head is gone: somebody has deleted gantry's keys")
	}
	return Revision(r.Kvs[0].ModRevision), r.Kvs[0].Version, nil
}

// newID names this run of this server, so that it knows its own transactions.
func newID() string {
	host, _ := os.Hostname()
	return host + "/" + uuid.NewString()
}
