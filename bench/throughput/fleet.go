package main

import (
	"context"
	"encoding/json"
	"errors"

	"gantry/bench/child"
	"gantry/bench/sim"
)

// playFleet is the agents' process.
func playFleet() error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var fleet *sim.Fleet
	return child.Serve(func(ask string, in json.RawMessage) (any, error) {
		switch ask {
		case "connect":
			return answer(in, func(c sim.Config) (_ any, err error) {
				fleet, err = sim.Start(ctx, c)
				return nil, err
			})
		case "count":
			return fleet.Count(), fleet.Wrong()
		}
		return nil, errors.New("that is not known here")
	})
}
