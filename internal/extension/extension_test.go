package extension

import (
	"testing"
	"time"

	"gantry/internal/wire/ecsapi"
)

func tags(kv ...string) (out []ecsapi.Tag) {
	for i := 0; i < len(kv); i += 2 {
		out = append(out, ecsapi.Tag{Key: new(kv[i]), Value: new(kv[i+1])})
	}
	return out
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		kind Kind
		tags []ecsapi.Tag
		want string
	}{
		{Task, tags("gantry:queue", "30m", "gantry:retries", "3", "team", "gantry:"), ""},
		{Task, tags("gantry", "x", "xgantry:queue", "y", "gantry:retries", "0"), ""},
		{Task, tags("gantry:queu", "30m"), "The tag gantry:queu is not one of gantry's. On a task there may be: gantry:queue, gantry:retries."},
		{Task, tags("Gantry:Queue", "30m"), "The tag Gantry:Queue is not one of gantry's. On a task there may be: gantry:queue, gantry:retries."},
		{Cluster, tags("gantry:x", ""), "The tag gantry:x is not one of gantry's. On a cluster there may be: none."},
		{Cluster, tags("gantry:queue", "30m"), "The tag gantry:queue is for a task, and means nothing on a cluster."},
		{Task, tags("gantry:attempt", "2"), "The tag gantry:attempt is set by gantry itself."},
		{Task, tags("gantry:queue", "soon"), `The tag gantry:queue is invalid: "soon" is no time to wait. It is from 1s to 168h, such as 90s, 30m or 1h30m.`},
		{Task, tags("gantry:queue", "169h"), `The tag gantry:queue is invalid: "169h" is no time to wait. It is from 1s to 168h, such as 90s, 30m or 1h30m.`},
		{Task, tags("gantry:queue", "-1m"), `The tag gantry:queue is invalid: "-1m" is no time to wait. It is from 1s to 168h, such as 90s, 30m or 1h30m.`},
		{Task, tags("gantry:retries", "many"), `The tag gantry:retries is invalid: "many" is no number of retries. It is a whole number from 0 to 100.`},
		{Task, tags("gantry:retries", "101"), `The tag gantry:retries is invalid: "101" is no number of retries. It is a whole number from 0 to 100.`},
		{Service, tags("gantry:circuit-breaker", "count-exits"), ""},
		{Service, tags("gantry:circuit-breaker", "yes"), `The tag gantry:circuit-breaker is invalid: "yes" is nothing that a circuit breaker can do. It is count-exits.`},
		{Service, tags("gantry:circuit-braker", "count-exits"), "The tag gantry:circuit-braker is not one of gantry's. On a service there may be: gantry:circuit-breaker."},
		{Task, tags("gantry:circuit-breaker", "count-exits"), "The tag gantry:circuit-breaker is for a service, and means nothing on a task."},
	} {
		got := ""
		if err := Check(tt.kind, tt.tags); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s with %s:\n  %s\nwant\n  %s", tt.kind, *tt.tags[0].Key, got, tt.want)
		}
	}
}

func TestRead(t *testing.T) {
	set := tags("gantry:queue", "1h30m", "gantry:retries", "3")
	if q, r := QueueOf(set), RetriesOf(set); q != 90*time.Minute || r != 3 {
		t.Errorf("%s and %d", q, r)
	}
	if !CountsExits(tags("gantry:circuit-breaker", "count-exits")) || CountsExits(set) {
		t.Error("who counts exits")
	}
	if q, r := QueueOf(nil), RetriesOf(tags("gantry:retries", "x")); q != 0 || r != 0 {
		t.Errorf("%s and %d", q, r)
	}
}
