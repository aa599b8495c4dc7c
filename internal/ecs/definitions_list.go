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

func (s *Service) listTaskDefinitions(ctx context.Context, in *ecsapi.ListTaskDefinitionsInput) (*ecsapi.ListTaskDefinitionsOutput, error) {
	status := cmp.Or(in.Status, ecsapi.TaskDefinitionStatusActive)
	p, err := newPage("ListTaskDefinitions", in.NextToken, in.MaxResults, maxPage, []any{in.FamilyPrefix, in.Sort, status})
	if err != nil {
		return nil, err
	}
	snap, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	// familyPrefix is, unlike its name, the whole family.
	definitions := store.Definitions.All(snap, "")
	if family := wire.Value(in.FamilyPrefix); family != "" {
		definitions = store.DefinitionsByFamily.All(snap, family)
	}
	names := []gantry.DefinitionName{}
	for d := range definitions {
		if string(d.Status) == string(status) {
			names = append(names, d.Name)
		}
	}
	order := compareDefinitions
	if in.Sort == ecsapi.SortOrderDesc {
		order = func(a, b string) int { return compareDefinitions(b, a) }
	}
	slices.SortFunc(names, func(a, b gantry.DefinitionName) int { return order(string(a), string(b)) })
	names, next := cut(p, names, func(n gantry.DefinitionName) string { return string(n) }, order)
	out := &ecsapi.ListTaskDefinitionsOutput{TaskDefinitionArns: make([]string, len(names)), NextToken: next}
	for i, n := range names {
		out.TaskDefinitionArns[i] = string(s.cfg.Place.Definition(n))
	}
	return out, nil
}

// compareDefinitions orders by family, then by revision as a number.
func compareDefinitions(a, b string) int {
	x, y := gantry.DefinitionName(a), gantry.DefinitionName(b)
	return cmp.Or(strings.Compare(string(x.Family()), string(y.Family())), cmp.Compare(revisionOf(x), revisionOf(y)))
}

func (s *Service) listTaskDefinitionFamilies(ctx context.Context, in *ecsapi.ListTaskDefinitionFamiliesInput) (*ecsapi.ListTaskDefinitionFamiliesOutput, error) {
	p, err := newPage("ListTaskDefinitionFamilies", in.NextToken, in.MaxResults, maxPage, []any{in.FamilyPrefix, in.Status})
	if err != nil {
		return nil, err
	}
	snap, err := s.fresh(ctx)
	if err != nil {
		return nil, err
	}
	active := map[string]bool{} // families by whether they have an ACTIVE revision
	for d := range store.Definitions.All(snap, wire.Value(in.FamilyPrefix)) {
		family := string(d.Name.Family())
		active[family] = active[family] || d.Status == gantry.Active
	}
	families := []string{}
	for family, isActive := range active {
		switch in.Status {
		case ecsapi.TaskDefinitionFamilyStatusActive:
			if !isActive {
				continue
			}
		case ecsapi.TaskDefinitionFamilyStatusInactive:
			if isActive {
				continue
			}
		}
		families = append(families, family)
	}
	slices.Sort(families)
	families, next := cut(p, families, itself, nil)
	return &ecsapi.ListTaskDefinitionFamiliesOutput{Families: families, NextToken: next}, nil
}
