package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/smithy-go/aws-http-auth/credentials"
	"github.com/aws/smithy-go/aws-http-auth/sigv4"
)

// Credentials hands out the keys with which the agent signs. It is asked anew for each request, so that keys may change.
type Credentials interface {
	Credentials(ctx context.Context) (credentials.Credentials, error)
}

// StaticCredentials are keys that stay the same.
type StaticCredentials credentials.Credentials

// Credentials returns the keys.
func (c StaticCredentials) Credentials(context.Context) (credentials.Credentials, error) {
	return credentials.Credentials(c), nil
}

// signingService is the service in the scope of every signature of the agent, also on its websockets.
const signingService = "ecs"

// A signer signs as the container instance.
type signer struct {
	keys   Credentials
	region string
}

// sign adds a signature over host, date, token and body to a request. It must be the last change to it.
func (s signer) sign(ctx context.Context, r *http.Request, body []byte) error {
	keys, err := s.keys.Credentials(ctx)
	if err != nil {
		return fmt.Errorf("find the agent's credentials: %w", err)
	}
	sum := sha256.Sum256(body)
	return sigv4.New().SignRequest(&sigv4.SignRequestInput{
		Request: r, PayloadHash: sum[:], Credentials: keys,
		Service: signingService, Region: s.region, Time: time.Now(),
	})
}

// signFrame puts a block of headers in front of a telemetry message: the signature of a GET of the connection's URL with
// the message as its body.
func (s signer) signFrame(ctx context.Context, url string, message []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if err := s.sign(ctx, r, message); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := r.Header.Write(&out); err != nil {
		return nil, err
	}
	out.WriteString("\r\n")
	out.Write(message)
	return out.Bytes(), nil
}
