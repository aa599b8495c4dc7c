// Package api is gantry's front door: what the aws CLI, an SDK, Terraform or a
// container agent finds behind the endpoint's address.
//
// It verifies who signed a request (AWS Signature Version 4), finds the service
// that the request is for, and hands it over. JSON services (ECS, CloudWatch
// Logs) are told by the prefix of X-Amz-Target; Query services (STS) by the
// service in the signature's credential scope and by Action; the agents'
// websockets and gantry's own commands by path. Whatever nobody answers is
// refused with a 4xx in the protocol it came in, since clients retry a 5xx for
// minutes.
//
// The door knows no operation's meaning and keeps no state.
package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"gantry"
	"gantry/internal/wire"
	"gantry/internal/wire/awsjson"

	"github.com/aws/smithy-go/aws-http-auth/sigv4"
)

// maxBody bounds what is read before a signature can be verified, in bytes. The
// largest request there is carries a megabyte of log events, which JSON's
// escapes may blow up sixfold.
const maxBody = 8 << 20

// A Service is an AWS service that speaks JSON; *awsjson.Service is one.
type Service interface {
	// Operation is what the request asks for, and whether it is for this service.
	Operation(*http.Request) (string, bool)
	Answer(w http.ResponseWriter, r *http.Request, body []byte)
}

// Config says who may come in and who answers.
type Config struct {
	Place      gantry.Place
	Principals Principals
	// Services are the JSON services by the name in the credential scope: "ecs", "logs".
	Services map[string]Service
	// Sessions are the agents' websockets by path: "/acs/ws". Their handshakes are signed for "ecs".
	Sessions map[string]http.Handler
	// Commands answers gantry's own commands under /gantry/v1/, signed for
	// "gantry" by the root principal; it sees the path without that prefix.
	Commands http.Handler
	// AgentCommands answers what joinapi describes, signed by an agent's key or, to
	// join, by a token; it sees the whole path. nil where no machine joins.
	AgentCommands http.Handler
	// InsecureAnyCredentials lets unknown access keys in as root, whatever they signed with. For CI only.
	InsecureAnyCredentials bool
	Now                    func() time.Time
	Log                    *slog.Logger // hears of refused signatures, at debug level
}

// A Door is the handler of everything that arrives at the endpoint.
type Door struct {
	config Config
	verifier
	commands http.Handler
	sessions sessions
}

// New makes the door that c describes.
func New(c Config) *Door {
	d := &Door{config: c, verifier: verifier{
		principals: c.Principals, region: c.Place.Region, now: c.Now, signer: sigv4.New(),
	}}
	if c.InsecureAnyCredentials {
		d.stranger = func(key string) *gantry.Principal {
			return &gantry.Principal{AccessKeyID: key, Kind: gantry.RootPrincipal}
		}
	}
	if c.Commands != nil {
		d.commands = http.StripPrefix(strings.TrimSuffix(commandPath, "/"), c.Commands)
	}
	return d
}

// ServeHTTP routes one request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setRequestID(w)
	switch session, isSession := d.config.Sessions[r.URL.Path]; {
	case r.URL.Path == "/healthz":
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, "ok\n")
	case isSession:
		d.serveSession(w, r, session)
	case strings.HasPrefix(r.URL.Path, commandPath) && d.commands != nil:
		d.serveCommand(w, r)
	case r.URL.Path != "/":
		refuseJSON(w, r, unknownOperation("Nothing answers at "+wire.Shorten(r.URL.Path)+"."))
	case r.Header.Get(awsjson.TargetHeader) != "":
		d.serveJSON(w, r)
	default:
		d.serveQuery(w, r)
	}
}

func (d *Door) serveJSON(w http.ResponseWriter, r *http.Request) {
	scope, service := d.find(r)
	if service == nil {
		refuseJSON(w, r, unknownOperation("gantry offers no service for target "+wire.Shorten(r.Header.Get(awsjson.TargetHeader))+"."))
		return
	}
	body, no := readBody(w, r)
	if no != nil {
		refuseJSON(w, r, no)
		return
	}
	p, no := d.verify(r, body, scope)
	if no != nil {
		d.config.Log.Debug("request refused", "from", r.RemoteAddr, "exception", no.json, "reason", no.message)
		refuseJSON(w, r, no)
		return
	}
	service.Answer(whole(w, r), d.admitted(r, p), body)
}

// find returns the JSON service that a request's target names.
func (d *Door) find(r *http.Request) (scope string, s Service) {
	for scope, s := range d.config.Services {
		if _, ok := s.Operation(r); ok {
			return scope, s
		}
	}
	return "", nil
}

// serveSession lets an agent's handshake pass, or refuses it in the agent's own
// way: one JSON member, whose name is the exception.
func (d *Door) serveSession(w http.ResponseWriter, r *http.Request, session http.Handler) {
	p, no := d.verify(r, nil, "ecs")
	if no != nil {
		RefuseSession(w, http.StatusForbidden, "AccessDeniedException", no.json+": "+no.message)
		return
	}
	held := &held{ResponseWriter: w, key: p.AccessKeyID, sessions: &d.sessions, alive: func() bool {
		return d.stranger != nil || d.principals.Principal(p.AccessKeyID) != nil
	}}
	defer held.release()
	boundSilence(r)
	session.ServeHTTP(held, d.admitted(r, p))
}

// admitted is a request with what is known of who sends it.
func (d *Door) admitted(r *http.Request, p *gantry.Principal) *http.Request {
	return r.WithContext(context.WithValue(WithPrincipal(r.Context(), p), hostKey{}, r.Host))
}

// readBody reads a request's body, at most maxBody bytes of it.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	if r.ContentLength > maxBody {
		return nil, tooLarge()
	}
	var body []byte
	var err error
	if r.ContentLength >= 0 {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	}
	if _, big := errors.AsType[*http.MaxBytesError](err); big {
		return nil, tooLarge()
	}
	if err != nil {
		return nil, unreadable()
	}
	return body, nil
}

func unknownOperation(message string) *refusal {
	return &refusal{
		json: "UnknownOperationException", jsonStatus: http.StatusBadRequest,
		query: "InvalidAction", queryStatus: http.StatusBadRequest,
		message: message,
	}
}

func refuseJSON(w http.ResponseWriter, r *http.Request, no *refusal) {
	awsjson.WriteError(w, r, no.asError())
}

// setRequestID gives an answer the id by which the log can be searched. It is
// random and in the form of a UUID, as AWS's are.
func setRequestID(w http.ResponseWriter) {
	w.Header()[awsjson.RequestIDHeader] = []string{newRequestID()}
}
