package store

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// syncing is a backend that takes its time for a transaction, as a disk does.
type syncing struct{ *Memory }

func (b *syncing) commit(ctx context.Context, t transaction) (Revision, bool, error) {
	time.Sleep(time.Millisecond)
	return b.Memory.commit(ctx, t)
}

// Updates that come many at a time share transactions; those that come one after the other wait for nothing but the disk.
func TestPace(t *testing.T) {
	for name, test := range map[string]struct {
		writers int
		want    int64 // transactions in a second
	}{
		"many at once":    {writers: 50, want: commitsAtOnce + commitsPerSecond},
		"one after other": {writers: 1, want: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := open(t.Context(), &syncing{NewMemory()}, []AnyTable{counts}, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				began, head := time.Now(), s.View().head
				var all sync.WaitGroup
				for w := range test.writers {
					all.Go(func() {
						for i := 1; time.Since(began) < time.Second; i++ {
							if _, err := s.Update(t.Context(), func(tx *Tx) error {
								counts.Put(tx, &count{Name: strconv.Itoa(w), N: i})
								return nil
							}); err != nil {
								t.Error(err)
							}
						}
					})
				}
				all.Wait()
				if made := s.View().head - head; made > test.want+2 || made < test.want-2 {
					t.Errorf("%d transactions, want about %d", made, test.want)
				}
			})
		})
	}
}
