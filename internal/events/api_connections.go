package events

import (
	"context"
	"fmt"
	"slices"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/eventsapi"
)

func (a *api) createConnection(ctx context.Context, in *eventsapi.CreateConnectionInput) (*eventsapi.CreateConnectionOutput, error) {
	if err := checkName("name", *in.Name); err != nil {
		return nil, err
	}
	if err := checkConnection(in); err != nil {
		return nil, err
	}
	now := a.now()
	c := &gantry.EventConnection{
		Name: *in.Name, ID: a.NewID(), Description: wire.Value(in.Description), Type: in.AuthorizationType, Auth: in.AuthParameters, CreatedAt: now, ModifiedAt: now,
	}
	_, err := a.store.Update(ctx, func(tx *store.Tx) error {
		if _, ok := store.EventConnections.Get(tx, c.Name); ok {
			return eventsapi.NewResourceAlreadyExistsException(fmt.Sprintf("Connection %s already exists.", c.Name))
		}
		store.EventConnections.Put(tx, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &eventsapi.CreateConnectionOutput{
		ConnectionArn: new(string(a.Place.EventConnection(c))), ConnectionState: eventsapi.ConnectionStateAuthorized,
		CreationTime: wire.At(now), LastModifiedTime: wire.At(now),
	}, nil
}

// checkConnection refuses parameters that are not those of the authorization.
func checkConnection(in *eventsapi.CreateConnectionInput) error {
	p := in.AuthParameters
	switch {
	case in.KmsKeyIdentifier != nil:
		return invalid("KmsKeyIdentifier: gantry has no keys of KMS.")
	case in.InvocationConnectivityParameters != nil || p.ConnectivityParameters != nil:
		return invalid("InvocationConnectivityParameters: gantry has no resource configurations; every endpoint that this machine reaches can be called.")
	case in.AuthorizationType == eventsapi.ConnectionAuthorizationTypeOauthClientCredentials || p.OAuthParameters != nil:
		return invalid("AuthorizationType OAUTH_CLIENT_CREDENTIALS is not offered by gantry yet: use BASIC or API_KEY.")
	}
	basic, key := p.BasicAuthParameters, p.ApiKeyAuthParameters
	switch in.AuthorizationType {
	case eventsapi.ConnectionAuthorizationTypeBasic:
		if basic == nil || key != nil {
			return invalid("AuthParameters: the AuthorizationType BASIC takes BasicAuthParameters, and no others beside them.")
		}
	case eventsapi.ConnectionAuthorizationTypeApiKey:
		if key == nil || basic != nil {
			return invalid("AuthParameters: the AuthorizationType API_KEY takes ApiKeyAuthParameters, and no others beside them.")
		}
	}
	return nil
}

// shownAuth are a connection's parameters without what is secret.
func shownAuth(p *eventsapi.CreateConnectionAuthRequestParameters) *eventsapi.ConnectionAuthResponseParameters {
	out := &eventsapi.ConnectionAuthResponseParameters{}
	if p.BasicAuthParameters != nil {
		out.BasicAuthParameters = &eventsapi.ConnectionBasicAuthResponseParameters{Username: p.BasicAuthParameters.Username}
	}
	if p.ApiKeyAuthParameters != nil {
		out.ApiKeyAuthParameters = &eventsapi.ConnectionApiKeyAuthResponseParameters{ApiKeyName: p.ApiKeyAuthParameters.ApiKeyName}
	}
	if h := p.InvocationHttpParameters; h != nil {
		shown := &eventsapi.ConnectionHttpParameters{
			BodyParameters: slices.Clone(h.BodyParameters), HeaderParameters: slices.Clone(h.HeaderParameters), QueryStringParameters: slices.Clone(h.QueryStringParameters),
		}
		for i := range shown.BodyParameters {
			hide(&shown.BodyParameters[i].Value, shown.BodyParameters[i].IsValueSecret)
		}
		for i := range shown.HeaderParameters {
			hide(&shown.HeaderParameters[i].Value, shown.HeaderParameters[i].IsValueSecret)
		}
		for i := range shown.QueryStringParameters {
			hide(&shown.QueryStringParameters[i].Value, shown.QueryStringParameters[i].IsValueSecret)
		}
		out.InvocationHttpParameters = shown
	}
	return out
}

func hide(value **string, secret *bool) {
	if wire.Value(secret) {
		*value = nil
	}
}

func noConnection(name string) error {
	return gone("Failed to describe the connection(s). Connection '%s' does not exist.", name)
}

func (a *api) describeConnection(ctx context.Context, in *eventsapi.DescribeConnectionInput) (*eventsapi.DescribeConnectionOutput, error) {
	snap, err := a.store.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	c, ok := store.EventConnections.Get(snap, *in.Name)
	if !ok {
		return nil, noConnection(*in.Name)
	}
	return &eventsapi.DescribeConnectionOutput{
		Name: &c.Name, ConnectionArn: new(string(a.Place.EventConnection(c))), ConnectionState: eventsapi.ConnectionStateAuthorized,
		AuthorizationType: c.Type, AuthParameters: shownAuth(c.Auth), Description: some(c.Description),
		CreationTime: wire.At(c.CreatedAt), LastModifiedTime: wire.At(c.ModifiedAt), LastAuthorizedTime: wire.At(c.ModifiedAt),
	}, nil
}

func (a *api) listConnections(ctx context.Context, in *eventsapi.ListConnectionsInput) (*eventsapi.ListConnectionsOutput, error) {
	snap, err := a.store.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	all := slices.Collect(store.EventConnections.All(snap, wire.Value(in.NamePrefix)))
	if in.ConnectionState != "" && in.ConnectionState != eventsapi.ConnectionStateAuthorized {
		all = nil
	}
	all, next, err := cut("ListConnections/"+wire.Value(in.NamePrefix)+"/"+string(in.ConnectionState), all,
		func(c *gantry.EventConnection) string { return c.Name }, in.NextToken, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &eventsapi.ListConnectionsOutput{Connections: []eventsapi.Connection{}, NextToken: next}
	for _, c := range all {
		out.Connections = append(out.Connections, eventsapi.Connection{
			Name: &c.Name, ConnectionArn: new(string(a.Place.EventConnection(c))), ConnectionState: eventsapi.ConnectionStateAuthorized, AuthorizationType: c.Type,
			CreationTime: wire.At(c.CreatedAt), LastModifiedTime: wire.At(c.ModifiedAt), LastAuthorizedTime: wire.At(c.ModifiedAt),
		})
	}
	return out, nil
}

// deleteConnection leaves destinations that use it without one: they are INACTIVE then.
func (a *api) deleteConnection(ctx context.Context, in *eventsapi.DeleteConnectionInput) (*eventsapi.DeleteConnectionOutput, error) {
	var c *gantry.EventConnection
	_, err := a.store.Update(ctx, func(tx *store.Tx) error {
		var ok bool
		if c, ok = store.EventConnections.Get(tx, *in.Name); !ok {
			return noConnection(*in.Name)
		}
		store.EventConnections.Delete(tx, *in.Name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &eventsapi.DeleteConnectionOutput{
		ConnectionArn: new(string(a.Place.EventConnection(c))), ConnectionState: eventsapi.ConnectionStateDeleting,
		CreationTime: wire.At(c.CreatedAt), LastModifiedTime: wire.At(c.ModifiedAt), LastAuthorizedTime: wire.At(c.ModifiedAt),
	}, nil
}
