package ecs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// tokenLife is how long a repeated call is recognised.
const tokenLife = 24 * time.Hour

// errRepeated says that another call with the same token was faster.
var errRepeated = errors.New("the client token was used meanwhile")

// runToken reads the client token of a RunTask. Where an earlier call with the
// token and the same parameters made tasks, it answers those; with other
// parameters it refuses. Without a token all three are nil.
func (s *Service) runToken(snap *store.Snapshot, cluster gantry.ClusterName, in *ecsapi.RunTaskInput) (*gantry.ClientToken, *ecsapi.RunTaskOutput, error) {
	if in.ClientToken == nil {
		return nil, nil, nil
	}
	request := *in
	request.ClientToken = nil
	token, err := s.newToken("RunTask", cluster, *in.ClientToken, request)
	if err != nil {
		return nil, nil, err
	}
	out, err := s.repeated(snap, token)
	return token, out, err
}

// newToken is the token of a call of an operation with the given request, which is
// without the token.
func (s *Service) newToken(operation string, cluster gantry.ClusterName, text string, request any) (*gantry.ClientToken, error) {
	if err := checkToken(text); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(encoded)
	return &gantry.ClientToken{
		Operation: operation, Cluster: cluster, Token: text,
		Hash: hex.EncodeToString(sum[:]), ExpiresAt: s.now().Add(tokenLife),
	}, nil
}

// serviceToken reads the client token of a CreateService. Where an earlier call with the
// token and the same parameters made a service that is ACTIVE, it answers that one; with
// other parameters it refuses.
func (s *Service) serviceToken(tx *store.Tx, cluster gantry.ClusterName, in *ecsapi.CreateServiceInput) (*gantry.ClientToken, *gantry.Service, error) {
	if in.ClientToken == nil {
		return nil, nil, nil
	}
	request := *in
	request.ClientToken = nil
	token, err := s.newToken("CreateService", cluster, *in.ClientToken, request)
	if err != nil {
		return nil, nil, err
	}
	token.Resources = []string{string(s.cfg.Place.Service(cluster, *in.ServiceName))}
	have := usedToken(tx, token, s.now())
	if have == nil {
		return token, nil, nil
	}
	if have.Hash != token.Hash {
		return nil, nil, invalid(notIdempotent)
	}
	if made, ok := store.Services.Get(tx, string(cluster)+"/"+*in.ServiceName); ok && made.Status == gantry.ServiceActive {
		return token, made, nil
	}
	return token, nil, nil // it is gone: this makes another one
}

// checkToken wants the visible characters of ASCII.
func checkToken(token string) error {
	for _, r := range token {
		if r < 33 || r > 126 {
			return invalid("clientToken contains invalid characters.")
		}
	}
	return nil
}

// repeated is what the earlier call with the token made, as it is now, tasks that are
// forgotten included; nil where there was none.
func (s *Service) repeated(snap *store.Snapshot, token *gantry.ClientToken) (*ecsapi.RunTaskOutput, error) {
	have := usedToken(snap, token, s.now())
	if have == nil {
		return nil, nil
	}
	if have.Hash != token.Hash {
		return nil, ecsapi.NewConflictException("The client token was used before with different parameters.", have.Resources)
	}
	out := &ecsapi.RunTaskOutput{Tasks: []ecsapi.Task{}, Failures: []ecsapi.Failure{}}
	for _, arn := range have.Resources {
		id, err := s.taskID(token.Cluster, arn)
		if err != nil {
			return nil, err
		}
		if t, ok := store.Tasks.Get(snap, string(token.Cluster)+"/"+string(id)); ok {
			out.Tasks = append(out.Tasks, *s.showWhole(snap, t))
			continue
		}
		// Only what has been STOPPED for long is forgotten. The caller counts on all that were made.
		out.Tasks = append(out.Tasks, ecsapi.Task{
			TaskArn: &arn, ClusterArn: new(string(s.cfg.Place.Cluster(token.Cluster))),
			LastStatus: new(string(gantry.Stopped)), DesiredStatus: new(string(gantry.Stopped)),
		})
	}
	return out, nil
}

func usedToken(r store.Reader, token *gantry.ClientToken, now time.Time) *gantry.ClientToken {
	have, ok := store.ClientTokens.Get(r, token.Operation+"/"+string(token.Cluster)+"/"+token.Token)
	if !ok || have.ExpiresAt.Before(now) {
		return nil
	}
	return have
}

// writeToken remembers what a call made. It fails with errRepeated where another
// call with the token was faster. A nil token is none.
func writeToken(tx *store.Tx, token *gantry.ClientToken, arns []string) error {
	if token == nil {
		return nil
	}
	if usedToken(tx, token, token.ExpiresAt.Add(-tokenLife)) != nil {
		return errRepeated
	}
	made := *token
	made.Resources = arns
	store.ClientTokens.Put(tx, &made)
	return nil
}
