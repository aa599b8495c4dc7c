package events

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/eventsapi"
)

// What AWS sends, and bounds that are its own.
const (
	// callTime is how long an endpoint may take to answer.
	callTime  = 5 * time.Second
	userAgent = "Amazon/EventBridge/ApiDestinations"
	// defaultPerSecond is how often a destination is called that names no bound.
	defaultPerSecond = 300
	// mostRead bounds what is read of an answer, so that the connection can be used again.
	mostRead = 64 << 10
)

// later are the answers after which AWS tries again, beside those from 500 on.
var later = []int{http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests}

// sendToDestination calls an API destination with a message.
func (e *Engine) sendToDestination(ctx context.Context, target *eventsapi.Target, m message) error {
	_, rest, _ := strings.Cut(*target.Arn, ":api-destination/")
	name, _, _ := strings.Cut(rest, "/")
	snap := e.Store.View()
	d, ok := store.EventDestinations.Get(snap, name)
	if !ok || string(e.Place.EventDestination(d)) != *target.Arn {
		return fmt.Errorf("API destination %s does not exist", name) // it may be made again
	}
	c, ok := store.EventConnections.Get(snap, d.Connection)
	if !ok {
		return fmt.Errorf("connection %s of API destination %s does not exist", d.Connection, name)
	}
	if err := e.await(ctx, d); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	r, err := request(ctx, d, c, target.HttpParameters, m.input)
	if err != nil {
		return refused{err.Error()}
	}
	client := *e.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, mostRead)) // what it says does not matter
	switch code := resp.StatusCode; {
	case code < 300:
		return nil
	case code >= 500 || slices.Contains(later, code):
		return fmt.Errorf("%s answers %s", d.Endpoint, resp.Status)
	}
	return refused{d.Endpoint + " answers " + resp.Status}
}

// await waits for the destination's turn, as often as it may be called.
func (e *Engine) await(ctx context.Context, d *gantry.EventDestination) error {
	e.deliveries.mu.Lock()
	now := time.Now()
	turn := e.pace[d.Name]
	if turn.Before(now) {
		turn = now
	}
	e.pace[d.Name] = turn.Add(time.Second / time.Duration(perSecond(d)))
	e.deliveries.mu.Unlock()
	return sleep(ctx, turn.Sub(now))
}

// perSecond bounds the calls of a destination.
func perSecond(d *gantry.EventDestination) int32 {
	if d.PerSecond == 0 {
		return defaultPerSecond
	}
	return d.PerSecond
}

// request makes the call: the endpoint with its stars filled in, what the target adds, and what the connection adds.
func request(ctx context.Context, d *gantry.EventDestination, c *gantry.EventConnection, p *eventsapi.HttpParameters, body []byte) (*http.Request, error) {
	endpoint := d.Endpoint
	if p != nil {
		for _, v := range p.PathParameterValues {
			endpoint = strings.Replace(endpoint, "*", url.PathEscape(v), 1)
		}
	}
	if strings.Contains(endpoint, "*") {
		return nil, fmt.Errorf("the endpoint %s has more * than the target has PathParameterValues", d.Endpoint)
	}
	to, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	query := to.Query()
	header := http.Header{"Content-Type": {"application/json; charset=utf-8"}, "User-Agent": {userAgent}}
	if p != nil {
		for k, v := range p.QueryStringParameters {
			query.Set(k, v)
		}
		for k, v := range p.HeaderParameters {
			header.Set(k, v)
		}
	}
	if more := c.Auth.InvocationHttpParameters; more != nil { // the connection's go before the target's
		for _, h := range more.HeaderParameters {
			header.Set(wire.Value(h.Key), wire.Value(h.Value))
		}
		for _, q := range more.QueryStringParameters {
			query.Set(wire.Value(q.Key), wire.Value(q.Value))
		}
		if body, err = withBody(body, more.BodyParameters); err != nil {
			return nil, err
		}
	}
	to.RawQuery = query.Encode()
	if d.Method == eventsapi.ApiDestinationHttpMethodGet || d.Method == eventsapi.ApiDestinationHttpMethodHead {
		body = nil
	}
	r, err := http.NewRequestWithContext(ctx, string(d.Method), to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = header
	if b := c.Auth.BasicAuthParameters; b != nil {
		r.SetBasicAuth(wire.Value(b.Username), wire.Value(b.Password))
	}
	if k := c.Auth.ApiKeyAuthParameters; k != nil {
		r.Header.Set(wire.Value(k.ApiKeyName), wire.Value(k.ApiKeyValue))
	}
	return r, nil
}

// withBody adds a connection's parameters to a body that is a JSON object.
func withBody(body []byte, more []eventsapi.ConnectionBodyParameter) ([]byte, error) {
	if len(more) == 0 {
		return body, nil
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(body, &m); err != nil || m == nil {
		return nil, fmt.Errorf("the connection adds to the body, which is no JSON object")
	}
	for _, b := range more {
		m[wire.Value(b.Key)] = appendJSON(nil, wire.Value(b.Value))
	}
	return json.Marshal(m)
}
