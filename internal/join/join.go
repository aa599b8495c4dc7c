// Package join decides which machines may be container instances. An operator makes
// a token (or, for machines of launch type EXTERNAL, an activation, which is a token
// in the form of AWS Systems Manager); a machine exchanges it for an access key of
// its own, which speaks for one container instance; and the operator takes the one
// or the other back.
//
// Of a token only a hash is kept. It expires, and lets a counted number of machines
// in. What a token has let in does not go with it: each key is revoked by itself.
//
// The package decides and records. Who ends a revoked key's sessions watches the
// store for keys that are gone (internal/api).
package join

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/joinapi"
)

// Config is what a Desk needs of the world.
type Config struct {
	Place gantry.Place
	Store *store.Store
	// Fingerprint is that of the CA which machines shall know the server by; "" for none.
	Fingerprint string
	Now         func() time.Time
}

// A Desk lets machines join. It is safe for concurrent use.
type Desk struct{ Config }

// New makes a desk.
func New(c Config) *Desk { return &Desk{c} }

// refused says why a machine does not get a key.
func refused(format string, args ...any) error {
	return &wire.Error{Code: joinapi.TokenRefused, Status: http.StatusForbidden, Message: fmt.Sprintf(format, args...)}
}

// maxHost bounds what a machine may call itself, in bytes: a DNS name fits.
const maxHost = 255

// Exchange makes a key for the agent that asks, which has signed with a token. The
// same share again, after an answer that got lost, is the same machine: it gets the
// same key, and is not counted again.
func (d *Desk) Exchange(ctx context.Context, token *gantry.Principal, in *joinapi.JoinInput) (*joinapi.JoinOutput, error) {
	if len(in.Host) > maxHost {
		return nil, refused("host has %d characters; at most %d are allowed.", len(in.Host), maxHost)
	}
	own, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the server's share: %w", err)
	}
	made := &gantry.Principal{AccessKeyID: newKeyID(), Kind: gantry.AgentPrincipal, CreatedAt: d.now()}
	made.SecretKey, err = joinapi.Secret(own, in.Share, token.SecretKey, made.AccessKeyID)
	if err != nil {
		return nil, refused("share: %s.", err)
	}
	var key *gantry.Principal
	var external bool
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		t, ok := store.JoinTokens.Get(tx, token.AccessKeyID)
		if !ok {
			return refused("The token was revoked.")
		}
		external = t.External || in.External
		if key = exchanged(tx, t.ID, in.Share); key != nil {
			return nil
		}
		cluster, err := d.admit(tx, t, in)
		if err != nil {
			return err
		}
		next := *t
		next.Uses++
		store.JoinTokens.Put(tx, &next)
		key = made
		key.Cluster = cluster
		key.Joined = &gantry.Joining{Token: t.ID, Host: in.Host, AgentShare: in.Share, ServerShare: own.PublicKey().Bytes()}
		store.Principals.Put(tx, key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &joinapi.JoinOutput{
		Share: key.Joined.ServerShare, AccessKeyID: key.AccessKeyID, Cluster: string(key.Cluster), External: external,
		Region: string(d.Place.Region), Account: string(d.Place.Account),
	}, nil
}

// exchanged is the key that a share was given already; nil where it was not.
func exchanged(tx *store.Tx, token string, share []byte) *gantry.Principal {
	for p := range store.Principals.All(tx, "") {
		if p.Joined != nil && p.Joined.Token == token && string(p.Joined.AgentShare) == string(share) {
			found := *p
			return &found
		}
	}
	return nil
}

// admit says which cluster a new machine joins by a token, or why it may not.
func (d *Desk) admit(tx *store.Tx, t *gantry.JoinToken, in *joinapi.JoinInput) (gantry.ClusterName, error) {
	cluster := gantry.ClusterName(in.Cluster)
	switch {
	case t.Expired(d.Now()):
		return "", refused("The token expired at %s: make another with gantry token create.", t.ExpiresAt.Format(time.RFC3339))
	case t.Uses >= t.Limit:
		return "", refused("The token has let in as many machines as it may (%d): make another with gantry token create.", t.Limit)
	case cluster == "" && t.Cluster == "":
		cluster = gantry.DefaultCluster
	case cluster == "":
		cluster = t.Cluster
	case t.Cluster != "" && t.Cluster != cluster:
		return "", refused("The token is for cluster %s, not for %s.", t.Cluster, wire.Shorten(string(cluster)))
	}
	if c, ok := store.Clusters.Get(tx, string(cluster)); !ok || c.Status != gantry.Active {
		return "", refused("There is no cluster %s: make it with aws ecs create-cluster.", wire.Shorten(string(cluster)))
	}
	return cluster, nil
}

// Self is what is known of the agent that asks.
func (d *Desk) Self(p *gantry.Principal) joinapi.Self {
	self := joinapi.Self{Instance: p.Instance}
	if p.Instance != "" {
		i, ok := store.Instances.Get(d.Store.View(), p.Instance)
		self.Deregistered = !ok || i.Status == gantry.InstanceInactive
	}
	return self
}

// Holder is the principal that the holder of a token signs as; nil where there is
// no such token. One that is expired or used up is told so by Exchange.
func Holder(r store.Reader, id string) *gantry.Principal {
	t, ok := store.JoinTokens.Get(r, id)
	if !ok {
		return nil
	}
	return &gantry.Principal{AccessKeyID: t.ID, SecretKey: t.Hash, Kind: gantry.TokenPrincipal, CreatedAt: t.CreatedAt}
}

func (d *Desk) now() time.Time { return d.Now().UTC().Truncate(time.Millisecond) }

// newKeyID makes an access key id as AWS makes them.
func newKeyID() string {
	var id [10]byte
	rand.Read(id[:])
	return "AKIA" + base32.StdEncoding.EncodeToString(id[:])
}

// newSecret makes the secret of a token: so many random bytes, in URL-safe letters.
func newSecret(bytes int) string {
	secret := make([]byte, bytes)
	rand.Read(secret)
	return base64.RawURLEncoding.EncodeToString(secret)
}

// newTokenID makes a token's id.
func newTokenID() string {
	var id [10]byte
	rand.Read(id[:])
	return "GJT" + base32.StdEncoding.EncodeToString(id[:])
}
