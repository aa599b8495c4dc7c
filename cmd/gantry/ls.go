package main

import (
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// newLs makes a command that lists what a server has, as a table: its header, and a line
// for each, with tabs between the columns.
func newLs[T any](short, path, header string, line func(T) string) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "ls",
		Short: short,
		Args:  takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := findClient(cmd, dir)
			if err != nil {
				return err
			}
			var all []T
			if err := c.get(cmd.Context(), path, &all); err != nil {
				return err
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(t, header)
			for _, one := range all {
				fmt.Fprintln(t, line(one))
			}
			return t.Flush()
		},
	}
	addDataDir(cmd, &dir)
	return cmd
}

// newRemoval makes a command that has a server take away the one that its argument names,
// in a parameter of the call; done is what is printed of what is gone.
func newRemoval[T any](use, short, path, parameter string, done func(name string, gone T) string) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := findClient(cmd, dir)
			if err != nil {
				return err
			}
			var gone T
			if err := c.send(cmd.Context(), http.MethodDelete, path, url.Values{parameter: {args[0]}}, nil, &gone); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), done(args[0], gone))
			return err
		},
	}
	addDataDir(cmd, &dir)
	return cmd
}
