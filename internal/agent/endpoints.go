package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"

	"github.com/coder/websocket"
)

var randomReader = rand.Reader

// endpointsFor is how long the genuine agent believes in the endpoints that it was given.
const endpointsFor = 12 * time.Hour

// endpoints are where the websockets are.
type endpoints struct {
	control, telemetry string
	at                 time.Time
}

// discover asks where the websockets are, or knows it from before; an old answer is better than none.
func (a *Agent) discover(ctx context.Context, instance Instance) (endpoints, error) {
	known := a.endpoints.Load()
	if known != nil && time.Since(known.at) < endpointsFor {
		return *known, nil
	}
	var out ecsapi.DiscoverPollEndpointOutput
	err := a.ecs.call(ctx, "DiscoverPollEndpoint", &ecsapi.DiscoverPollEndpointInput{
		Cluster: &a.cfg.Cluster, ContainerInstance: &instance.ARN, ZoneId: new(""),
	}, &out)
	if err != nil && known != nil {
		return *known, nil
	}
	if err != nil {
		return endpoints{}, err
	}
	if wire.Value(out.Endpoint) == "" || wire.Value(out.TelemetryEndpoint) == "" {
		return endpoints{}, errors.New("DiscoverPollEndpoint: the answer names no endpoint")
	}
	found := &endpoints{control: *out.Endpoint, telemetry: *out.TelemetryEndpoint, at: time.Now()}
	a.endpoints.Store(found)
	return *found, nil
}

const (
	// dialTimeout bounds connecting and the handshake.
	dialTimeout = 30 * time.Second
	// maxFrame bounds what one message of the control plane may hold. A payload with a hundred tasks of the largest
	// task definition, 64 KiB each, is a tenth of it.
	maxFrame = 64 << 20
)

// A refusal is a handshake that was answered with an exception of ECS instead of a websocket.
type refusal struct {
	Type, Message string
}

func (r *refusal) Error() string { return r.Type + ": " + r.Message }

// websocketURL is where a websocket is opened.
func websocketURL(endpoint string, query url.Values) string {
	if !strings.HasSuffix(endpoint, "/") {
		endpoint += "/"
	}
	return endpoint + "ws?" + query.Encode()
}

// dial opens one of the two websockets, signed.
func (a *Agent) dial(ctx context.Context, address string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		return nil, fmt.Errorf("the endpoint %s is neither http nor https", address)
	}
	if err := a.ecs.signer.sign(ctx, r, nil); err != nil {
		return nil, err
	}
	header := r.Header.Clone()
	header.Del("Host") // the websocket sets it from the URL
	header.Set("User-Agent", userAgent)
	conn, answer, err := websocket.Dial(ctx, r.URL.String(), &websocket.DialOptions{HTTPHeader: header, HTTPClient: a.ecs.http})
	if err != nil {
		return nil, readRefusal(answer, err)
	}
	conn.SetReadLimit(maxFrame)
	return conn, nil
}
