package heap

import (
	"runtime"
	"testing"
)

func TestGoal(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for _, c := range []struct {
		name          string
		alive, memory int64
		heap          int64 // at which it is collected, in MiB
	}{
		{"before the first collection", 0, 24 * gib, 512},
		{"little is alive", 32 * mib, 24 * gib, 512},
		{"much is", 400 * mib, 24 * gib, 2000},
		{"on a small machine", 32 * mib, 4 * gib, 256},
		{"on a machine whose memory is not known", 32 * mib, 0, 512},
	} {
		if got := max(c.alive, least) * int64(100+goal(c.alive, c.memory)) / 100 / mib; got != c.heap {
			t.Errorf("%s: collected at %d MiB, want %d", c.name, got, c.heap)
		}
	}
}

// Go's metric of that name tells what is alive.
func TestAlive(t *testing.T) {
	kept := make([]byte, 32<<20)
	runtime.GC()
	if got := alive(); got < int64(len(kept)) {
		t.Errorf("%d bytes are alive, of %d that are kept", got, len(kept))
	}
	runtime.KeepAlive(kept)
}
