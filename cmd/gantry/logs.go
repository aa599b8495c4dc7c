package main

import (
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func newLogs() *cobra.Command {
	var dir, cluster string
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs TASK [CONTAINER]",
		Short: "Print what a task's container has printed, whatever its log driver",
		Long: `Print what a task's container has printed, whatever its log driver. TASK is an id,
the beginning of one, or an ARN; CONTAINER may be left out where there is only one.`,
		Args: takes(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := findClient(cmd, dir)
			if err != nil {
				return err
			}
			query := url.Values{"task": {args[0]}, "cluster": {cluster}}
			if len(args) == 2 {
				query.Set("container", args[1])
			}
			if follow {
				query.Set("follow", "yes")
			}
			body, err := c.command(cmd.Context(), http.MethodGet, "/logs", query, nil)
			if err != nil {
				return err
			}
			defer body.Close()
			_, err = io.Copy(cmd.OutOrStdout(), body)
			if cmd.Context().Err() != nil {
				return nil // the user has seen enough
			}
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return errors.New("gantry broke off: it was stopped, or could not read on, and then its log says why")
			}
			return err
		},
	}
	addDataDir(cmd, &dir)
	cmd.Flags().StringVar(&cluster, "cluster", "", "the task's cluster, where ids alone are not enough")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what it prints from now on, until it ends")
	return cmd
}
