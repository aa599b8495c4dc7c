// Package awsjson speaks the AWS JSON protocol, in which ECS and CloudWatch Logs are called: POST / with the operation's
// name in the header X-Amz-Target and a JSON object as body.
//
// A Service is one AWS service behind that protocol: it finds the operation, decodes and checks its input, calls it, and
// writes its output or its exception as the AWS SDKs expect them. Protocol versions 1.0 and 1.1 differ in the content type
// only; the answer has that of the request. A Service does not look at signatures: who may call is decided before.
package awsjson

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"

	"gantry/internal/wire"
)

// MaxBody is how many bytes a request may have unless its Service says otherwise. The largest that ECS itself takes is a
// task definition of 64 KiB; a megabyte leaves room for every escape and for what AWS may allow next.
const MaxBody = 1 << 20

// The headers of the protocol.
const (
	TargetHeader    = "X-Amz-Target"
	RequestIDHeader = "X-Amzn-Requestid" // as Go writes x-amzn-RequestId; HTTP does not care
)

// A Service answers the operations of one AWS service. Make one with New.
type Service struct {
	title      string // "Amazon ECS", for messages
	prefix     string // "AmazonEC2ContainerServiceV20141113."
	operations map[string]wire.Operation
	fault      func(message string) *wire.Error
	log        *slog.Logger
	maxBody    int64
	advice     func(error) string
}

// Config says what a Service answers and how. All of it has to be set, but for MaxBody.
type Config struct {
	Title  string           // the service's name in messages: "Amazon ECS"
	Target string           // what X-Amz-Target has in front of the dot: "AmazonEC2ContainerServiceV20141113"
	Table  []wire.Operation // of the service's Operations

	// Fault makes the service's own exception for a failure of ours (ecsapi.NewServerException).
	Fault func(message string) *wire.Error
	// Advice is what a client is told of a failure of ours that people can do something about; empty of all others. nil
	// knows none.
	Advice func(error) string

	Log     *slog.Logger // gets every failure of ours, with the request id that the client was told
	MaxBody int64        // in bytes; 0 is the constant MaxBody
}

// New returns the service that c describes.
func New(c Config) *Service {
	s := &Service{title: c.Title, prefix: c.Target + ".", operations: make(map[string]wire.Operation, len(c.Table)), fault: c.Fault, advice: c.Advice, log: c.Log, maxBody: c.MaxBody}
	if s.maxBody == 0 {
		s.maxBody = MaxBody
	}
	for _, op := range c.Table {
		s.operations[op.Name] = op
	}
	return s
}

// Operation returns the operation's name in a request's X-Amz-Target, and whether the request is for this service at all.
func (s *Service) Operation(r *http.Request) (string, bool) {
	return strings.CutPrefix(r.Header.Get(TargetHeader), s.prefix)
}

// ServeHTTP reads the body and answers.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.maxBody))
	if err != nil {
		WriteError(w, r, s.unreadable(err))
		return
	}
	s.Answer(w, r, body)
}

// Answer answers a request of which the body was read before, as it has to be to verify its signature.
// The request id is that of the response header where an outer handler has set it, else a new one.
func (s *Service) Answer(w http.ResponseWriter, r *http.Request, body []byte) {
	out, err := s.call(r, body, setRequestID(w))
	if err == nil {
		err = writeOutput(w, r, out)
	}
	if err != nil {
		writeError(w, r, s.exception(err, r, w.Header().Get(RequestIDHeader)))
	}
}

// call finds, decodes and carries out the operation. A panic becomes an error that is not the client's.
func (s *Service) call(r *http.Request, body []byte, id string) (out any, err error) {
	if int64(len(body)) > s.maxBody {
		return nil, s.unreadable(&http.MaxBytesError{Limit: s.maxBody})
	}
	name, ok := s.Operation(r)
	op, known := s.operations[name]
	switch {
	case r.Method != http.MethodPost:
		return nil, refusal("UnknownOperationException", "%s is called by POST, not %s.", s.title, r.Method)
	case !ok || !known:
		return nil, refusal("UnknownOperationException", "%s has no operation %q.", s.title, wire.Shorten(r.Header.Get(TargetHeader)))
	case !op.Offered():
		return nil, refusal("UnsupportedOperationException", "%s is an operation of %s that gantry does not offer yet.", name, s.title)
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, refusal("SerializationException", "%s: the body has Content-Encoding %q; send it as it is.", name, wire.Shorten(enc))
	}
	in := op.NewInput()
	if err := wire.DecodeJSON(body, in); err != nil {
		return nil, refusal("SerializationException", "%s: %v.", name, err)
	}
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.log.ErrorContext(r.Context(), "operation panicked", "operation", name, "request", id, "panic", p, "stack", string(debug.Stack()))
			out, err = nil, s.fault(apology(id))
		}
	}()
	return op.Call(r.Context(), in)
}

// unreadable is the answer to a body that could not be read in full.
func (s *Service) unreadable(err error) *wire.Error {
	if big, ok := errors.AsType[*http.MaxBytesError](err); ok {
		e := refusal("RequestEntityTooLargeException", "The body has more than the %d bytes that %s takes in one request.", big.Limit, s.title)
		e.Status = http.StatusRequestEntityTooLarge
		return e
	}
	return refusal("SerializationException", "The body could not be read: %v.", err)
}

// exception returns what the client is told of err. What is not an AWS exception is ours: it is logged, and the client
// gets the request id by which to find it.
func (s *Service) exception(err error, r *http.Request, id string) *wire.Error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e
	}
	level := slog.LevelError
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		level = slog.LevelDebug // the client went away
	}
	s.log.Log(r.Context(), level, "operation failed", "target", wire.Shorten(r.Header.Get(TargetHeader)), "request", id, "error", err)
	if s.advice != nil {
		if told := s.advice(err); told != "" {
			return s.fault(told)
		}
	}
	return s.fault(apology(id))
}

func apology(id string) string {
	return "gantry could not carry this out. Its log says why, with request id " + id + "."
}

// refusal makes an exception that belongs to the protocol and to no service's model.
func refusal(code, format string, args ...any) *wire.Error {
	return &wire.Error{Code: code, Message: fmt.Sprintf(format, args...), Status: http.StatusBadRequest}
}

// setRequestID returns the response's request id, made up if there is none yet: a random UUID, as AWS's are.
func setRequestID(w http.ResponseWriter) string {
	id := w.Header().Get(RequestIDHeader)
	if id == "" {
		var b [16]byte
		rand.Read(b[:])
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
		id = fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
		w.Header().Set(RequestIDHeader, id)
	}
	return id
}
