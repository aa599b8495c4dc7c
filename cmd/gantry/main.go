// Command gantry is Amazon ECS on your own machines: `gantry up` is the whole of
// it on one machine, and the other commands are the few that a person wants daily
// and the aws CLI lacks.
//
// Main is the table of contents: up.go opens the store, makes the engines in the
// order data flows, hangs them on the doors and runs until it is told to stop;
// every other command has a file of its own.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := untilTold()
	defer stop()
	root := newRoot()
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "gantry: "+err.Error())
		os.Exit(1)
	}
}

// untilTold is a context that ends with the first SIGINT or SIGTERM. The second
// ends the process at once.
func untilTold() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from now on signals have their usual effect again
	return ctx, stop
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "gantry",
		Short: "Amazon ECS on your own machines",
		Long: `gantry is Amazon ECS on your own machines: the same API, the same words, the same
clients. Start it with "gantry up", point the aws CLI at it with
eval "$(gantry env)", and use aws ecs as you know it.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("gantry {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		newUp(), newServer(), newAgent(), newDown(),
		newToken(), newActivation(),
		newEnv(), newStatus(), newLogs(), newTasks(), newWhy(), newEvents(), newImage(),
		newBackup(), newRestore(),
		newDocs(), newVersion(),
	)
	return root
}
