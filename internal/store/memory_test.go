package store_test

import (
	"testing"
	"testing/synctest"

	"gantry/internal/store"
	"gantry/internal/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T, servers int, tables ...store.AnyTable) (all []*store.Store) {
		m := store.NewMemory()
		for range servers {
			s, err := m.Open(t.Context(), tables...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			all = append(all, s)
		}
		return all
	})
}

// Engines are tested in bubbles: the memory twin must not keep one from ending.
func TestMemoryInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.NewMemory().Open(t.Context(), storetest.Tables()...)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		rev, err := s.Update(t.Context(), func(tx *store.Tx) error {
			storetest.Accounts.Put(tx, &storetest.Account{Name: "a"})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if now := s.View().Revision(); now != rev {
			t.Errorf("revision %d, want %d", now, rev)
		}
	})
}
