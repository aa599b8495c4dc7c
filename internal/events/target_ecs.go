package events

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
	"gantry/internal/wire/eventsapi"
)

// overlapTag is the tag among a target's ECS parameters that says what happens when a run is due and the one before still
// runs: gantry:overlap=skip, queue or replace. Without it both run, as on AWS.
const overlapTag = "gantry:overlap"

const (
	overlapSkip    = "skip"
	overlapQueue   = "queue"
	overlapReplace = "replace"
)

// startedBy is by whom the tasks of a rule are started, as ECS has it.
func startedBy(rule string) string { return "events-rule/" + rule }

// sendToECS runs the target's tasks. Tasks that have no place are tried again, each once: the client token of a try is the
// event's, so that a try that is repeated after a crash starts nothing twice.
func (e *Engine) sendToECS(ctx context.Context, rule *gantry.EventRule, target *eventsapi.Target, m message) error {
	p := target.EcsParameters
	token := func(left int) string {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%s/%d", m.id, rule.Name, *target.Id, left))
		return hex.EncodeToString(sum[:16])
	}
	count := int(max(1, wire.Value(p.TaskCount)))
	// A run that has begun is not in its own way.
	if _, name, ok := strings.Cut(*target.Arn, ":cluster/"); ok && !e.known(name, token(count)) {
		_, retryFor := policy(target)
		waiting, cancel := context.WithDeadline(ctx, time.Now().Add(retryFor-e.Now().Sub(m.At)))
		defer cancel()
		if skip, err := e.overlap(waiting, gantry.ClusterName(name), rule, p); skip || err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	in, err := runTaskInput(rule, target, m)
	if err != nil {
		return refused{err.Error()}
	}
	for left := count; left > 0; {
		in.ClientToken, in.Count = new(token(left)), new(int32(min(left, mostAtOnce)))
		out, err := e.RunTask(ctx, in)
		if wrong, ok := errors.AsType[*wire.Error](err); ok && wrong.Status < 500 && !strings.HasPrefix(wrong.Message, "No Container Instances were found") {
			return refused{wrong.Code + ": " + wrong.Message}
		}
		if err != nil {
			return err
		}
		left -= len(out.Tasks)
		if len(out.Failures) > 0 || len(out.Tasks) == 0 {
			return noPlace(left, out.Failures)
		}
	}
	return nil
}

// known reports whether RunTask has made tasks in a cluster for a client token.
func (e *Engine) known(cluster, token string) bool {
	_, ok := store.ClientTokens.Get(e.Store.View(), "RunTask/"+cluster+"/"+token)
	return ok
}

// mostAtOnce is how many tasks one RunTask may start.
const mostAtOnce = 10

// runTaskInput makes the request of a target's parameters; a target's input may hold overrides.
func runTaskInput(rule *gantry.EventRule, target *eventsapi.Target, m message) (*ecsapi.RunTaskInput, error) {
	p := target.EcsParameters
	in := &ecsapi.RunTaskInput{}
	// Both APIs describe these alike, but for the case of tags.
	text, err := json.Marshal(map[string]any{
		"networkConfiguration": lowerFirst(p.NetworkConfiguration), "placementConstraints": p.PlacementConstraints, "placementStrategy": p.PlacementStrategy,
		"capacityProviderStrategy": p.CapacityProviderStrategy,
	})
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, in); err != nil {
		return nil, err
	}
	in.Cluster, in.TaskDefinition = target.Arn, p.TaskDefinitionArn
	in.LaunchType, in.PlatformVersion, in.Group, in.ReferenceId = ecsapi.LaunchType(p.LaunchType), p.PlatformVersion, p.Group, p.ReferenceId
	in.PropagateTags = ecsapi.PropagateTags(p.PropagateTags)
	in.EnableECSManagedTags, in.EnableExecuteCommand = p.EnableECSManagedTags, p.EnableExecuteCommand
	in.StartedBy = new(startedBy(rule.Name))
	for _, t := range p.Tags {
		in.Tags = append(in.Tags, ecsapi.Tag{Key: t.Key, Value: t.Value})
	}
	if target.Input == nil && target.InputPath == nil && target.InputTransformer == nil {
		return in, nil // the event itself is no overrides
	}
	var over ecsapi.TaskOverride
	if err := json.Unmarshal(m.input, &over); err != nil {
		return nil, fmt.Errorf("the input is not a task's overrides: %w", err)
	}
	in.Overrides = &over
	return in, nil
}

// lowerFirst is a network configuration as ECS writes it: within awsvpcConfiguration EventBridge has capital letters.
func lowerFirst(n *eventsapi.NetworkConfiguration) any {
	if n == nil || n.AwsvpcConfiguration == nil {
		return nil
	}
	c := n.AwsvpcConfiguration
	return map[string]any{"awsvpcConfiguration": map[string]any{
		"subnets": c.Subnets, "securityGroups": c.SecurityGroups, "assignPublicIp": c.AssignPublicIp,
	}}
}

func noPlace(left int, failures []ecsapi.Failure) error {
	if len(failures) == 0 {
		return fmt.Errorf("%d tasks were not started", left)
	}
	return fmt.Errorf("%d tasks have no place: %s", left, wire.Value(failures[0].Reason))
}

// overlap does what the target wants about tasks of the rule that still run; skip says that there is nothing to start.
func (e *Engine) overlap(ctx context.Context, cluster gantry.ClusterName, rule *gantry.EventRule, p *eventsapi.EcsParameters) (skip bool, err error) {
	policy := ""
	for _, t := range p.Tags {
		if *t.Key == overlapTag {
			policy = *t.Value
		}
	}
	if policy == "" {
		return false, nil
	}
	for stopped := false; ; {
		snap := e.Store.View()
		var living []*gantry.Task
		for t := range store.TasksByStartedBy.All(snap, string(cluster)+"/"+startedBy(rule.Name)) {
			if t.LastStatus != gantry.Stopped {
				living = append(living, t)
			}
		}
		switch {
		case len(living) == 0:
			return false, nil
		case policy == overlapSkip:
			e.Log.Info("a run is skipped: the one before still runs", "rule", rule.Name, "tasks", len(living))
			return true, nil
		case policy == overlapReplace && !stopped:
			for _, t := range living {
				_, err := e.StopTask(ctx, &ecsapi.StopTaskInput{
					Cluster: new(string(t.Cluster)), Task: new(string(t.ID)), Reason: new("Replaced by the next run of rule " + rule.Name),
				})
				if err != nil {
					return false, err
				}
			}
			stopped = true
		}
		if _, err := e.Store.Newer(ctx, snap.Revision()); err != nil {
			return false, fmt.Errorf("%d tasks of the run before still run", len(living))
		}
	}
}
