package agent

import (
	"sync"

	"gantry/internal/wire/acsapi"
)

// roles holds the keys of the tasks' roles, by credentials id. They are only in memory: after a restart the control
// plane is asked to send all of them again.
type roles struct {
	mu   sync.RWMutex
	keys map[string]acsapi.RoleCredentials // guarded by mu
}

func newRoles() *roles { return &roles{keys: map[string]acsapi.RoleCredentials{}} }

func (r *roles) put(c acsapi.RoleCredentials) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[c.CredentialsID] = c
}

func (r *roles) get(id string) (acsapi.RoleCredentials, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	c, ok := r.keys[id]
	return c, ok
}

// keep forgets the keys that no task needs any more.
func (r *roles) keep(needed func(id string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.keys {
		if !needed(id) {
			delete(r.keys, id)
		}
	}
}
