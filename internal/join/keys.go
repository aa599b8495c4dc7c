package join

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"gantry"
	"gantry/internal/store"
)

// byHand stands where else the token is named by which an agent has joined.
const byHand = "gantry agent key"

// maxKeys bounds the keys that were made by hand and never used, so that a script that
// goes wrong does not fill the store.
const maxKeys = 1000

// A KeyRequest asks for an agent's key.
type KeyRequest struct {
	Cluster string `json:"cluster"`       // the only one in which it may register
	Host    string `json:"host,omitzero"` // for whom it is made, as a label
}

// A NewKey is one that was just made: the only time that its secret is shown.
type NewKey struct {
	Key     string `json:"key"`
	Secret  string `json:"secret"`
	Cluster string `json:"cluster"`
	Region  string `json:"region"`
}

// MakeKey makes a key by hand, for an agent that cannot exchange a token for one: the
// genuine amazon-ecs-agent, which is configured with a key. It speaks for the one
// container instance that registers with it, and is revoked as any other agent's.
func (d *Desk) MakeKey(ctx context.Context, in KeyRequest) (*NewKey, error) {
	if len(in.Host) > maxHost {
		return nil, fmt.Errorf("host has %d characters; at most %d are allowed", len(in.Host), maxHost)
	}
	cluster := gantry.ClusterName(in.Cluster)
	if cluster == "" {
		cluster = gantry.DefaultCluster
	}
	var secret [30]byte
	rand.Read(secret[:])
	made := &gantry.Principal{
		AccessKeyID: newKeyID(), SecretKey: base64.StdEncoding.EncodeToString(secret[:]), Kind: gantry.AgentPrincipal,
		Cluster: cluster, CreatedAt: d.now(), Joined: &gantry.Joining{Token: byHand, Host: in.Host},
	}
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		if c, ok := store.Clusters.Get(tx, string(cluster)); !ok || c.Status != gantry.Active {
			return fmt.Errorf("there is no cluster %s: make it with aws ecs create-cluster", cluster)
		}
		unused := 0
		for p := range store.Principals.All(tx, "") {
			if p.Kind == gantry.AgentPrincipal && p.Instance == "" {
				unused++
			}
		}
		if unused >= maxKeys {
			return fmt.Errorf("there are %d keys already that no agent uses: revoke those that nobody needs with gantry agent revoke", unused)
		}
		store.Principals.Put(tx, made)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &NewKey{Key: made.AccessKeyID, Secret: made.SecretKey, Cluster: string(cluster), Region: string(d.Place.Region)}, nil
}
