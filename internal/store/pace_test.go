package store

import (
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Updates that come many at a time share transactions; one that comes alone is made at once.
func TestPace(t *testing.T) {
	for name, test := range map[string]struct {
		writers int
		most    int64 // transactions
		takes   time.Duration
	}{
		"many at once":    {writers: 50, most: commitsAtOnce + commitsPerSecond, takes: time.Second},
		"one after other": {writers: 1, most: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := NewMemory().Open(t.Context(), counts)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				const each = 1000
				began, head := time.Now(), s.View().head
				var all sync.WaitGroup
				for w := range test.writers {
					all.Go(func() {
						for i := range each {
							if time.Since(began) >= time.Second {
								return
							}
							if _, err := s.Update(t.Context(), func(tx *Tx) error {
								counts.Put(tx, &count{Name: strconv.Itoa(w), N: i + 1})
								return nil
							}); err != nil {
								t.Error(err)
							}
						}
					})
				}
				all.Wait()
				if made := s.View().head - head; made > test.most || made < test.most*9/10 {
					t.Errorf("%d transactions, want about %d", made, test.most)
				}
				if took := time.Since(began); took < test.takes || took > test.takes+10*time.Millisecond {
					t.Errorf("took %v, want %v", took, test.takes)
				}
			})
		})
	}
}
