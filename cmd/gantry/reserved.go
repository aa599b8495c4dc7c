package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// newServer and newAgent hold the names of the two halves of gantry up, for the
// time when they run on machines of their own.

func newServer() *cobra.Command {
	return notYet("server", "The control plane alone (not yet: gantry up is the whole of gantry on one machine)")
}

func newAgent() *cobra.Command {
	return notYet("agent", "A container instance alone (not yet: gantry up is the whole of gantry on one machine)")
}

func notYet(name, short string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Hidden: true, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("gantry " + name + " is not offered yet: gantry up runs control plane and container instance on one machine")
		},
	}
}
