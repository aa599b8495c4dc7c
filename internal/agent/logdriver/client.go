package logdriver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/smithy-go/aws-http-auth/credentials"
	"github.com/aws/smithy-go/aws-http-auth/sigv4"

	"gantry/internal/wire"
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
	body, err := wire.AppendJSON(nil, in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.endpoint, "/")+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", target+operation)
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
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return readError(answer.StatusCode, text)
	}
	if len(text) == 0 {
		return nil // operations without output answer an empty body
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// readError reads an AWS JSON error; a body that is none (a proxy's page) gives an error without a code.
func readError(status int, body []byte) error {
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"` // in either case: encoding/json does not mind
	}
	if err := json.Unmarshal(body, &e); err != nil || e.Type == "" {
		return &wire.Error{Status: status, Message: fmt.Sprintf("HTTP status %d without an error of CloudWatch Logs", status)}
	}
	code := e.Type[strings.LastIndexByte(e.Type, '#')+1:]
	return &wire.Error{Code: code, Message: e.Message, Status: status}
}
