package events

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/eventsapi"
)

func (a *api) createAPIDestination(ctx context.Context, in *eventsapi.CreateApiDestinationInput) (*eventsapi.CreateApiDestinationOutput, error) {
	if err := checkName("name", *in.Name); err != nil {
		return nil, err
	}
	if err := checkEndpoint(*in.InvocationEndpoint); err != nil {
		return nil, err
	}
	now := a.now()
	d := &gantry.EventDestination{
		Name: *in.Name, ID: a.NewID(), Description: wire.Value(in.Description), Endpoint: *in.InvocationEndpoint, Method: in.HttpMethod,
		PerSecond: wire.Value(in.InvocationRateLimitPerSecond), CreatedAt: now, ModifiedAt: now,
	}
	_, err := a.store.Update(ctx, func(tx *store.Tx) error {
		if _, ok := store.EventDestinations.Get(tx, d.Name); ok {
			return eventsapi.NewResourceAlreadyExistsException(fmt.Sprintf("An api-destination '%s' already exists.", d.Name))
		}
		c, err := a.connectionOf(tx, *in.ConnectionArn)
		if err != nil {
			return err
		}
		d.Connection = c.Name
		store.EventDestinations.Put(tx, d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &eventsapi.CreateApiDestinationOutput{
		ApiDestinationArn: new(string(a.Place.EventDestination(d))), ApiDestinationState: eventsapi.ApiDestinationStateActive,
		CreationTime: wire.At(now), LastModifiedTime: wire.At(now),
	}, nil
}

// checkEndpoint takes plain HTTP as well, which AWS does not: an endpoint here may be on the same machine.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return invalid("Parameter InvocationEndpoint is not valid. Reason: %s is not an http or https URL.", wire.Shorten(endpoint))
	}
	return nil
}

// connectionOf finds the connection whose ARN it is.
func (a *api) connectionOf(r store.Reader, arn string) (*gantry.EventConnection, error) {
	rest, ok := strings.CutPrefix(arn, "arn:aws:events:"+string(a.Place.Region)+":"+string(a.Place.Account)+":connection/")
	name, _, _ := strings.Cut(rest, "/")
	if ok {
		if c, there := store.EventConnections.Get(r, name); there && string(a.Place.EventConnection(c)) == arn {
			return c, nil
		}
	}
	return nil, gone("Connection '%s' does not exist.", wire.Shorten(arn))
}

func noDestination(name string) error {
	return gone("Failed to describe the api-destination(s). Api-destination '%s' does not exist.", name)
}

func (a *api) updateAPIDestination(ctx context.Context, in *eventsapi.UpdateApiDestinationInput) (*eventsapi.UpdateApiDestinationOutput, error) {
	if in.InvocationEndpoint != nil {
		if err := checkEndpoint(*in.InvocationEndpoint); err != nil {
			return nil, err
		}
	}
	var d *gantry.EventDestination
	_, err := a.store.Update(ctx, func(tx *store.Tx) error {
		found, ok := store.EventDestinations.Get(tx, *in.Name)
		if !ok {
			return noDestination(*in.Name)
		}
		d = new(*found)
		if in.ConnectionArn != nil {
			c, err := a.connectionOf(tx, *in.ConnectionArn)
			if err != nil {
				return err
			}
			d.Connection = c.Name
		}
		if in.Description != nil {
			d.Description = *in.Description
		}
		if in.InvocationEndpoint != nil {
			d.Endpoint = *in.InvocationEndpoint
		}
		if in.HttpMethod != "" {
			d.Method = in.HttpMethod
		}
		if in.InvocationRateLimitPerSecond != nil {
			d.PerSecond = *in.InvocationRateLimitPerSecond
		}
		d.ModifiedAt = a.now()
		store.EventDestinations.Put(tx, d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &eventsapi.UpdateApiDestinationOutput{
		ApiDestinationArn: new(string(a.Place.EventDestination(d))), ApiDestinationState: eventsapi.ApiDestinationStateActive,
		CreationTime: wire.At(d.CreatedAt), LastModifiedTime: wire.At(d.ModifiedAt),
	}, nil
}

// connectionARN is that of a destination's connection, whether it is still there or not.
func (a *api) connectionARN(r store.Reader, d *gantry.EventDestination) *string {
	if c, ok := store.EventConnections.Get(r, d.Connection); ok {
		return new(string(a.Place.EventConnection(c)))
	}
	return nil
}

func state(connection *string) eventsapi.ApiDestinationState {
	if connection == nil {
		return eventsapi.ApiDestinationStateInactive
	}
	return eventsapi.ApiDestinationStateActive
}

func (a *api) describeAPIDestination(ctx context.Context, in *eventsapi.DescribeApiDestinationInput) (*eventsapi.DescribeApiDestinationOutput, error) {
	snap, err := a.store.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	d, ok := store.EventDestinations.Get(snap, *in.Name)
	if !ok {
		return nil, noDestination(*in.Name)
	}
	connection := a.connectionARN(snap, d)
	return &eventsapi.DescribeApiDestinationOutput{
		Name: &d.Name, ApiDestinationArn: new(string(a.Place.EventDestination(d))), ApiDestinationState: state(connection), ConnectionArn: connection,
		Description: some(d.Description), HttpMethod: d.Method, InvocationEndpoint: &d.Endpoint, InvocationRateLimitPerSecond: new(perSecond(d)),
		CreationTime: wire.At(d.CreatedAt), LastModifiedTime: wire.At(d.ModifiedAt),
	}, nil
}

func (a *api) listAPIDestinations(ctx context.Context, in *eventsapi.ListApiDestinationsInput) (*eventsapi.ListApiDestinationsOutput, error) {
	snap, err := a.store.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	all := slices.Collect(store.EventDestinations.All(snap, wire.Value(in.NamePrefix)))
	if in.ConnectionArn != nil {
		all = slices.DeleteFunc(all, func(d *gantry.EventDestination) bool {
			return wire.Value(a.connectionARN(snap, d)) != *in.ConnectionArn
		})
	}
	all, next, err := cut("ListApiDestinations/"+wire.Value(in.NamePrefix)+"/"+wire.Value(in.ConnectionArn), all,
		func(d *gantry.EventDestination) string { return d.Name }, in.NextToken, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &eventsapi.ListApiDestinationsOutput{ApiDestinations: []eventsapi.ApiDestination{}, NextToken: next}
	for _, d := range all {
		connection := a.connectionARN(snap, d)
		out.ApiDestinations = append(out.ApiDestinations, eventsapi.ApiDestination{
			Name: &d.Name, ApiDestinationArn: new(string(a.Place.EventDestination(d))), ApiDestinationState: state(connection), ConnectionArn: connection,
			HttpMethod: d.Method, InvocationEndpoint: &d.Endpoint, InvocationRateLimitPerSecond: new(perSecond(d)),
			CreationTime: wire.At(d.CreatedAt), LastModifiedTime: wire.At(d.ModifiedAt),
		})
	}
	return out, nil
}

func (a *api) deleteAPIDestination(ctx context.Context, in *eventsapi.DeleteApiDestinationInput) (*eventsapi.DeleteApiDestinationOutput, error) {
	_, err := a.store.Update(ctx, func(tx *store.Tx) error {
		if _, ok := store.EventDestinations.Get(tx, *in.Name); !ok {
			return noDestination(*in.Name)
		}
		store.EventDestinations.Delete(tx, *in.Name)
		return nil
	})
	return nil, err
}
