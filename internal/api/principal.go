package api

import (
	"context"

	"gantry"
)

type principalKey struct{}

// Principal is who signed the request that ctx belongs to; nil outside of a request.
func Principal(ctx context.Context) *gantry.Principal {
	p, _ := ctx.Value(principalKey{}).(*gantry.Principal)
	return p
}

// WithPrincipal returns a context in which Principal answers p.
func WithPrincipal(ctx context.Context, p *gantry.Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

type hostKey struct{}

// Host is the address, "host:port", under which the client of the request that ctx
// belongs to has reached gantry; "" outside of a request.
func Host(ctx context.Context) string {
	host, _ := ctx.Value(hostKey{}).(string)
	return host
}

// ARN is how a principal is called in messages and by STS. The keys made on
// first start are the account's root; an agent's key is a user of its own.
func ARN(place gantry.Place, p *gantry.Principal) gantry.ARN {
	if p.Kind == gantry.RootPrincipal {
		return place.Root()
	}
	return gantry.ARN("arn:aws:iam::" + string(place.Account) + ":user/gantry/" + string(p.Kind) + "/" + p.AccessKeyID)
}
