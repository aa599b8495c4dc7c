package main

// A Service is one AWS service as its published model describes it, in the order in which it is written out.
type Service struct {
	Source     Source
	Operations []Operation
	Structs    []Struct // structures and unions below inputs and outputs, by name
	Enums      []Enum   // by name
	Errors     []Exception
}

// An Operation is one call of the API.
type Operation struct {
	Name          string
	Input, Output Struct
	Streams       bool // answers with an event stream, which the JSON protocols cannot carry
}

// A Struct is a structure, or a union: a structure with exactly one member set.
type Struct struct {
	Name   string // as the Go SDK has it
	Fields []Field
	Union  bool
}

// A Field is a member of a structure.
type Field struct {
	Go       string // the Go SDK's name
	Wire     string // the name in JSON
	Type     Type
	Required bool
	Limit    Limit
	Encoded  bool // a list that can also be answered as JSON made earlier
	Own      bool // the operation checks it
}

// A Type is what a field, a list item or a map value holds.
type Type struct {
	Kind Kind
	Name string // of a structure or an enumeration
	Elem *Type  // of a list's item or a map's value
}

// A Kind is a sort of type.
type Kind int

// The kinds of types that the models use.
const (
	String Kind = iota
	Bool
	Int32
	Int64
	Float64
	Time
	Blob
	Document
	Enumerated
	List
	Map
	Structure
)

// An Enum is a string of which the model lists the values.
type Enum struct {
	Name   string
	Values []EnumValue
}

// An EnumValue is one of them, with the constant's name in the Go SDK.
type EnumValue struct{ Go, Wire string }

// An Exception is a modelled error.
type Exception struct {
	Name   string
	Status int
	Fields []Field // besides the message
}
