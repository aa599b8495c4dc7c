package runtime

import (
	"context"

	containerd "github.com/containerd/containerd/v2/client"
)

// Containerd is what is underneath, for measurements that put this package beside
// containerd's own client: the client, the context to call it with, and the paths of
// shim and runc. Nothing else may use it: what it makes this package knows nothing of.
func (r *Runtime) Containerd(ctx context.Context) (in context.Context, client *containerd.Client, shim, runc string) {
	return r.in(ctx), r.client, r.programs.shim, r.programs.runc
}
