package home

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"gantry/internal/wire"
	"gantry/internal/wire/awsjson"
	"gantry/internal/wire/joinapi"

	"github.com/aws/smithy-go/aws-http-auth/credentials"
	"github.com/aws/smithy-go/aws-http-auth/sigv4"
)

const (
	// callTimeout bounds one call, but for the archive of an image.
	callTimeout = 30 * time.Second
	// maxAnswer bounds the body of an answer, in bytes, but for an archive.
	maxAnswer = 64 << 10
)

// A Client calls a server, signed by a token or by an agent's key.
type Client struct {
	Server, Region         string
	AccessKeyID, SecretKey string
	// HTTP is how; nil is plainly.
	HTTP *http.Client
}

// Self is what the server knows of this machine.
func (c *Client) Self(ctx context.Context) (joinapi.Self, error) {
	var self joinapi.Self
	if err := c.json(ctx, http.MethodGet, joinapi.SelfPath, nil, &self); err != nil {
		return self, fmt.Errorf("ask %s about this machine: %w", c.Server, err)
	}
	return self, nil
}

// Image is the archive in which the server has an image, by its complete name; ok is false where it has none.
func (c *Client) Image(ctx context.Context, name string) (a joinapi.Archive, ok bool, err error) {
	err = c.json(ctx, http.MethodGet, joinapi.ImagePath+"?"+url.Values{"name": {name}}.Encode(), nil, &a)
	if e, refused := errors.AsType[*wire.Error](err); refused && e.Code == joinapi.ImageNotFound {
		return joinapi.Archive{}, false, nil
	}
	if err != nil {
		return joinapi.Archive{}, false, fmt.Errorf("ask %s for image %s: %w", c.Server, name, err)
	}
	return a, true, nil
}

// Archive writes an archive to w, and says whether it is the one that was asked for.
func (c *Client) Archive(ctx context.Context, w io.Writer, a joinapi.Archive) error {
	answer, err := c.do(ctx, http.MethodGet, joinapi.ArchivePath+a.Digest, nil)
	if err != nil {
		return fmt.Errorf("fetch archive %s: %w", a.Digest, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("fetch archive %s: %w", a.Digest, awsjson.ReadAnswer(answer, maxAnswer, nil))
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(answer.Body, a.Size+1))
	if err != nil {
		return fmt.Errorf("fetch archive %s: %w", a.Digest, err)
	}
	if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); got != a.Digest {
		return fmt.Errorf("fetch archive %s: what arrived is %d bytes, %s, and not that", a.Digest, n, got)
	}
	return nil
}

// json makes a call whose question, if any, and answer are JSON. The error is a
// *wire.Error where the server answered with one.
func (c *Client) json(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	answer, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	return awsjson.ReadAnswer(answer, maxAnswer, out)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.Server+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	err = sigv4.New().SignRequest(&sigv4.SignRequestInput{
		Request: r, PayloadHash: sum[:], Service: joinapi.Service, Region: c.Region, Time: time.Now(),
		Credentials: credentials.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretKey},
	})
	if err != nil {
		return nil, err
	}
	how := c.HTTP
	if how == nil {
		how = http.DefaultClient
	}
	return how.Do(r)
}
