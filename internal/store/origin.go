package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// An Origin says where a store's data comes from.
type Origin struct {
	// Format is the highest format that any record may have.
	Format int `json:"format"`
	// Epoch counts the restores: 0 for data that was never restored.
	Epoch int `json:"epoch"`
	// RestoredAt is the first revision after the newest restore, and BackupAt the
	// last one that the backup held; 0 if never restored. What happened between
	// them is lost: things that others know of and the store does not may be from
	// that time, and are no reason to remove them.
	RestoredAt Revision  `json:"restoredAt,omitzero"`
	BackupAt   Revision  `json:"backupAt,omitzero"`
	RestoredOn time.Time `json:"restoredOn,omitzero"`
}

// checkOrigin makes the store's meta record and head if they are not there, and
// refuses data of a newer gantry.
func (b *etcd) checkOrigin(ctx context.Context) error {
	first, err := json.Marshal(Origin{Format: format})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err = b.client.Txn(ctx).
		If(clientv3.Compare(clientv3.Version(metaKey), "=", 0)).
		Then(clientv3.OpPut(metaKey, string(first)), clientv3.OpPut(headKey, "")).
		Commit()
	var o Origin
	if err == nil || errors.Is(err, rpctypes.ErrNoSpace) {
		o, err = b.origin(ctx)
	}
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	if o.Format > format {
		return fmt.Errorf("open the store: its format is %d, the highest known is %d: %w", o.Format, format, ErrNewer)
	}
	return nil
}

func (b *etcd) origin(ctx context.Context) (o Origin, err error) {
	r, err := b.client.Get(ctx, metaKey)
	if err != nil {
		return o, fmt.Errorf("etcd: %w", err)
	}
	if len(r.Kvs) == 0 {
		return o, errors.New("its meta record is gone")
	}
	if err := json.Unmarshal(r.Kvs[0].Value, &o); err != nil {
		return o, fmt.Errorf("read its meta record: %w", err)
	}
	return o, nil
}
