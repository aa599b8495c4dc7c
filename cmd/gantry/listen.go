package main

import (
	"net"
	"time"
)

// aliveWithin is how long the other end of a connection may answer nothing at all, not
// even the kernel's probes, until it counts as gone. An agent whose machine has lost its
// power or its network then shows as disconnected, whatever it promised.
const aliveWithin = 25 * time.Second

// listening is how the API's port is opened.
var listening = net.ListenConfig{
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
	Control:         boundSilence,
}
