package main

import (
	"fmt"
	"time"

	"gantry/internal/lifecycle"

	"github.com/spf13/cobra"
)

// addLossFlags adds what says when the tasks of container instances whose agents are
// silent are replaced.
func addLossFlags(cmd *cobra.Command, rule *lifecycle.LossRule) {
	f := cmd.Flags()
	f.DurationVar(&rule.After, "replace-lost-after", lifecycle.DefaultLossRule.After,
		"how long an EC2 container instance's agent has to be disconnected until the tasks that services have there are replaced; 0 for never")
	f.DurationVar(&rule.ExternalAfter, "replace-lost-external-after", lifecycle.DefaultLossRule.ExternalAfter,
		"the same for EXTERNAL container instances (default 0, never)")
	f.BoolVar(&rule.Many, "replace-many-lost", lifecycle.DefaultLossRule.Many,
		"replace tasks also when more than a third of a cluster's agents are disconnected at once, which else waits until the container instances are set to DRAINING")
}

// checkLoss says what is wrong with a rule.
func checkLoss(rule lifecycle.LossRule) error {
	for _, p := range []struct {
		flag string
		is   time.Duration
	}{{"replace-lost-after", rule.After}, {"replace-lost-external-after", rule.ExternalAfter}} {
		if p.is < 0 {
			return fmt.Errorf("--%s %s: choose a time such as 5m, or 0 for never", p.flag, p.is)
		}
	}
	return nil
}
