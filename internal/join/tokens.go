package join

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/joinapi"

	"github.com/google/uuid"
)

const (
	// DefaultTTL is for how long a token lets machines in, as an activation of AWS's does.
	DefaultTTL = 24 * time.Hour
	// maxTTL and maxUses are AWS's bounds of an activation.
	maxTTL  = 30 * 24 * time.Hour
	maxUses = 1000
	// maxTokens bounds how many there are: nobody looks after more by hand.
	maxTokens = 1000
	// keptFor is how long an expired token is listed: whoever tries it is told why it does not work.
	keptFor = 24 * time.Hour
	// tokenSecret is the length of a token's secret, and codeSecret that of an
	// activation's code, which has AWS's twenty characters; in bytes.
	tokenSecret = 24
	codeSecret  = 15
)

// A TokenRequest is a token that is wanted. Zero values are the defaults.
type TokenRequest struct {
	Cluster  string        `json:"cluster,omitzero"` // any where empty
	TTL      time.Duration `json:"ttl,omitzero"`
	Uses     int           `json:"uses,omitzero"` // 1 where zero
	External bool          `json:"external,omitzero"`
}

// A NewToken is one that was just made: the only time that its secret is shown.
type NewToken struct {
	ID          string    `json:"id"`
	Secret      string    `json:"secret"`
	Token       string    `json:"token"` // both, and the rest that a machine needs, in one word
	Region      string    `json:"region"`
	Fingerprint string    `json:"fingerprint,omitzero"`
	Cluster     string    `json:"cluster,omitzero"`
	ExpiresAt   time.Time `json:"expiresAt"`
	Limit       int       `json:"limit"`
}

// A TokenReport is a token as it is listed.
type TokenReport struct {
	ID        string    `json:"id"`
	Cluster   string    `json:"cluster,omitzero"`
	External  bool      `json:"external,omitzero"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
	Expired   bool      `json:"expired,omitzero"`
	Uses      int       `json:"uses"`
	Limit     int       `json:"limit"`
}

// CreateToken makes a token, and forgets those that expired long ago.
func (d *Desk) CreateToken(ctx context.Context, in TokenRequest) (*NewToken, error) {
	if in.TTL == 0 {
		in.TTL = DefaultTTL
	}
	if in.Uses == 0 {
		in.Uses = 1
	}
	switch {
	case in.TTL < time.Minute || in.TTL > maxTTL:
		return nil, fmt.Errorf("ttl %s: between a minute and %s (30 days) is allowed", in.TTL, maxTTL)
	case in.Uses < 1 || in.Uses > maxUses:
		return nil, fmt.Errorf("uses %d: between 1 and %d is allowed", in.Uses, maxUses)
	}
	id, secret := newTokenID(), newSecret(tokenSecret)
	if in.External {
		id, secret = uuid.NewString(), newSecret(codeSecret)
	}
	now := d.now()
	made := &gantry.JoinToken{
		ID: id, Hash: joinapi.Hash(secret), Cluster: gantry.ClusterName(in.Cluster), External: in.External,
		CreatedAt: now, ExpiresAt: now.Add(in.TTL), Limit: in.Uses,
	}
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		if in.Cluster != "" {
			if c, ok := store.Clusters.Get(tx, in.Cluster); !ok || c.Status != gantry.Active {
				return fmt.Errorf("there is no cluster %s: make it with aws ecs create-cluster", in.Cluster)
			}
		}
		kept := 0
		for t := range store.JoinTokens.All(tx, "") {
			if t.Expired(now.Add(-keptFor)) {
				store.JoinTokens.Delete(tx, t.ID)
				continue
			}
			kept++
		}
		if kept >= maxTokens {
			return fmt.Errorf("there are %d tokens already: revoke those that nobody needs with gantry token revoke", kept)
		}
		store.JoinTokens.Put(tx, made)
		return nil
	})
	if err != nil {
		return nil, err
	}
	token := joinapi.Token{ID: id, Secret: secret, Region: string(d.Place.Region), Fingerprint: d.Fingerprint}
	return &NewToken{
		ID: id, Secret: secret, Token: token.String(), Region: token.Region, Fingerprint: d.Fingerprint,
		Cluster: in.Cluster, ExpiresAt: made.ExpiresAt, Limit: in.Uses,
	}, nil
}

// Tokens lists what is kept, the oldest first.
func (d *Desk) Tokens() []TokenReport {
	out := []TokenReport{}
	for t := range store.JoinTokens.All(d.Store.View(), "") {
		out = append(out, TokenReport{
			ID: t.ID, Cluster: string(t.Cluster), External: t.External, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt,
			Expired: t.Expired(d.Now()), Uses: t.Uses, Limit: t.Limit,
		})
	}
	slices.SortStableFunc(out, func(a, b TokenReport) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return out
}

// RevokeToken takes a token back, named by its id, the beginning of it, or itself.
// Machines that have joined by it keep their keys.
func (d *Desk) RevokeToken(ctx context.Context, ref string) (id string, err error) {
	if t, err := joinapi.ParseToken(ref); err == nil {
		ref = t.ID
	}
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		var found []string
		for t := range store.JoinTokens.All(tx, "") {
			if t.ID == ref {
				found = []string{t.ID}
				break
			}
			if ref != "" && strings.HasPrefix(t.ID, ref) {
				found = append(found, t.ID)
			}
		}
		if err := only(found, "token", ref); err != nil {
			return err
		}
		id = found[0]
		store.JoinTokens.Delete(tx, id)
		return nil
	})
	return id, err
}

// only says what is wrong where a reference does not mean exactly one thing.
func only(found []string, what, ref string) error {
	switch len(found) {
	case 0:
		return fmt.Errorf("there is no %s %s", what, ref)
	case 1:
		return nil
	}
	return fmt.Errorf("%d begin with %s, name one %s: %s", len(found), ref, what, strings.Join(found, ", "))
}
