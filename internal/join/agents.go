package join

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gantry"
	"gantry/internal/store"
)

// An AgentReport is an agent's key as it is listed.
type AgentReport struct {
	Key       string    `json:"key"`                // access key id
	Instance  string    `json:"instance,omitzero"`  // container instance id; "" until it has registered
	Cluster   string    `json:"cluster,omitzero"`   //
	Status    string    `json:"status,omitzero"`    // of the instance
	Connected bool      `json:"connected,omitzero"` // whether its agent is
	Host      string    `json:"host,omitzero"`      // what the machine called itself
	Token     string    `json:"token,omitzero"`     // by which it joined; "" for the server's own machine
	CreatedAt time.Time `json:"createdAt"`
}

// Agents lists the keys of agents, by cluster and age.
func (d *Desk) Agents() []AgentReport {
	snap := d.Store.View()
	out := []AgentReport{}
	for p := range store.Principals.All(snap, "") {
		if p.Kind == gantry.AgentPrincipal {
			out = append(out, describe(snap, p))
		}
	}
	slices.SortStableFunc(out, func(a, b AgentReport) int {
		if c := strings.Compare(a.Cluster, b.Cluster); c != 0 {
			return c
		}
		return a.CreatedAt.Compare(b.CreatedAt)
	})
	return out
}

func describe(r store.Reader, p *gantry.Principal) AgentReport {
	a := AgentReport{Key: p.AccessKeyID, Cluster: string(p.Cluster), CreatedAt: p.CreatedAt}
	if p.Joined != nil {
		a.Host, a.Token = p.Joined.Host, p.Joined.Token
	}
	if p.Instance == "" {
		return a
	}
	a.Cluster, a.Instance, _ = strings.Cut(p.Instance, "/")
	if i, ok := store.Instances.Get(r, p.Instance); ok {
		a.Status = string(i.Status)
	}
	if c, ok := store.Connections.Get(r, p.Instance); ok {
		a.Connected = c.Connected
	}
	return a
}

// RevokeAgent takes an agent's key back, named by the key's id or by its container
// instance: an id, the beginning of one, or an ARN. From then on every call of it is
// refused. The instance stays registered, as of an agent that is not connected.
func (d *Desk) RevokeAgent(ctx context.Context, ref string) (revoked AgentReport, err error) {
	if arn, err := gantry.ParseARN(ref); err == nil {
		_, ref, _ = strings.Cut(arn.Path, "/")
	}
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		var found []string
		for p := range store.Principals.All(tx, "") {
			if p.Kind != gantry.AgentPrincipal || ref == "" {
				continue
			}
			_, instance, _ := strings.Cut(p.Instance, "/")
			if p.AccessKeyID == ref || strings.HasPrefix(instance, ref) {
				found = append(found, p.AccessKeyID)
			}
		}
		if err := only(found, "agent", ref); err != nil {
			return err
		}
		key, _ := store.Principals.Get(tx, found[0])
		if key.Joined == nil {
			return fmt.Errorf("agent %s is the server's own machine: stop it with gantry down, or run gantry server, which has none", ref)
		}
		revoked = describe(tx, key)
		store.Principals.Delete(tx, key.AccessKeyID)
		return nil
	})
	return revoked, err
}
