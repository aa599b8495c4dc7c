package main

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/traits"
)

// A Source says where a service's model comes from and what it is called here.
type Source struct {
	Package string // "ecsapi"
	Title   string // "Amazon ECS"
	Module  string // of the SDK
	Client  reflect.Type
	Errors  *smithy.TypeRegistry
	Private []Private
	Limits  map[string]Limit
	// Own are enumerated members of which the operation takes fewer values, and says so in its own words: "Structure.member".
	Own []string
	// Invalid is the exception for a member that is missing or wrong: InvalidParameterException where it is empty. One
	// that the model leaves out, as it does ValidationException, is added to it.
	Invalid string
	Encoded []string // lists, by "DescribeTasksOutput.tasks", that can also be answered as JSON made earlier
}

// A Private member is one that the genuine agent sends or reads and that the public model lacks.
type Private struct{ Struct, Go, Wire string }

// A reader walks the schemas from the operations down.
type reader struct {
	from    Source
	src     *source
	structs map[string]Struct
	enums   map[string]Enum
	private map[string][]Private // by structure; those used are removed
	unused  map[string]Limit     // those of the limits that no member has had yet
}

// read returns the model of one service.
func read(from Source) (*Service, error) {
	src, err := readSource(from.Module)
	if err != nil {
		return nil, err
	}
	r := &reader{from: from, src: src, structs: map[string]Struct{}, enums: map[string]Enum{}, private: map[string][]Private{}, unused: maps.Clone(from.Limits)}
	for _, p := range from.Private {
		r.private[p.Struct] = append(r.private[p.Struct], p)
	}
	svc := &Service{Source: from}
	for m := range from.Client.Methods() {
		if isOperation(m) {
			op, err := r.operation(m)
			if err != nil {
				return nil, fmt.Errorf("operation %s: %w", m.Name, err)
			}
			svc.Operations = append(svc.Operations, op)
		}
	}
	svc.Source.Invalid = cmp.Or(from.Invalid, "InvalidParameterException")
	if svc.Errors, err = r.exceptions(); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(svc.Errors, func(e Exception) bool { return e.Name == svc.Source.Invalid }) {
		svc.Errors = append(svc.Errors, Exception{Name: svc.Source.Invalid, Status: 400})
	}
	svc.Structs = sortedValues(r.structs)
	svc.Enums = sortedValues(r.enums)
	if len(r.private)+len(r.unused) > 0 {
		return nil, fmt.Errorf("%s: the model has no place for %v %v", from.Package, slices.Collect(maps.Keys(r.private)), slices.Collect(maps.Keys(r.unused)))
	}
	return svc, nil
}

func sortedValues[V any](m map[string]V) []V {
	var values []V
	for _, k := range slices.Sorted(maps.Keys(m)) {
		values = append(values, m[k])
	}
	return values
}

// isOperation tells an API call from the other methods of an SDK client by its signature:
// (context, *RunTaskInput, ...options) (*RunTaskOutput, error).
func isOperation(m reflect.Method) bool {
	t := m.Type
	return t.NumIn() == 4 && t.NumOut() == 2 && t.In(2).Kind() == reflect.Pointer && t.In(2).Elem().Name() == m.Name+"Input"
}

// operation reads one API call. Its schemas are found by letting the SDK serialize an empty input and output.
func (r *reader) operation(m reflect.Method) (Operation, error) {
	in, out := schemaOf(reflect.New(m.Type.In(2).Elem()).Interface()), schemaOf(reflect.New(m.Type.Out(0).Elem()).Interface())
	op := Operation{Name: m.Name, Streams: smithy.NewOperationSchema(nil, in, out).IsOutputEventStream()}
	var err error
	if op.Input, err = r.structure(m.Name+"Input", in); err != nil {
		return op, err
	}
	if op.Streams {
		return op, nil
	}
	op.Output, err = r.structure(m.Name+"Output", out)
	return op, err
}

// schemaOf returns the schema with which the SDK writes v; for the output of an operation that answers nothing that is
// a structure without members.
func schemaOf(v any) *smithy.Schema {
	rec := &recorder{}
	v.(interface{ Serialize(smithy.ShapeSerializer) }).Serialize(rec)
	if rec.first == nil {
		return smithy.NewSchema(smithy.ShapeID{}, smithy.ShapeTypeStructure, 0)
	}
	return rec.first
}

// A recorder keeps the first schema that it is asked to write. Of an empty structure the SDK writes required scalars only.
type recorder struct {
	smithy.ShapeSerializer
	first *smithy.Schema
}

func (r *recorder) WriteStruct(s *smithy.Schema) {
	if r.first == nil {
		r.first = s
	}
}
func (*recorder) CloseStruct()                         {}
func (*recorder) WriteBool(*smithy.Schema, bool)       {}
func (*recorder) WriteInt32(*smithy.Schema, int32)     {}
func (*recorder) WriteInt64(*smithy.Schema, int64)     {}
func (*recorder) WriteFloat64(*smithy.Schema, float64) {}

