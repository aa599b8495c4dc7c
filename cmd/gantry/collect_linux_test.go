package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gantry"
	"gantry/internal/agent/runtime"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"

	"github.com/google/go-cmp/cmp"
)

// What nobody uses goes every half hour, and within a minute when the disk fills up.
func TestWhenUnusedImagesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Uint64 // of a hundred
		free.Store(50)
		began := time.Now()
		var at []time.Duration
		c := collecting{
			disk: func() (runtime.Disk, error) { return runtime.Disk{Total: 100, Free: free.Load()}, nil },
			collect: func(_ context.Context, now time.Time) (runtime.Collected, error) {
				at = append(at, now.Sub(began))
				free.Store(50)
				return runtime.Collected{Images: []string{"old"}}, nil
			},
			log: slog.New(slog.DiscardHandler),
		}
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- c.run(ctx) }()
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		free.Store(10)
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		if err := <-ran; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
		if diff := cmp.Diff([]time.Duration{30 * time.Minute, time.Hour, time.Hour + time.Minute}, at); diff != "" {
			t.Errorf("collected after (-want +got):\n%s", diff)
		}
	})
}

func TestImagesInUse(t *testing.T) {
	st, err := store.NewMemory().Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	_, err = st.Update(t.Context(), func(tx *store.Tx) error {
		for name, images := range map[gantry.DefinitionName][]string{"web:1": {"web:1", "side"}, "old:1": {"old"}, "idle:1": {"idle"}} {
			def := &ecsapi.TaskDefinition{}
			for _, image := range images {
				def.ContainerDefinitions = append(def.ContainerDefinitions, ecsapi.ContainerDefinition{Image: &image})
			}
			store.Definitions.Put(tx, &gantry.Definition{Name: name, Wire: def})
		}
		store.Tasks.Put(tx, &gantry.Task{ID: "a", Cluster: "prod", Definition: "web:1", LastStatus: gantry.Pending})
		store.Tasks.Put(tx, &gantry.Task{ID: "b", Cluster: "test", Definition: "web:1", LastStatus: gantry.Running})
		store.Tasks.Put(tx, &gantry.Task{ID: "c", Cluster: "test", Definition: "old:1", LastStatus: gantry.Stopped})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"web:1", "side"}, imagesInUse(st.View())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
