package events

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/eventsapi"
)

// mostTargets is AWS's quota of targets of a rule, before it is raised.
const mostTargets = 5

func (a *api) putTargets(ctx context.Context, in *eventsapi.PutTargetsInput) (*eventsapi.PutTargetsOutput, error) {
	for i := range in.Targets {
		if err := a.checkTarget(&in.Targets[i]); err != nil {
			return nil, err
		}
	}
	// What has happened up to now is not for targets that are new.
	begin := int64(a.store.View().Revision())
	err := a.changeRule(ctx, in.EventBusName, in.Rule, func(tx *store.Tx, r *gantry.EventRule) error {
		r.Targets = slices.Clone(r.Targets)
		for _, t := range in.Targets {
			if have := r.Target(*t.Id); have != nil {
				*have = t
				continue
			}
			if r.Targets = append(r.Targets, t); len(r.Targets) > mostTargets {
				return eventsapi.NewLimitExceededException(fmt.Sprintf("The requested resource exceeds the maximum number allowed: a rule has at most %d targets.", mostTargets))
			}
			store.EventCursors.Put(tx, &gantry.EventCursor{Rule: r.Name, Target: *t.Id, Revision: begin, N: mostInRevision})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &eventsapi.PutTargetsOutput{FailedEntryCount: new(int32(0)), FailedEntries: []eventsapi.PutTargetsResultEntry{}}, nil
}

// mostInRevision is beyond every event of a revision.
const mostInRevision = 1 << 30

// notOffered are the members of a target that belong to targets that gantry has not.
func notOffered(t *eventsapi.Target) string {
	for _, m := range []struct {
		set  bool
		name string
	}{
		{t.AppSyncParameters != nil, "AppSyncParameters"}, {t.BatchParameters != nil, "BatchParameters"},
		{t.KinesisParameters != nil, "KinesisParameters"}, {t.RedshiftDataParameters != nil, "RedshiftDataParameters"},
		{t.RunCommandParameters != nil, "RunCommandParameters"}, {t.SageMakerPipelineParameters != nil, "SageMakerPipelineParameters"},
		{t.SqsParameters != nil, "SqsParameters"}, {t.DeadLetterConfig != nil, "DeadLetterConfig"},
	} {
		if m.set {
			return m.name
		}
	}
	return ""
}

func (a *api) checkTarget(t *eventsapi.Target) error {
	if err := checkName("targets.member.id", *t.Id); err != nil {
		return err
	}
	parts := strings.SplitN(*t.Arn, ":", 6)
	switch {
	case len(parts) != 6 || parts[0] != "arn":
		return invalid("Parameter %s is not valid. Reason: Provided Arn is not in correct format.", wire.Shorten(*t.Arn))
	case parts[3] != string(a.Place.Region) || parts[4] != string(a.Place.Account):
		return invalid("Parameter %s is not valid. Reason: targets are in the region %s and the account %s of this gantry.", wire.Shorten(*t.Arn), a.Place.Region, a.Place.Account)
	}
	if member := notOffered(t); member != "" {
		return invalid("%s of target %s: gantry does not offer that yet. Its targets are log groups, API destinations and ECS tasks, and events that cannot be delivered are told in gantry's log.", member, *t.Id)
	}
	switch kind := kindOf(*t.Arn); {
	case kind == unknownTarget:
		return invalid("Parameter %s is not valid. Reason: gantry has no targets of this kind: there are log groups, API destinations and clusters of ECS.", wire.Shorten(*t.Arn))
	case kind == taskTarget:
		if err := checkECS(t); err != nil {
			return err
		}
	case t.EcsParameters != nil:
		return invalid("Parameter EcsParameters of target %s belongs to a target that is a cluster of ECS.", *t.Id)
	}
	if t.HttpParameters != nil && kindOf(*t.Arn) != destinationTarget {
		return invalid("Parameter HttpParameters of target %s belongs to a target that is an API destination.", *t.Id)
	}
	if p := t.RetryPolicy; p != nil && p.MaximumEventAgeInSeconds != nil && (*p.MaximumEventAgeInSeconds < 60 || *p.MaximumEventAgeInSeconds > 86400) {
		return invalid("MaximumEventAgeInSeconds of target %s is %d; it must be between 60 and 86400.", *t.Id, *p.MaximumEventAgeInSeconds)
	}
	if err := checkInput(t); err != nil {
		return invalid("%v", err)
	}
	return nil
}

func checkECS(t *eventsapi.Target) error {
	p := t.EcsParameters
	if p == nil {
		return invalid("Parameter EcsParameters of target %s is required: a cluster is told which task definition to run.", *t.Id)
	}
	for _, tag := range p.Tags {
		if *tag.Key == overlapTag && !slices.Contains([]string{overlapSkip, overlapQueue, overlapReplace}, *tag.Value) {
			return invalid("Tag %s of target %s is %s; it is one of %s, %s, %s.", overlapTag, *t.Id, wire.Shorten(*tag.Value), overlapSkip, overlapQueue, overlapReplace)
		}
	}
	return nil
}

func (a *api) removeTargets(ctx context.Context, in *eventsapi.RemoveTargetsInput) (*eventsapi.RemoveTargetsOutput, error) {
	err := a.changeRule(ctx, in.EventBusName, in.Rule, func(tx *store.Tx, r *gantry.EventRule) error {
		r.Targets = slices.DeleteFunc(slices.Clone(r.Targets), func(t eventsapi.Target) bool { return slices.Contains(in.Ids, *t.Id) })
		for _, id := range in.Ids {
			store.EventCursors.Delete(tx, r.Name+"/"+id)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &eventsapi.RemoveTargetsOutput{FailedEntryCount: new(int32(0)), FailedEntries: []eventsapi.RemoveTargetsResultEntry{}}, nil
}

func (a *api) listTargetsByRule(ctx context.Context, in *eventsapi.ListTargetsByRuleInput) (*eventsapi.ListTargetsByRuleOutput, error) {
	snap, err := a.store.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	r, err := a.rule(snap, in.EventBusName, in.Rule)
	if err != nil {
		return nil, err
	}
	targets := slices.Clone(r.Targets)
	slices.SortFunc(targets, func(x, y eventsapi.Target) int { return strings.Compare(*x.Id, *y.Id) })
	targets, next, err := cut("ListTargetsByRule/"+r.Name, targets, func(t eventsapi.Target) string { return *t.Id }, in.NextToken, in.Limit)
	if err != nil {
		return nil, err
	}
	if targets == nil {
		targets = []eventsapi.Target{}
	}
	return &eventsapi.ListTargetsByRuleOutput{Targets: targets, NextToken: next}, nil
}

func (a *api) listRuleNamesByTarget(ctx context.Context, in *eventsapi.ListRuleNamesByTargetInput) (*eventsapi.ListRuleNamesByTargetOutput, error) {
	if err := a.checkBus(in.EventBusName); err != nil {
		return nil, err
	}
	snap, err := a.store.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for r := range store.EventRules.All(snap, "") {
		if slices.ContainsFunc(r.Targets, func(t eventsapi.Target) bool { return *t.Arn == *in.TargetArn }) {
			names = append(names, r.Name)
		}
	}
	names, next, err := cut("ListRuleNamesByTarget/"+*in.TargetArn, names, func(s string) string { return s }, in.NextToken, in.Limit)
	if err != nil {
		return nil, err
	}
	return &eventsapi.ListRuleNamesByTargetOutput{RuleNames: names, NextToken: next}, nil
}
