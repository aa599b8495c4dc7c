package events

import (
	"testing"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/eventsapi"
)

// BenchmarkTake tells a task's step: to nobody, to a rule that looks for other things, to one that looks for it, and to the history.
func BenchmarkTake(b *testing.B) {
	for _, c := range []struct {
		name, pattern string
		status        gantry.TaskStatus
	}{
		{"nobody", "", gantry.Running},
		{"others", `{"source": ["my.app"]}`, gantry.Running},
		{"rule", `{"source": ["aws.ecs"], "detail": {"lastStatus": ["RUNNING"]}}`, gantry.Running},
		{"history", "", gantry.Stopped},
	} {
		b.Run(c.name, func(b *testing.B) {
			st, err := store.NewMemory().Open(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			if c.pattern != "" {
				if _, err := st.Update(b.Context(), func(tx *store.Tx) error {
					store.EventRules.Put(tx, &gantry.EventRule{Name: "r", Pattern: c.pattern, State: eventsapi.RuleStateEnabled, Targets: []eventsapi.Target{{Id: new("t"), Arn: groupARN("g")}}})
					return nil
				}); err != nil {
					b.Fatal(err)
				}
			}
			e, err := Open(Config{Store: st, Place: here, Dir: b.TempDir(), Show: shower{}})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			e.compile()
			revision := store.Revision(0)
			for b.Loop() {
				revision++
				before := &gantry.Task{ID: "a", Cluster: "prod", Version: int64(revision), LastStatus: gantry.Pending, CreatedAt: time.Now()}
				after := &gantry.Task{ID: "a", Cluster: "prod", Version: int64(revision) + 1, LastStatus: c.status, CreatedAt: before.CreatedAt, Containers: []gantry.Container{{Name: "web"}}}
				e.take([]store.Change{{Revision: revision, Table: "task", Key: "prod/a", Old: before, New: after}})
				if revision%1000 == 0 {
					if err := e.settle(b.Context(), revision); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
