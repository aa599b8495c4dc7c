package main

import (
	"fmt"

	"gantry/internal/ecs"
	"gantry/internal/events"
	"gantry/internal/logs"
	"gantry/internal/wire"

	"github.com/spf13/cobra"
)

func newDocs() *cobra.Command {
	cmd := &cobra.Command{Use: "docs", Short: "Pages of the documentation that are made from the running code", Hidden: true}
	cmd.AddCommand(&cobra.Command{
		Use:   "coverage",
		Short: "Which operations of which AWS services gantry offers",
		Args:  takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			fmt.Fprintln(out, "# Coverage\n\nMade by `gantry docs coverage` from the operations that the program answers with.")
			for _, s := range []struct {
				title string
				table []wire.Operation
			}{
				{"Amazon ECS", ecs.New(ecs.Config{}).Operations().Table()},
				{"CloudWatch Logs", logs.NewOperations(logs.Config{}).Table()},
				{"Amazon EventBridge", events.NewOperations(events.APIConfig{}).Table()},
			} {
				fmt.Fprintln(out)
				if err := wire.WriteCoverage(out, s.title, s.table); err != nil {
					return err
				}
			}
			return nil
		},
	})
	return cmd
}
