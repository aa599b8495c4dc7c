package join

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/joinapi"
)

// A counter is a desk on a memory store, whose clock stands still unless it is moved.
type counter struct {
	*Desk
	t   *testing.T
	now time.Time
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	st, err := store.NewMemory().Open(t.Context(), store.Tables()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	c := &counter{t: t, now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
	c.Desk = New(Config{Place: gantry.Place{Region: "us-east-1", Account: "123456789012"}, Store: st, Now: func() time.Time { return c.now }})
	c.update(func(tx *store.Tx) {
		for _, name := range []gantry.ClusterName{"default", "prod"} {
			store.Clusters.Put(tx, &gantry.Cluster{Name: name, Status: gantry.Active})
		}
	})
	return c
}

func (c *counter) update(do func(*store.Tx)) {
	c.t.Helper()
	_, err := c.Store.Update(c.t.Context(), func(tx *store.Tx) error { do(tx); return nil })
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *counter) token(in TokenRequest) *NewToken {
	c.t.Helper()
	made, err := c.CreateToken(c.t.Context(), in)
	if err != nil {
		c.t.Fatal(err)
	}
	return made
}

// join is a machine that joins by a token, with a new share unless it has one.
func (c *counter) join(token *NewToken, in joinapi.JoinInput, own *ecdh.PrivateKey) (out *joinapi.JoinOutput, secret string, err error) {
	c.t.Helper()
	if own == nil {
		own = newShare(c.t)
	}
	in.Share = own.PublicKey().Bytes()
	holder := Holder(c.Store.View(), token.ID)
	if holder == nil {
		return nil, "", errors.New("nobody holds it")
	}
	if out, err = c.Exchange(context.Background(), holder, &in); err != nil {
		return nil, "", err
	}
	secret, err = joinapi.Secret(own, out.Share, joinapi.Hash(token.Secret), out.AccessKeyID)
	return out, secret, err
}

func newShare(t *testing.T) *ecdh.PrivateKey {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestExchange(t *testing.T) {
	c := newCounter(t)
	token := c.token(TokenRequest{Cluster: "prod", Uses: 2})
	for row := range store.JoinTokens.All(c.Store.View(), "") {
		if strings.Contains(row.Hash, token.Secret) || row.Hash != joinapi.Hash(token.Secret) {
			t.Errorf("what is kept of the secret: %q", row.Hash)
		}
	}
	own := newShare(t)
	first, secret, err := c.join(token, joinapi.JoinInput{Host: "m1"}, own)
	if err != nil {
		t.Fatal(err)
	}
	key, ok := store.Principals.Get(c.Store.View(), first.AccessKeyID)
	if !ok || key.SecretKey != secret || key.Kind != gantry.AgentPrincipal || key.Cluster != "prod" || key.Joined.Host != "m1" {
		t.Errorf("the server has %+v, the agent %q", key, secret)
	}
	// The answer got lost: the same machine asks again, and is not counted again.
	again, repeated, err := c.join(token, joinapi.JoinInput{Host: "m1"}, own)
	if err != nil || again.AccessKeyID != first.AccessKeyID || repeated != secret {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	if second, other, err := c.join(token, joinapi.JoinInput{Host: "m2"}, nil); err != nil || second.AccessKeyID == first.AccessKeyID || other == secret {
		t.Errorf("a second machine: %+v, %v", second, err)
	}
	if got := c.Tokens(); len(got) != 1 || got[0].Uses != 2 {
		t.Errorf("tokens: %+v", got)
	}
}

func TestWhoMayNotJoin(t *testing.T) {
	for name, tt := range map[string]struct {
		token  TokenRequest
		in     joinapi.JoinInput
		before func(*counter, *NewToken)
		want   string
	}{
		"used up": {before: func(c *counter, token *NewToken) {
			if _, _, err := c.join(token, joinapi.JoinInput{}, nil); err != nil {
				c.t.Error(err)
			}
		}, want: "has let in as many machines as it may (1)"},
		"expired":         {token: TokenRequest{TTL: time.Hour}, before: func(c *counter, _ *NewToken) { c.now = c.now.Add(time.Hour) }, want: "The token expired at 2026-11-27T13:00:00Z"},
		"another cluster": {token: TokenRequest{Cluster: "prod"}, in: joinapi.JoinInput{Cluster: "default"}, want: "is for cluster prod, not for default"},
		"no such cluster": {in: joinapi.JoinInput{Cluster: "moon"}, want: "There is no cluster moon"},
		"revoked": {before: func(c *counter, token *NewToken) {
			if _, err := c.RevokeToken(c.t.Context(), token.Token); err != nil {
				c.t.Error(err)
			}
		}, want: "nobody holds it"},
		"a long name": {in: joinapi.JoinInput{Host: strings.Repeat("x", 256)}, want: "host has 256 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCounter(t)
			token := c.token(tt.token)
			if tt.before != nil {
				tt.before(c, token)
			}
			before := store.Principals.Len(c.Store.View())
			_, _, err := c.join(token, tt.in, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if e, ok := errors.AsType[*wire.Error](err); tt.want != "nobody holds it" && (!ok || e.Code != joinapi.TokenRefused) {
				t.Errorf("it is %T, not a %s", err, joinapi.TokenRefused)
			}
			if after := store.Principals.Len(c.Store.View()); after != before {
				t.Errorf("%d keys were made", after-before)
			}
		})
	}
}

func TestActivationsAreExternal(t *testing.T) {
	c := newCounter(t)
	made := c.token(TokenRequest{External: true})
	if len(made.ID) != 36 || len(made.Secret) != 20 {
		t.Errorf("id %q and code %q are unlike AWS's", made.ID, made.Secret)
	}
	if out, _, err := c.join(made, joinapi.JoinInput{}, nil); err != nil || !out.External || out.Cluster != "default" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestRevokedAgents(t *testing.T) {
	c := newCounter(t)
	token := c.token(TokenRequest{Uses: 2})
	out, _, err := c.join(token, joinapi.JoinInput{Host: "m1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.update(func(tx *store.Tx) {
		key, _ := store.Principals.Get(tx, out.AccessKeyID)
		next := *key
		next.Instance = "default/aa11"
		store.Principals.Put(tx, &next)
		store.Principals.Put(tx, &gantry.Principal{AccessKeyID: "AKIAOWN", Kind: gantry.AgentPrincipal, Instance: "default/bb22"})
		store.Principals.Put(tx, &gantry.Principal{AccessKeyID: "AKIAROOT", Kind: gantry.RootPrincipal})
		store.Instances.Put(tx, &gantry.Instance{ID: "aa11", Cluster: "default", Status: gantry.InstanceInactive})
	})
	if got := c.Agents(); len(got) != 2 {
		t.Errorf("agents: %+v", got)
	}
	key, _ := store.Principals.Get(c.Store.View(), out.AccessKeyID)
	if self := c.Self(key); !self.Deregistered || self.Instance != "default/aa11" {
		t.Errorf("it is told %+v of itself", self)
	}
	for ref, want := range map[string]string{"": "there is no agent", "AKIAROOT": "there is no agent", "bb": "the server's own machine", "zz": "there is no agent zz"} {
		if _, err := c.RevokeAgent(t.Context(), ref); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("revoke %q: %v", ref, err)
		}
	}
	gone, err := c.RevokeAgent(t.Context(), "arn:aws:ecs:us-east-1:123456789012:container-instance/default/aa11")
	if _, left := store.Principals.Get(c.Store.View(), out.AccessKeyID); err != nil || gone.Key != out.AccessKeyID || left {
		t.Errorf("revoked %+v, %v; left %t", gone, err, left)
	}
}
