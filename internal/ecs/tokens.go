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

// tokenLife is how long a repeated RunTask is recognised.
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
	if err := checkToken(*in.ClientToken); err != nil {
		return nil, nil, err
	}
	request := *in
	request.ClientToken = nil
	text, err := json.Marshal(request)
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(text)
	token := &gantry.ClientToken{
		Operation: "RunTask", Cluster: cluster, Token: *in.ClientToken,
		Hash: hex.EncodeToString(sum[:]), ExpiresAt: s.now().Add(tokenLife),
	}
	out, err := s.repeated(snap, token)
	return token, out, err
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

// repeated is what the earlier call with the token made, as it is now; nil where
// there was none.
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
		}
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
