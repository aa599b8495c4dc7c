// Package wire holds what every AWS protocol that gantry speaks has in common: the error a client sees, the time as
// AWS writes it, and the description of one operation, such as RunTask.
//
// The types of each service (ecsapi, logsapi, …) are generated and build on this package; the protocols (awsjson, …)
// carry them. Nothing here knows a particular service, and nothing here does I/O.
package wire

import "context"

// An Operation is one line of a service's operation table: its name and how a protocol calls it.
type Operation struct {
	Name string // as in X-Amz-Target and in the AWS CLI's documentation: "RunTask"

	// NewInput returns a pointer to an empty input, into which the protocol decodes the request.
	NewInput func() any

	// Call checks the input that NewInput made and then carries the operation out.
	// It is nil for an operation that gantry does not offer yet.
	Call func(ctx context.Context, in any) (out any, err error)
}

// Offered says whether gantry answers the operation.
func (o *Operation) Offered() bool { return o.Call != nil }

// A Checker is an input that can tell whether its members are present and in range.
type Checker interface {
	// Check returns nil, or the service's error for the first member that is missing or wrong.
	Check() error
}

// NewOperation describes an operation that call carries out; a nil call means that it is not offered yet.
// The input is checked before it reaches call; a call that returns neither output nor error answers an empty output.
func NewOperation[In, Out any](name string, call func(context.Context, *In) (*Out, error)) Operation {
	op := Operation{Name: name, NewInput: func() any { return new(In) }}
	if call == nil {
		return op
	}
	op.Call = func(ctx context.Context, in any) (any, error) {
		if c, ok := in.(Checker); ok {
			if err := c.Check(); err != nil {
				return nil, err
			}
		}
		out, err := call(ctx, in.(*In))
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = new(Out)
		}
		return out, nil
	}
	return op
}

// Value returns what p points to, or the zero value where the member was absent.
func Value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
