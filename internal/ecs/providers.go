package ecs

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"gantry"
	"gantry/internal/extension"
	"gantry/internal/store"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

const (
	// maxProviders is how many capacity providers an account may have: every creation
	// looks at all of them.
	maxProviders = 1000
	// maxListedProviders is ECS's page of DescribeCapacityProviders.
	maxListedProviders = 10
)

// groupARN is the ARN of an Auto Scaling group, of whatever account and region: nobody
// looks it up. Its name may hold what an attribute's value may.
var groupARN = regexp.MustCompile(`^arn:[^:]+:autoscaling:[^:]*:[^:]*:autoScalingGroup:[^:]*:autoScalingGroupName/(.{1,255})$`)

func (s *Service) createCapacityProvider(ctx context.Context, in *ecsapi.CreateCapacityProviderInput) (*ecsapi.CreateCapacityProviderOutput, error) {
	made, err := newProvider(in)
	if err != nil {
		return nil, err
	}
	_, err = s.store.Update(ctx, func(tx *store.Tx) error {
		n := 0
		for have := range store.CapacityProviders.All(tx, "") {
			if have.Status != ecsapi.CapacityProviderStatusActive {
				continue
			}
			switch {
			case have.Name == made.Name:
				return client("The specified capacity provider already exists. To change the configuration of an existing capacity provider, update the capacity provider.")
			case have.GroupName() == made.GroupName():
				return client("The specified Auto Scaling group ARN is already being used by another capacity provider. Specify a unique Auto Scaling group ARN and try again.")
			}
			if n++; n == maxProviders {
				return ecsapi.NewLimitExceededException("You've reached the limit on the number of capacity providers: 1000.")
			}
		}
		store.CapacityProviders.Put(tx, made)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.CreateCapacityProviderOutput{CapacityProvider: s.showProvider(made, true)}, nil
}

// newProvider is the capacity provider that a request describes, with ECS's defaults.
func newProvider(in *ecsapi.CreateCapacityProviderInput) (*gantry.CapacityProvider, error) {
	name := *in.Name
	if !validName(name) || slices.ContainsFunc([]string{"aws", "ecs", "fargate"}, func(p string) bool { return strings.HasPrefix(strings.ToLower(name), p) }) {
		return nil, client("The specified capacity provider name is invalid. Up to 255 characters are allowed, including letters (upper and lowercase), numbers, underscores (_), and hyphens (-). The name cannot be prefixed with \"aws\", \"ecs\", or \"fargate\". Specify a valid name and try again.")
	}
	if in.ManagedInstancesProvider != nil {
		return nil, notYet("A managedInstancesProvider is not offered by gantry: give an autoScalingGroupProvider.")
	}
	if in.Cluster != nil {
		return nil, invalid("A cluster belongs to a managedInstancesProvider; capacity providers of Auto Scaling groups are associated with PutClusterCapacityProviders.")
	}
	if in.AutoScalingGroupProvider == nil {
		return nil, invalid("The autoScalingGroupProvider is required.")
	}
	if err := checkTags(extension.Provider, in.Tags); err != nil {
		return nil, err
	}
	group := *in.AutoScalingGroupProvider
	arn := wire.Value(group.AutoScalingGroupArn)
	found := groupARN.FindStringSubmatch(arn)
	if found == nil || !gantry.IsAttributeValue(found[1]) {
		return nil, invalid("The specified Auto Scaling group ARN is invalid: %s. It reads arn:aws:autoscaling:<region>:<account>:autoScalingGroup:<id>:autoScalingGroupName/<name>, the name 1 to %d letters, digits and - _ . / \\ @ :, with spaces between them.",
			wire.Shorten(arn), gantry.MaxAttribute)
	}
	group.ManagedScaling = scaling(group.ManagedScaling, nil)
	if group.ManagedTerminationProtection == "" {
		group.ManagedTerminationProtection = ecsapi.ManagedTerminationProtectionDisabled
	}
	if group.ManagedDraining == "" {
		group.ManagedDraining = ecsapi.ManagedDrainingEnabled
	}
	if err := checkGroup(&group); err != nil {
		return nil, err
	}
	return &gantry.CapacityProvider{
		Name: name, Status: ecsapi.CapacityProviderStatusActive, Update: ecsapi.CapacityProviderUpdateStatusCreateComplete,
		Group: &group, Tags: mergeTags(nil, in.Tags),
	}, nil
}

// scaling is a provider's managed scaling as ECS answers it: what was given, else what
// was before, else ECS's defaults. Where it was never enabled there is nothing but that.
func scaling(given, before *ecsapi.ManagedScaling) *ecsapi.ManagedScaling {
	if given == nil {
		given = &ecsapi.ManagedScaling{}
	}
	if before == nil {
		before = &ecsapi.ManagedScaling{Status: ecsapi.ManagedScalingStatusDisabled}
		if *given == (ecsapi.ManagedScaling{}) {
			return before
		}
		before = &ecsapi.ManagedScaling{
			Status: ecsapi.ManagedScalingStatusDisabled, TargetCapacity: new(int32(100)),
			MinimumScalingStepSize: new(int32(1)), MaximumScalingStepSize: new(int32(10000)), InstanceWarmupPeriod: new(int32(300)),
		}
	}
	out := *given
	if out.Status == "" {
		out.Status = before.Status
	}
	out.TargetCapacity = firstOf(out.TargetCapacity, before.TargetCapacity)
	out.MinimumScalingStepSize = firstOf(out.MinimumScalingStepSize, before.MinimumScalingStepSize)
	out.MaximumScalingStepSize = firstOf(out.MaximumScalingStepSize, before.MaximumScalingStepSize)
	out.InstanceWarmupPeriod = firstOf(out.InstanceWarmupPeriod, before.InstanceWarmupPeriod)
	return &out
}

// checkGroup checks what the generated checks leave out: the bounds of managed scaling,
// and that termination protection has managed scaling to work with.
func checkGroup(g *ecsapi.AutoScalingGroupProvider) error {
	m := g.ManagedScaling
	for _, n := range []struct {
		name        string
		value       *int32
		least, most int32
	}{
		{"targetCapacity", m.TargetCapacity, 1, 100},
		{"minimumScalingStepSize", m.MinimumScalingStepSize, 1, 10000},
		{"maximumScalingStepSize", m.MaximumScalingStepSize, 1, 10000},
		{"instanceWarmupPeriod", m.InstanceWarmupPeriod, 0, 10000},
	} {
		if n.value != nil && (*n.value < n.least || *n.value > n.most) {
			return invalid("managedScaling.%s is %d; it must be between %d and %d.", n.name, *n.value, n.least, n.most)
		}
	}
	if wire.Value(m.MinimumScalingStepSize) > wire.Value(m.MaximumScalingStepSize) {
		return invalid("managedScaling.minimumScalingStepSize is %d, more than the maximumScalingStepSize of %d.", *m.MinimumScalingStepSize, wire.Value(m.MaximumScalingStepSize))
	}
	if g.ManagedTerminationProtection == ecsapi.ManagedTerminationProtectionEnabled && m.Status != ecsapi.ManagedScalingStatusEnabled {
		return client("The managed termination protection setting for the capacity provider is invalid. To enable managed termination protection for a capacity provider, managed scaling must be enabled.")
	}
	return nil
}

// providerName reads a reference to a capacity provider: its name or its ARN.
func (s *Service) providerName(ref string) (string, error) {
	if !gantry.IsARN(ref) {
		return ref, nil
	}
	arn, err := s.ownARN(ref, "capacity-provider")
	return arn.Path, err
}

// changeProvider changes a capacity provider of an Auto Scaling group that is ACTIVE. A
// cluster, which such a provider needs none of, has to be there where it is named.
func (s *Service) changeProvider(ctx context.Context, ref string, cluster *string, change func(*store.Tx, *gantry.CapacityProvider) error) (*ecsapi.CapacityProvider, error) {
	name, err := s.providerName(ref)
	if err != nil {
		return nil, err
	}
	if gantry.BuiltInProvider(name) {
		return nil, client("The specified capacity provider is reserved and cannot be changed: %s.", name)
	}
	var out *gantry.CapacityProvider
	_, err = s.store.Update(ctx, func(tx *store.Tx) error {
		if cluster != nil {
			if _, err := s.cluster(tx, cluster); err != nil {
				return err
			}
		}
		have, ok := store.CapacityProviders.Get(tx, name)
		if !ok || have.Status != ecsapi.CapacityProviderStatusActive {
			return noProvider(name)
		}
		next := *have
		if err := change(tx, &next); err != nil {
			return err
		}
		out = &next
		store.CapacityProviders.Put(tx, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.showProvider(out, true), nil
}

func noProvider(name string) error {
	return invalid("The specified capacity provider '%s' was not found.", wire.Shorten(name))
}

func (s *Service) updateCapacityProvider(ctx context.Context, in *ecsapi.UpdateCapacityProviderInput) (*ecsapi.UpdateCapacityProviderOutput, error) {
	if in.ManagedInstancesProvider != nil {
		return nil, notYet("A managedInstancesProvider is not offered by gantry: give an autoScalingGroupProvider.")
	}
	if in.AutoScalingGroupProvider == nil {
		return nil, invalid("The autoScalingGroupProvider is required.")
	}
	out, err := s.changeProvider(ctx, *in.Name, in.Cluster, func(_ *store.Tx, p *gantry.CapacityProvider) error {
		group, given := *p.Group, in.AutoScalingGroupProvider
		if given.ManagedScaling != nil {
			group.ManagedScaling = scaling(given.ManagedScaling, nil)
			if wire.Value(p.Group.ManagedScaling).TargetCapacity != nil {
				group.ManagedScaling = scaling(given.ManagedScaling, p.Group.ManagedScaling)
			}
		}
		if given.ManagedTerminationProtection != "" {
			group.ManagedTerminationProtection = given.ManagedTerminationProtection
		}
		if given.ManagedDraining != "" {
			group.ManagedDraining = given.ManagedDraining
		}
		p.Group, p.Update, p.UpdateReason = &group, ecsapi.CapacityProviderUpdateStatusUpdateComplete, ""
		return checkGroup(&group)
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.UpdateCapacityProviderOutput{CapacityProvider: out}, nil
}

// deleteCapacityProvider makes a provider INACTIVE. One that a cluster has is answered
// as on AWS: it stays ACTIVE, and says that its deletion failed and why.
func (s *Service) deleteCapacityProvider(ctx context.Context, in *ecsapi.DeleteCapacityProviderInput) (*ecsapi.DeleteCapacityProviderOutput, error) {
	out, err := s.changeProvider(ctx, *in.CapacityProvider, in.Cluster, func(tx *store.Tx, p *gantry.CapacityProvider) error {
		for c := range store.Clusters.All(tx, "") {
			if c.Status == gantry.Active && slices.Contains(c.CapacityProviders, p.Name) {
				p.Update = ecsapi.CapacityProviderUpdateStatusDeleteFailed
				p.UpdateReason = "The capacity provider cannot be deleted because it is associated with cluster: " + string(c.Name) + ". Remove the capacity provider from the cluster and try again."
				return nil
			}
		}
		p.Status, p.DeletedAt = ecsapi.CapacityProviderStatusInactive, s.now()
		p.Update, p.UpdateReason = ecsapi.CapacityProviderUpdateStatusDeleteComplete, ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.DeleteCapacityProviderOutput{CapacityProvider: out}, nil
}

// describeCapacityProviders lists the built-in providers too. INACTIVE ones are
// answered only to those who name them.
func (s *Service) describeCapacityProviders(ctx context.Context, in *ecsapi.DescribeCapacityProvidersInput) (*ecsapi.DescribeCapacityProvidersOutput, error) {
	p, err := newPage("DescribeCapacityProviders", in.NextToken, in.MaxResults, maxListedProviders, []any{in.CapacityProviders, in.Cluster})
	if err != nil {
		return nil, err
	}
	snap, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	tags := slices.Contains(in.Include, ecsapi.CapacityProviderFieldTags)
	out := &ecsapi.DescribeCapacityProvidersOutput{CapacityProviders: []ecsapi.CapacityProvider{}, Failures: []ecsapi.Failure{}}
	if len(in.CapacityProviders) > 0 {
		for _, ref := range in.CapacityProviders {
			name, err := s.providerName(ref)
			if err != nil {
				return nil, err
			}
			if have := findProvider(snap, name); have != nil {
				out.CapacityProviders = append(out.CapacityProviders, *s.showProvider(have, tags))
			} else {
				out.Failures = append(out.Failures, missing(s.cfg.Place.CapacityProvider(name)))
			}
		}
		return out, nil
	}
	all := []*gantry.CapacityProvider{findProvider(snap, gantry.ProviderFargate), findProvider(snap, gantry.ProviderFargateSpot)}
	for have := range store.CapacityProviders.All(snap, "") {
		if have.Status == ecsapi.CapacityProviderStatusActive {
			all = append(all, have)
		}
	}
	if in.Cluster != nil {
		c, err := s.cluster(snap, in.Cluster)
		if err != nil {
			return nil, err
		}
		all = slices.DeleteFunc(all, func(p *gantry.CapacityProvider) bool { return !slices.Contains(c.CapacityProviders, p.Name) })
	}
	name := func(p *gantry.CapacityProvider) string { return p.Name }
	slices.SortFunc(all, func(a, b *gantry.CapacityProvider) int { return strings.Compare(a.Name, b.Name) })
	all, out.NextToken = cut(p, all, name, nil)
	for _, have := range all {
		out.CapacityProviders = append(out.CapacityProviders, *s.showProvider(have, tags))
	}
	return out, nil
}

// findProvider finds a capacity provider, built in or not; nil where there is none.
func findProvider(r store.Reader, name string) *gantry.CapacityProvider {
	if gantry.BuiltInProvider(name) {
		return &gantry.CapacityProvider{Name: name, Status: ecsapi.CapacityProviderStatusActive}
	}
	p, _ := store.CapacityProviders.Get(r, name)
	return p
}

func (s *Service) showProvider(p *gantry.CapacityProvider, tags bool) *ecsapi.CapacityProvider {
	out := &ecsapi.CapacityProvider{
		CapacityProviderArn: new(string(s.cfg.Place.CapacityProvider(p.Name))), Name: new(p.Name),
		Status: p.Status, Type: ecsapi.CapacityProviderTypeEc2Autoscaling,
		AutoScalingGroupProvider: p.Group, UpdateStatus: p.Update, UpdateStatusReason: some(p.UpdateReason), Tags: []ecsapi.Tag{},
	}
	if gantry.BuiltInProvider(p.Name) {
		out.Type = ecsapi.CapacityProviderType(p.Name)
	}
	if tags {
		out.Tags = shown(p.Tags)
	}
	return out
}
