package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"gantry/internal/join"

	"github.com/spf13/cobra"
)

// newAgentKey makes the key that an amazon-ecs-agent is configured with.
func newAgentKey() *cobra.Command {
	var dir string
	var in join.KeyRequest
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make an access key for an amazon-ecs-agent, and print its settings (at the server)",
		Long: `Make an access key for an agent that cannot join with a token: AWS's own
amazon-ecs-agent. It speaks for the one container instance that registers with it.
What is printed are the agent's settings, as /etc/ecs/ecs.config takes them; the
secret is shown this once. "gantry agent revoke" takes the key back.`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := findClient(cmd, dir)
			if err != nil {
				return err
			}
			text, err := json.Marshal(in)
			if err != nil {
				return err
			}
			var made join.NewKey
			if err := c.send(cmd.Context(), http.MethodPost, "/agents", nil, bytes.NewReader(text), &made); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), `ECS_BACKEND_HOST=%s
ECS_CLUSTER=%s
ECS_EXTERNAL=true
AWS_DEFAULT_REGION=%s
AWS_ACCESS_KEY_ID=%s
AWS_SECRET_ACCESS_KEY=%s
`, c.endpoint, made.Cluster, made.Region, made.Key, made.Secret)
			if err != nil {
				return err
			}
			return c.warnLoopback(cmd.ErrOrStderr())
		},
	}
	addDataDir(cmd, &dir)
	f := cmd.Flags()
	f.StringVar(&in.Cluster, "cluster", "", "the cluster to register in (default default)")
	f.StringVar(&in.Host, "host", "", "for which machine the key is, for gantry agent ls")
	return cmd
}
