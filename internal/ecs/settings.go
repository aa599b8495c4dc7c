package ecs

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// maxSettingsPage is the page of ListAccountSettings, by default and at most.
const maxSettingsPage = 10

// A settingRule says what an account setting may be, and what it is where nobody set it.
type settingRule struct {
	values []string
	preset string
}

var (
	onOff = []string{"enabled", "disabled", "on", "off"}
	// onlyOn: gantry knows the long format of ARNs only, and does not pretend otherwise.
	onlyOn = []string{"enabled", "on"}
)

// settingRules are the settings of ECS with the values of a new account.
// containerInsights is what a new cluster starts with, defaultLogDriverMode what
// containers that log with awslogs start with. The others are kept for the
// features that read them; docs/differences.md names those that come later.
var settingRules = map[ecsapi.SettingName]settingRule{
	ecsapi.SettingNameServiceLongArnFormat:            {onlyOn, "enabled"},
	ecsapi.SettingNameTaskLongArnFormat:               {onlyOn, "enabled"},
	ecsapi.SettingNameContainerInstanceLongArnFormat:  {onlyOn, "enabled"},
	ecsapi.SettingNameAwsvpcTrunking:                  {onOff, "disabled"},
	ecsapi.SettingNameContainerInsights:               {[]string{"enabled", "disabled", "enhanced"}, "disabled"},
	ecsapi.SettingNameFargateFipsMode:                 {onOff, "disabled"},
	ecsapi.SettingNameTagResourceAuthorization:        {onOff, "on"},
	ecsapi.SettingNameFargateTaskRetirementWaitPeriod: {[]string{"0", "7", "14"}, "7"},
	ecsapi.SettingNameGuardDutyActivate:               {onOff, "off"},
	ecsapi.SettingNameDefaultLogDriverMode:            {[]string{"blocking", "non-blocking"}, "non-blocking"},
	ecsapi.SettingNameFargateEventWindows:             {onOff, "disabled"},
}

func (s *Service) putAccountSetting(ctx context.Context, in *ecsapi.PutAccountSettingInput) (*ecsapi.PutAccountSettingOutput, error) {
	principal, err := s.whose(ctx, in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	out, err := s.putSetting(ctx, in.Name, wire.Value(in.Value), principal)
	if err != nil {
		return nil, err
	}
	return &ecsapi.PutAccountSettingOutput{Setting: out}, nil
}

// putAccountSettingDefault sets what holds for everyone who has not set it.
func (s *Service) putAccountSettingDefault(ctx context.Context, in *ecsapi.PutAccountSettingDefaultInput) (*ecsapi.PutAccountSettingDefaultOutput, error) {
	out, err := s.putSetting(ctx, in.Name, wire.Value(in.Value), "")
	if err != nil {
		return nil, err
	}
	return &ecsapi.PutAccountSettingDefaultOutput{Setting: out}, nil
}

// maxPrincipal is how long the ARN of a principal may be: IAM's names have 64 characters, and their paths 512.
const maxPrincipal = 1024

// whose is the principal that a call is about: the one that it names, or else the caller.
func (s *Service) whose(ctx context.Context, named *string) (string, error) {
	arn := wire.Value(named)
	if arn == "" {
		return string(s.caller(ctx)), nil
	}
	if !strings.HasPrefix(arn, "arn:aws:iam::") || len(arn) > maxPrincipal {
		return "", invalid("The principal ARN is invalid: %s.", wire.Shorten(arn))
	}
	return arn, nil
}

func (s *Service) putSetting(ctx context.Context, name ecsapi.SettingName, value, principal string) (*ecsapi.Setting, error) {
	rule, ok := settingRules[name]
	if !ok {
		return nil, invalid("Setting name is unsupported: %s.", wire.Shorten(string(name)))
	}
	if slices.Equal(rule.values, onlyOn) && slices.Contains([]string{"disabled", "off"}, value) {
		// Terraform, which disables what it destroys, knows these words and goes on.
		return nil, invalid("You can no longer disable Long Arn settings.")
	}
	if !slices.Contains(rule.values, value) {
		return nil, invalid("Invalid value for setting %s: %s. Valid values are: %s.", name, wire.Shorten(value), strings.Join(rule.values, ", "))
	}
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		store.AccountSettings.Put(tx, &gantry.AccountSetting{Principal: principal, Name: name, Value: value})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.showSetting(name, value, principal), nil
}

// showSetting is a setting as ECS answers it; the account's own belongs to the root.
func (s *Service) showSetting(name ecsapi.SettingName, value, principal string) *ecsapi.Setting {
	return &ecsapi.Setting{
		Name: name, Value: new(value), Type: ecsapi.SettingTypeUser,
		PrincipalArn: new(cmp.Or(principal, string(s.cfg.Place.Root()))),
	}
}

// deleteAccountSetting removes a principal's own setting; the account's default holds then.
func (s *Service) deleteAccountSetting(ctx context.Context, in *ecsapi.DeleteAccountSettingInput) (*ecsapi.DeleteAccountSettingOutput, error) {
	if _, ok := settingRules[in.Name]; !ok {
		return nil, invalid("Setting name is unsupported: %s.", wire.Shorten(string(in.Name)))
	}
	principal, err := s.whose(ctx, in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	_, err = s.store.Update(ctx, func(tx *store.Tx) error {
		store.AccountSettings.Delete(tx, settingKey(in.Name, principal))
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := s.showSetting(in.Name, "", principal)
	out.Value = new(effective(s.store.View(), in.Name, principal))
	return &ecsapi.DeleteAccountSettingOutput{Setting: out}, nil
}

func settingKey(name ecsapi.SettingName, principal string) string {
	return string(name) + "/" + principal
}

// effective is the value that holds for a principal: its own, else the account's,
// else the one of a new account.
func effective(r store.Reader, name ecsapi.SettingName, principal string) string {
	for _, who := range []string{principal, ""} {
		if have, ok := store.AccountSettings.Get(r, settingKey(name, who)); ok {
			return have.Value
		}
	}
	return settingRules[name].preset
}

// DefaultLogDriverMode is the account's setting of that name: what the root set,
// for itself or as the default of all.
func (s *Service) DefaultLogDriverMode(r store.Reader) string {
	return effective(r, ecsapi.SettingNameDefaultLogDriverMode, string(s.cfg.Place.Root()))
}

func (s *Service) listAccountSettings(ctx context.Context, in *ecsapi.ListAccountSettingsInput) (*ecsapi.ListAccountSettingsOutput, error) {
	p, err := newPage("ListAccountSettings", in.NextToken, in.MaxResults, maxSettingsPage,
		[]any{in.EffectiveSettings, in.Name, in.PrincipalArn, in.Value})
	if err != nil {
		return nil, err
	}
	snap, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	principal, err := s.whose(ctx, in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	found := []ecsapi.Setting{}
	for name := range settingRules {
		if in.Name != "" && name != in.Name {
			continue
		}
		value := effective(snap, name, principal)
		if !wire.Value(in.EffectiveSettings) {
			own, ok := store.AccountSettings.Get(snap, settingKey(name, principal))
			if !ok {
				continue
			}
			value = own.Value
		}
		if in.Value == nil || *in.Value == value {
			found = append(found, *s.showSetting(name, value, principal))
		}
	}
	key := func(x ecsapi.Setting) string { return string(x.Name) }
	slices.SortFunc(found, func(a, b ecsapi.Setting) int { return strings.Compare(key(a), key(b)) })
	found, next := cut(p, found, key, nil)
	return &ecsapi.ListAccountSettingsOutput{Settings: found, NextToken: next}, nil
}