// structure pairs the schema's members with the fields of the SDK's structure: both have the same letters, whatever their case.
func (r *reader) structure(name string, schema *smithy.Schema) (Struct, error) {
	st := Struct{Name: name, Union: schema.Type() == smithy.ShapeTypeUnion}
	left := maps.Clone(schema.Members())
	var fields []sourceField
	if st.Union {
		for wire := range left {
			fields = append(fields, sourceField{name: upperFirst(wire)})
		}
		slices.SortFunc(fields, func(a, b sourceField) int { return cmp.Compare(a.name, b.name) })
	} else {
		var ok bool
		if fields, ok = r.src.structs[name]; !ok {
			return st, fmt.Errorf("the SDK has no structure %s", name)
		}
	}
	for _, f := range fields {
		for wire, member := range left {
			if !strings.EqualFold(wire, f.name) {
				continue
			}
			typ, err := r.typeOf(member)
			if err != nil {
				return st, fmt.Errorf("%s.%s: %w", name, wire, err)
			}
			st.Fields = append(st.Fields, Field{Go: f.name, Wire: wire, Type: typ, Required: f.required, Limit: r.limit(name, wire), Encoded: slices.Contains(r.from.Encoded, name+"."+wire), Own: slices.Contains(r.from.Own, name+"."+wire)})
			delete(left, wire)
			break
		}
	}
	if len(left) > 0 {
		return st, fmt.Errorf("%s: no field for %v", name, slices.Collect(maps.Keys(left)))
	}
	for _, p := range r.private[name] {
		st.Fields = append(st.Fields, Field{Go: p.Go, Wire: p.Wire, Type: Type{Kind: String}})
	}
	delete(r.private, name)
	return st, nil
}

// limit looks up the limit of a member: its own, or the one for members of that name.
func (r *reader) limit(structure, member string) Limit {
	for _, key := range []string{structure + "." + member, "*." + member} {
		if l, ok := r.from.Limits[key]; ok {
			delete(r.unused, key)
			return l
		}
	}
	return Limit{}
}

var scalars = map[smithy.ShapeType]Kind{
	smithy.ShapeTypeString:    String,
	smithy.ShapeTypeBoolean:   Bool,
	smithy.ShapeTypeInteger:   Int32,
	smithy.ShapeTypeLong:      Int64,
	smithy.ShapeTypeDouble:    Float64,
	smithy.ShapeTypeTimestamp: Time,
	smithy.ShapeTypeBlob:      Blob,
	smithy.ShapeTypeDocument:  Document,
}

// typeOf reads the target of a member and whatever it leads to.
func (r *reader) typeOf(s *smithy.Schema) (Type, error) {
	if kind, ok := scalars[s.Type()]; ok {
		return Type{Kind: kind}, nil
	}
	switch s.Type() {
	case smithy.ShapeTypeEnum:
		name := upperFirst(s.TargetID().Name)
		e, ok := r.src.enums[name]
		if !ok {
			return Type{}, fmt.Errorf("the SDK has no enumeration %s", name)
		}
		r.enums[name] = e
		return Type{Kind: Enumerated, Name: name}, nil
	case smithy.ShapeTypeList:
		elem, err := r.typeOf(s.ListMember())
		return Type{Kind: List, Elem: &elem}, err
	case smithy.ShapeTypeMap:
		elem, err := r.typeOf(s.MapValue())
		return Type{Kind: Map, Elem: &elem}, err
	case smithy.ShapeTypeStructure, smithy.ShapeTypeUnion:
		name := upperFirst(s.TargetID().Name)
		if _, known := r.structs[name]; !known {
			r.structs[name] = Struct{} // ends a recursion
			st, err := r.structure(name, s)
			if err != nil {
				return Type{}, err
			}
			r.structs[name] = st
		}
		return Type{Kind: Structure, Name: name}, nil
	}
	return Type{}, fmt.Errorf("shape type %d is not known to this generator", s.Type())
}

// exceptions reads the modelled errors.
func (r *reader) exceptions() ([]Exception, error) {
	var all []Exception
	for _, id := range slices.Sorted(maps.Keys(r.from.Errors.Entries)) {
		schema := r.from.Errors.Entries[id].Schema
		kind, ok := smithy.SchemaTrait[*traits.Error](schema)
		if !ok {
			continue
		}
		st, err := r.structure(schema.ID().Name, schema)
		if err != nil {
			return nil, err
		}
		ex := Exception{Name: st.Name, Status: 400}
		if kind.Type == "server" {
			ex.Status = 500
		}
		if http, ok := smithy.SchemaTrait[*traits.HTTPError](schema); ok {
			ex.Status = http.Code
		}
		for _, f := range st.Fields {
			if f.Go != "Message" {
				ex.Fields = append(ex.Fields, f)
			}
		}
		all = append(all, ex)
	}
	return all, nil
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
