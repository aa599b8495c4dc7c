package main

import (
	"encoding/json"
	"errors"

	"gantry/bench/child"
	"gantry/bench/client"
)

// The roles of this program's copies.
const (
	planeRole = "control plane"
	bareRole  = "bare server"
)

// A wish is what a copy is to serve.
type wish struct {
	Number  int    // of tasks, or of bytes in an answer
	Profile string // the folder for profiles; "" for none
}

// ready is what a copy says once it serves.
type ready struct {
	API client.API `json:"api"`
	// Describe are the ids of a hundred tasks that run.
	Describe []string `json:"describe,omitzero"`
}

// A peer is a copy that serves.
type peer struct {
	*child.Child
	ready
}

// start starts a copy and waits until it serves.
func start(role string, w wish) (*peer, error) {
	c, err := child.Start(role)
	if err != nil {
		return nil, err
	}
	p := &peer{Child: c}
	if err := c.Ask("serve", w, &p.ready); err != nil {
		return nil, errors.Join(err, c.End())
	}
	return p, nil
}

// A server is what a copy runs. It is closed whether it came up or not.
type server interface {
	open(wish) (ready, error)
	close() error
}

// play is a copy's side.
func play(role string) error {
	var s server
	switch role {
	case planeRole:
		s = new(controlPlane)
	case bareRole:
		s = new(bareServer)
	default:
		return errors.New("there is no such role")
	}
	err := child.Serve(func(_ string, in json.RawMessage) (any, error) {
		var w wish
		if err := json.Unmarshal(in, &w); err != nil {
			return nil, err
		}
		return s.open(w)
	})
	return errors.Join(err, s.close())
}
