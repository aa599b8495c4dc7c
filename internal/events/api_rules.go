package events

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/events/pattern"
	"gantry/internal/events/schedule"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/eventsapi"
)

// mostRules is AWS's quota of rules on a bus, before it is raised.
const mostRules = 300

func badPattern(err error) error {
	return eventsapi.NewInvalidEventPatternException(fmt.Sprintf("Event pattern is not valid. Reason: %v", err))
}

func (a *api) putRule(ctx context.Context, in *eventsapi.PutRuleInput) (*eventsapi.PutRuleOutput, error) {
	if err := checkName("name", *in.Name); err != nil {
		return nil, err
	}
	if err := a.checkBus(in.EventBusName); err != nil {
		return nil, err
	}
	if wire.Value(in.EventPattern) == "" && wire.Value(in.ScheduleExpression) == "" {
		return nil, invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.")
	}
	if in.EventPattern != nil && *in.EventPattern != "" {
		if _, err := pattern.Parse(*in.EventPattern); err != nil {
			return nil, badPattern(err)
		}
	}
	if text := wire.Value(in.ScheduleExpression); text != "" {
		if _, err := schedule.Parse(text); err != nil {
			return nil, invalid("Parameter ScheduleExpression is not valid. Reason: %v.", err)
		}
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	now := a.now()
	_, err := a.store.Update(ctx, func(tx *store.Tx) error {
		next := &gantry.EventRule{
			Name: *in.Name, Description: wire.Value(in.Description), Pattern: wire.Value(in.EventPattern), Schedule: wire.Value(in.ScheduleExpression),
			State: in.State, RoleARN: wire.Value(in.RoleArn), CreatedAt: now, Anchor: now,
		}
		if next.State == "" {
			next.State = eventsapi.RuleStateEnabled
		}
		before, ok := store.EventRules.Get(tx, next.Name)
		if !ok {
			rules := 0
			for range store.EventRules.All(tx, "") {
				rules++
			}
			if rules >= mostRules {
				return eventsapi.NewLimitExceededException(fmt.Sprintf("The requested resource exceeds the maximum number allowed: there are %d rules already.", rules))
			}
			next.Tags = in.Tags
			store.EventRules.Put(tx, next)
			return nil
		}
		// The targets stay, and so do the tags: TagResource is there to change them.
		next.Targets, next.Tags, next.CreatedAt = before.Targets, before.Tags, before.CreatedAt
		if before.Schedule == next.Schedule && before.Enabled() {
			next.Anchor = before.Anchor
		}
		store.EventRules.Put(tx, next)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &eventsapi.PutRuleOutput{RuleArn: new(string(a.Place.EventRule(*in.Name)))}, nil
}

func (a *api) describeRule(ctx context.Context, in *eventsapi.DescribeRuleInput) (*eventsapi.DescribeRuleOutput, error) {
	snap, err := a.store.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	r, err := a.rule(snap, in.EventBusName, in.Name)
	if err != nil {
		return nil, err
	}
	return &eventsapi.DescribeRuleOutput{
		Name: &r.Name, Arn: new(string(a.Place.EventRule(r.Name))), EventBusName: a.busName(in.EventBusName), State: r.State,
		EventPattern: some(r.Pattern), ScheduleExpression: some(r.Schedule), Description: some(r.Description), RoleArn: some(r.RoleARN),
		CreatedBy: new(string(a.Place.Account)),
	}, nil
}

func (a *api) listRules(ctx context.Context, in *eventsapi.ListRulesInput) (*eventsapi.ListRulesOutput, error) {
	if err := a.checkBus(in.EventBusName); err != nil {
		return nil, err
	}
	snap, err := a.store.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	rules := slices.Collect(store.EventRules.All(snap, wire.Value(in.NamePrefix)))
	rules, next, err := cut("ListRules/"+wire.Value(in.NamePrefix), rules, func(r *gantry.EventRule) string { return r.Name }, in.NextToken, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &eventsapi.ListRulesOutput{Rules: []eventsapi.Rule{}, NextToken: next}
	for _, r := range rules {
		out.Rules = append(out.Rules, eventsapi.Rule{
			Name: &r.Name, Arn: new(string(a.Place.EventRule(r.Name))), EventBusName: new(defaultBus), State: r.State,
			EventPattern: some(r.Pattern), ScheduleExpression: some(r.Schedule), Description: some(r.Description), RoleArn: some(r.RoleARN),
		})
	}
	return out, nil
}

func (a *api) enableRule(ctx context.Context, in *eventsapi.EnableRuleInput) (*eventsapi.EnableRuleOutput, error) {
	return nil, a.setState(ctx, in.EventBusName, in.Name, eventsapi.RuleStateEnabled)
}

func (a *api) disableRule(ctx context.Context, in *eventsapi.DisableRuleInput) (*eventsapi.DisableRuleOutput, error) {
	return nil, a.setState(ctx, in.EventBusName, in.Name, eventsapi.RuleStateDisabled)
}

// setState switches a rule. One that is enabled anew has missed nothing.
func (a *api) setState(ctx context.Context, bus, name *string, state eventsapi.RuleState) error {
	return a.changeRule(ctx, bus, name, func(_ *store.Tx, r *gantry.EventRule) error {
		if state == eventsapi.RuleStateEnabled && !r.Enabled() {
			r.Anchor = a.now()
		}
		r.State = state
		return nil
	})
}

// changeRule changes a rule that has to be there.
func (a *api) changeRule(ctx context.Context, bus, name *string, change func(*store.Tx, *gantry.EventRule) error) error {
	_, err := a.store.Update(ctx, func(tx *store.Tx) error {
		if _, err := a.rule(tx, bus, name); err != nil {
			return err
		}
		return store.EventRules.Change(tx, *name, func(r *gantry.EventRule) error { return change(tx, r) })
	})
	return err
}

func (a *api) deleteRule(ctx context.Context, in *eventsapi.DeleteRuleInput) (*eventsapi.DeleteRuleOutput, error) {
	if err := a.checkBus(in.EventBusName); err != nil {
		return nil, err
	}
	_, err := a.store.Update(ctx, func(tx *store.Tx) error {
		r, ok := store.EventRules.Get(tx, *in.Name)
		if !ok {
			return nil // AWS answers that, too, as if it had been there
		}
		if len(r.Targets) > 0 {
			return invalid("Rule can't be deleted since it has targets.")
		}
		store.EventRules.Delete(tx, r.Name)
		store.EventFirings.Delete(tx, r.Name)
		return nil
	})
	return nil, err
}

func (a *api) testEventPattern(_ context.Context, in *eventsapi.TestEventPatternInput) (*eventsapi.TestEventPatternOutput, error) {
	p, err := pattern.Parse(*in.EventPattern)
	if err != nil {
		return nil, badPattern(err)
	}
	v, err := pattern.Decode([]byte(*in.Event))
	event, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, invalid("Parameter Event is not valid. Reason: it is not a JSON object.")
	}
	var absent []string
	for _, member := range []string{"id", "detail-type", "source", "account", "time", "region", "resources"} {
		if _, there := event[member]; !there {
			absent = append(absent, member)
		}
	}
	if len(absent) > 0 {
		return nil, invalid("Parameter Event is not valid. Reason: it lacks %s.", strings.Join(absent, ", "))
	}
	return &eventsapi.TestEventPatternOutput{Result: new(p.Match(event))}, nil
}

func (a *api) describeEventBus(_ context.Context, in *eventsapi.DescribeEventBusInput) (*eventsapi.DescribeEventBusOutput, error) {
	if err := a.checkBus(in.Name); err != nil {
		return nil, err
	}
	return &eventsapi.DescribeEventBusOutput{Name: new(defaultBus), Arn: new(string(a.Place.EventBus()))}, nil
}

func (a *api) listEventBuses(_ context.Context, in *eventsapi.ListEventBusesInput) (*eventsapi.ListEventBusesOutput, error) {
	out := &eventsapi.ListEventBusesOutput{EventBuses: []eventsapi.EventBus{}}
	if strings.HasPrefix(defaultBus, wire.Value(in.NamePrefix)) {
		out.EventBuses = append(out.EventBuses, eventsapi.EventBus{Name: new(defaultBus), Arn: new(string(a.Place.EventBus()))})
	}
	return out, nil
}
