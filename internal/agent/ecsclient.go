package agent

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"gantry/internal/wire/awsjson"
	"gantry/internal/wire/ecsapi"
)

const (
	// target is the prefix of X-Amz-Target for ECS.
	target = "AmazonEC2ContainerServiceV20141113."
	// callTimeout bounds one attempt of an API call.
	callTimeout = 30 * time.Second
	// keptConnections are kept open between calls: as many as state changes are submitted at once. With fewer a burst of
	// tasks makes a connection for nearly every call.
	keptConnections = 10
	// maxAnswer bounds the body of an answer. The largest echoes an instance's attributes.
	maxAnswer = 4 << 20
)

// An ecsClient calls the few operations of the ECS API that an agent needs. It does not repeat calls: whoever calls
// knows for how long that makes sense.
type ecsClient struct {
	endpoint string // "http://host:port"
	signer   signer
	http     *http.Client
}

// NewHTTP is what an agent calls by. Secured says whom to trust where the endpoint is https; nil is whom the machine does.
func NewHTTP(secured *tls.Config) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = keptConnections
	if secured != nil {
		transport.TLSClientConfig = secured
		transport.ForceAttemptHTTP2 = false // websockets are upgrades of HTTP/1.1
	}
	return &http.Client{Transport: transport}
}

// call posts one request. The error is a *wire.Error where ECS answered with one.
func (c *ecsClient) call(ctx context.Context, operation string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := c.post(ctx, operation, in, out); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return nil
}

func (c *ecsClient) post(ctx context.Context, operation string, in, out any) error {
	r, body, err := awsjson.NewCall(ctx, c.endpoint, target+operation, in)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", userAgent)
	if err := c.signer.sign(ctx, r, body); err != nil {
		return err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return err
	}
	return awsjson.ReadAnswer(answer, maxAnswer, out)
}

// SubmitTaskStateChange tells the control plane of a task's change. Its error is an *engine.Rejection where the answer
// will never be another one.
func (c *ecsClient) SubmitTaskStateChange(ctx context.Context, change *ecsapi.SubmitTaskStateChangeInput) error {
	var out ecsapi.SubmitTaskStateChangeOutput
	return rejection(c.call(ctx, "SubmitTaskStateChange", change, &out))
}
