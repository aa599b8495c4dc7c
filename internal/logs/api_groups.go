package logs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"gantry/internal/wire"
	"gantry/internal/wire/logsapi"
)

// groupsPage is how many groups or streams one describe answers at most, and by default.
const groupsPage = 50

func (a *api) createLogGroup(_ context.Context, in *logsapi.CreateLogGroupInput) (*logsapi.CreateLogGroupOutput, error) {
	name := *in.LogGroupName
	if err := checkName("logGroupName", name, groupName); err != nil {
		return nil, err
	}
	switch {
	case strings.HasPrefix(strings.ToLower(name), "aws/"):
		return nil, invalid("Log groups starting with AWS/ are reserved for AWS.")
	case in.KmsKeyId != nil:
		return nil, invalid("kmsKeyId: gantry does not encrypt log groups with a key yet.")
	case in.LogGroupClass != "" && in.LogGroupClass != logsapi.LogGroupClassStandard:
		return nil, invalid("logGroupClass %s: gantry has log groups of class STANDARD only.", in.LogGroupClass)
	}
	return nil, exception(a.engine.createGroup(groupMeta{
		Name: name, Created: a.now().UnixMilli(), Tags: in.Tags, Protected: wire.Value(in.DeletionProtectionEnabled),
	}))
}

func (a *api) deleteLogGroup(_ context.Context, in *logsapi.DeleteLogGroupInput) (*logsapi.DeleteLogGroupOutput, error) {
	return nil, exception(a.engine.deleteGroup(*in.LogGroupName))
}

func (a *api) describeLogGroups(_ context.Context, in *logsapi.DescribeLogGroupsInput) (*logsapi.DescribeLogGroupsOutput, error) {
	if in.LogGroupNamePrefix != nil && in.LogGroupNamePattern != nil {
		return nil, invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	var names []string
	for _, identifier := range in.LogGroupIdentifiers {
		name, err := a.group(nil, &identifier)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	prefix, pattern := wire.Value(in.LogGroupNamePrefix), strings.ToLower(wire.Value(in.LogGroupNamePattern))
	groups := a.engine.groupStates(func(name string) bool {
		return strings.HasPrefix(name, prefix) && strings.Contains(strings.ToLower(name), pattern) &&
			(names == nil || slices.Contains(names, name))
	})
	if in.LogGroupClass != "" && in.LogGroupClass != logsapi.LogGroupClassStandard ||
		in.AccountIdentifiers != nil && !slices.Contains(in.AccountIdentifiers, string(a.place.Account)) {
		groups = nil
	}
	t, err := tokensOf("DescribeLogGroups", prefix, pattern, names)
	if err != nil {
		return nil, err
	}
	groups, next, err := page(t, in.NextToken, limit(in.Limit, groupsPage), groups,
		func(g groupState) string { return g.Name },
		func(g groupState, last string) bool { return g.Name > last })
	if err != nil {
		return nil, err
	}
	out := &logsapi.DescribeLogGroupsOutput{LogGroups: []logsapi.LogGroup{}, NextToken: next}
	for _, g := range groups {
		out.LogGroups = append(out.LogGroups, a.logGroup(g))
	}
	return out, nil
}

func (a *api) logGroup(g groupState) logsapi.LogGroup {
	arn := a.groupARN(g.Name)
	lg := logsapi.LogGroup{
		LogGroupName: &g.Name, LogGroupArn: &arn, Arn: new(arn + ":*"), CreationTime: &g.Created,
		StoredBytes: &g.Bytes, MetricFilterCount: new(int32(0)), LogGroupClass: logsapi.LogGroupClassStandard,
		DeletionProtectionEnabled: &g.Protected,
	}
	if g.Retention != 0 {
		lg.RetentionInDays = &g.Retention
	}
	return lg
}

// limit is how many items a page has: most where the request does not say, and never more.
func limit(asked *int32, most int) int {
	if asked == nil {
		return most
	}
	return min(int(*asked), most)
}

// retentions are the days for which CloudWatch Logs can keep events.
var retentions = []int32{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

func (a *api) putRetentionPolicy(_ context.Context, in *logsapi.PutRetentionPolicyInput) (*logsapi.PutRetentionPolicyOutput, error) {
	days := *in.RetentionInDays
	if !slices.Contains(retentions, days) {
		all := strings.ReplaceAll(fmt.Sprint(retentions), " ", ", ")
		return nil, invalid("1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: %s", days, all)
	}
	return nil, exception(a.engine.changeGroup(*in.LogGroupName, func(m *groupMeta) error { m.Retention = days; return nil }))
}

func (a *api) deleteRetentionPolicy(_ context.Context, in *logsapi.DeleteRetentionPolicyInput) (*logsapi.DeleteRetentionPolicyOutput, error) {
	return nil, exception(a.engine.changeGroup(*in.LogGroupName, func(m *groupMeta) error { m.Retention = 0; return nil }))
}

func (a *api) putLogGroupDeletionProtection(_ context.Context, in *logsapi.PutLogGroupDeletionProtectionInput) (*logsapi.PutLogGroupDeletionProtectionOutput, error) {
	name, err := a.group(nil, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	return nil, exception(a.engine.changeGroup(name, func(m *groupMeta) error { m.Protected = *in.DeletionProtectionEnabled; return nil }))
}
