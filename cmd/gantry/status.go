package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func newStatus() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show whether gantry runs, and its clusters",
		Args:  takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := findClient(cmd, dir)
			if err != nil {
				return err
			}
			var s statusReport
			if err := c.get(cmd.Context(), "/status", &s); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, s)
			}
			fmt.Fprintf(out, "gantry %s at %s, region %s, account %s\ndata dir %s, revision %d\n%s\n\n",
				s.Version, s.Endpoint, s.Region, s.Account, s.DataDir, s.Revision, s.Machine)
			t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
			fmt.Fprintln(t, "CLUSTER\tSTATUS\tINSTANCES\tCONNECTED\tRUNNING\tPENDING\tSTOPPED")
			for _, k := range s.Clusters {
				fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\n", k.Name, k.Status, k.Instances, k.Connected, k.Running, k.Pending, k.Stopped)
			}
			return t.Flush()
		},
	}
	addDataDir(cmd, &dir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
