package engine

import "sync"

// changes tells whoever waits for them that there was one.
type changes struct {
	mu   sync.Mutex
	told chan struct{} // guarded by mu; closed at the next change, nil while nobody waits
}

// next is closed at the next change.
func (c *changes) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told == nil {
		c.told = make(chan struct{})
	}
	return c.told
}

func (c *changes) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told != nil {
		close(c.told)
		c.told = nil
	}
}
