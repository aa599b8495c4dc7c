package logdriver

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/smithy-go/aws-http-auth/credentials"
	"github.com/aws/smithy-go/aws-http-auth/sigv4"

	"gantry/internal/wire/awsjson"
)

const (
	target = "Logs_20140328."
	// callTimeout bounds one call: a batch is a megabyte.
	callTimeout = 30 * time.Second
	// maxAnswer bounds the body of an answer; those of the calls made here are small.
	maxAnswer = 1 << 20
)

// Credentials hands out the keys with which calls are signed. It is asked anew for each call.
type Credentials interface {
	Credentials(ctx context.Context) (credentials.Credentials, error)
}

// A client calls the CloudWatch Logs API at one endpoint.
type client struct {
	endpoint, region string
	keys             Credentials
	http             *http.Client
}

func newHTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 32, // of the containers that print at the same time
		IdleConnTimeout:     time.Minute,
	}}
}

// call posts one request. The error is a *wire.Error where the service answered with one.
func (c *client) call(ctx context.Context, operation string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := c.post(ctx, operation, in, out); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return nil
}

func (c *client) post(ctx context.Context, operation string, in, out any) error {
	r, body, err := awsjson.NewCall(ctx, c.endpoint, target+operation, in)
	if err != nil {
		return err
	}
	keys, err := c.keys.Credentials(ctx)
	if err != nil {
		return fmt.Errorf("find credentials: %w", err)
	}
	sum := sha256.Sum256(body)
	if err := sigv4.New().SignRequest(&sigv4.SignRequestInput{
		Request: r, PayloadHash: sum[:], Credentials: keys, Service: "logs", Region: c.region, Time: time.Now(),
	}); err != nil {
		return err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return err
	}
	return awsjson.ReadAnswer(answer, maxAnswer, out)
}
