package runtime

import "time"

// How long a pull may take, as the ECS agent has it.
const (
	// DefaultPullTimeout bounds a whole pull.
	DefaultPullTimeout = 2 * time.Hour
	// DefaultPullInactivity ends a pull that receives nothing for so long.
	DefaultPullInactivity = time.Minute
)
