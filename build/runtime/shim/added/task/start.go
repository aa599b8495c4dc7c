package task

import "context"

// uncut lets what was begun go on to its end, or its deadline, also when whoever
// asked for it has gone. Else a gantry that is killed while a container starts would
// kill runc with it, which may be after the program was let run and before the shim
// knows: that container would pass for one that never ran, and be started twice.
func uncut(ctx context.Context) (context.Context, context.CancelFunc) {
	goesOn := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(goesOn, deadline)
	}
	return goesOn, func() {}
}
