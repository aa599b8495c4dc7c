package ecs

import (
	"context"
	"fmt"
	"slices"

	"gantry"
	"gantry/internal/api"
	"gantry/internal/extension"
	"gantry/internal/store"
	"gantry/internal/taskdef"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

func (s *Service) registerTaskDefinition(ctx context.Context, in *ecsapi.RegisterTaskDefinitionInput) (*ecsapi.RegisterTaskDefinitionOutput, error) {
	if err := checkTags(extension.Definition, in.Tags); err != nil {
		return nil, err
	}
	def, err := taskdef.Register(in)
	if err != nil {
		return nil, err
	}
	def.Status = ecsapi.TaskDefinitionStatusActive
	def.RegisteredAt = wire.At(s.now())
	def.RegisteredBy = new(string(s.caller(ctx)))
	family := gantry.Family(*def.Family)
	var made *gantry.Definition
	_, err = s.store.Update(ctx, func(tx *store.Tx) error {
		counter := gantry.FamilyCounter{Family: family}
		if have, ok := store.FamilyCounters.Get(tx, string(family)); ok {
			counter = *have
		}
		counter.Last++
		numbered := *def
		numbered.Revision = new(int32(counter.Last))
		name := definitionName(family, counter.Last)
		numbered.TaskDefinitionArn = new(string(s.cfg.Place.Definition(name)))
		made = &gantry.Definition{Name: name, Wire: &numbered, Tags: mergeTags(nil, in.Tags), Status: gantry.Active}
		store.FamilyCounters.Put(tx, &counter)
		store.Definitions.Put(tx, made)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.RegisterTaskDefinitionOutput{TaskDefinition: made.Wire, Tags: made.Tags}, nil
}

// caller is who signed the request, as an ARN.
func (s *Service) caller(ctx context.Context) gantry.ARN {
	if p := api.Principal(ctx); p != nil {
		return api.ARN(s.cfg.Place, p)
	}
	return s.cfg.Place.Root()
}

// findDefinition finds the revision that a request means. Without a revision it is
// the latest ACTIVE one. message is what ECS says where there is none.
func (s *Service) findDefinition(r store.Reader, ref, message string) (*gantry.Definition, error) {
	want, err := s.definition(ref)
	if err != nil {
		return nil, err
	}
	if want.revision != 0 {
		if d, ok := store.Definitions.Get(r, string(want.name())); ok {
			return d, nil
		}
		return nil, ecsapi.NewClientException(message)
	}
	var latest *gantry.Definition
	for d := range store.DefinitionsByFamily.All(r, string(want.family)) {
		if d.Status == gantry.Active && (latest == nil || revisionOf(d.Name) > revisionOf(latest.Name)) {
			latest = d
		}
	}
	if latest == nil {
		return nil, ecsapi.NewClientException(message)
	}
	return latest, nil
}

func (s *Service) deregisterTaskDefinition(ctx context.Context, in *ecsapi.DeregisterTaskDefinitionInput) (*ecsapi.DeregisterTaskDefinitionOutput, error) {
	want, err := s.definition(wire.Value(in.TaskDefinition))
	if err != nil {
		return nil, err
	}
	if want.revision == 0 {
		return nil, ecsapi.NewClientException("Revision is missing.")
	}
	var out *gantry.Definition
	_, err = s.store.Update(ctx, func(tx *store.Tx) error {
		d, ok := store.Definitions.Get(tx, string(want.name()))
		if !ok {
			return ecsapi.NewClientException("Unable to describe task definition.")
		}
		if d.Status == gantry.DeleteInProgress {
			return ecsapi.NewClientException("The specified task definition is in the process of being deleted.")
		}
		out = d
		if d.Status == gantry.Active {
			out = withStatus(d, gantry.Inactive, ecsapi.TaskDefinitionStatusInactive)
			out.Wire.DeregisteredAt = wire.At(s.now())
			store.Definitions.Put(tx, out)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecsapi.DeregisterTaskDefinitionOutput{TaskDefinition: out.Wire}, nil
}

// withStatus is a copy of a definition in another status.
func withStatus(d *gantry.Definition, status gantry.ResourceStatus, shown ecsapi.TaskDefinitionStatus) *gantry.Definition {
	next, def := *d, *d.Wire
	next.Status, next.Wire = status, &def
	def.Status = shown
	return &next
}

// deleteTaskDefinitions marks revisions for deletion. They stay describable until
// no task uses them any more; the lifecycle engine removes them then.
func (s *Service) deleteTaskDefinitions(ctx context.Context, in *ecsapi.DeleteTaskDefinitionsInput) (*ecsapi.DeleteTaskDefinitionsOutput, error) {
	var out *ecsapi.DeleteTaskDefinitionsOutput
	_, err := s.store.Update(ctx, func(tx *store.Tx) error {
		out = &ecsapi.DeleteTaskDefinitionsOutput{TaskDefinitions: []ecsapi.TaskDefinition{}, Failures: []ecsapi.Failure{}}
		for _, ref := range in.TaskDefinitions {
			d, failure := s.deleteDefinition(tx, ref)
			if failure != nil {
				out.Failures = append(out.Failures, *failure)
			} else {
				out.TaskDefinitions = append(out.TaskDefinitions, *d.Wire)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Service) deleteDefinition(tx *store.Tx, ref string) (*gantry.Definition, *ecsapi.Failure) {
	fail := func(reason, format string, args ...any) (*gantry.Definition, *ecsapi.Failure) {
		return nil, &ecsapi.Failure{Arn: new(ref), Reason: new(reason), Detail: new(fmt.Sprintf(format, args...))}
	}
	want, err := s.definition(ref)
	if err != nil || want.revision == 0 {
		return fail("INVALID_ARN", "%s does not name a revision: family:revision or its ARN is expected.", wire.Shorten(ref))
	}
	d, ok := store.Definitions.Get(tx, string(want.name()))
	if !ok {
		return fail("MISSING", "There is no task definition %s.", want.name())
	}
	switch d.Status {
	case gantry.Active:
		return fail("TASK_DEFINITION_ACTIVE", "The specified task definition is still in ACTIVE status. Please deregister the target and try again.")
	case gantry.Inactive:
		d = withStatus(d, gantry.DeleteInProgress, ecsapi.TaskDefinitionStatusDeleteInProgress)
		d.Wire.DeleteRequestedAt = wire.At(s.now())
		store.Definitions.Put(tx, d)
	}
	return d, nil
}

func (s *Service) describeTaskDefinition(ctx context.Context, in *ecsapi.DescribeTaskDefinitionInput) (*ecsapi.DescribeTaskDefinitionOutput, error) {
	snap, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	d, err := s.findDefinition(snap, wire.Value(in.TaskDefinition), "Unable to describe task definition.")
	if err != nil {
		return nil, err
	}
	out := &ecsapi.DescribeTaskDefinitionOutput{TaskDefinition: d.Wire, Tags: []ecsapi.Tag{}}
	if slices.Contains(in.Include, ecsapi.TaskDefinitionFieldTags) {
		out.Tags = shown(d.Tags)
	}
	return out, nil
}
