package runtime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// reapInterval is how often orphans are looked for. A zombie costs a process
// number and nothing else, so there is no hurry.
const reapInterval = 10 * time.Second

// reapOrphans collects children that this process never started, shims whose
// starter ended, once they have ended. A zombie is reaped when it is seen
// twice: those that os/exec waits for are gone by then, and taking one away
// from it would lose an exit code.
func reapOrphans(ctx context.Context) error {
	ticker := time.NewTicker(reapInterval)
	defer ticker.Stop()
	seen := map[int]bool{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		zombies, err := zombieChildren("/proc/self")
		if err != nil {
			return fmt.Errorf("look for ended shims: %w", err)
		}
		again := map[int]bool{}
		for _, pid := range zombies {
			if !seen[pid] {
				again[pid] = true
				continue
			}
			// Someone else may have been faster, which is as good.
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
		seen = again
	}
}

// zombieChildren lists the ended and uncollected children of the process whose
// /proc directory is given.
func zombieChildren(proc string) ([]int, error) {
	lists, err := filepath.Glob(filepath.Join(proc, "task", "*", "children"))
	if err != nil {
		return nil, err
	}
	var zombies []int
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread ended meanwhile
		}
		for field := range strings.FieldsSeq(string(text)) {
			stat, err := os.ReadFile(filepath.Join("/proc", field, "stat"))
			if err != nil {
				continue
			}
			// The state follows the command name, which may hold anything, in parentheses.
			_, rest, ok := strings.Cut(string(stat[max(0, strings.LastIndex(string(stat), ")")):]), " ")
			if pid, err := strconv.Atoi(field); ok && err == nil && strings.HasPrefix(rest, "Z") {
				zombies = append(zombies, pid)
			}
		}
	}
	return zombies, nil
}
