package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"gantry/internal/api"

	"github.com/aws/smithy-go/aws-http-auth/credentials"
	"github.com/aws/smithy-go/aws-http-auth/sigv4"
	"github.com/spf13/cobra"
)

// A client talks to a running gantry, signed by the root key.
type client struct {
	endpoint string
	region   string
	keys     credentials.Credentials
	// dir is the data dir by which gantry was found; "" if by the environment.
	dir string
	// http is how; nil is plainly.
	http *http.Client
}

// findClient finds a running gantry: by --data-dir where it was given, else by
// what gantry env prints, else by the default data dir.
func findClient(cmd *cobra.Command, path string) (*client, error) {
	given := cmd.Flags().Changed("data-dir")
	if endpoint := os.Getenv("AWS_ENDPOINT_URL"); !given && endpoint != "" {
		c := &client{endpoint: strings.TrimRight(endpoint, "/"), region: os.Getenv("AWS_REGION")}
		if c.region == "" {
			c.region = os.Getenv("AWS_DEFAULT_REGION")
		}
		c.keys.AccessKeyID, c.keys.SecretAccessKey = os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
		if c.region == "" || c.keys.AccessKeyID == "" || c.keys.SecretAccessKey == "" {
			return nil, errors.New(`AWS_ENDPOINT_URL is set, but not AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: run eval "$(gantry env)", or give --data-dir`)
		}
		if bundle := os.Getenv("AWS_CA_BUNDLE"); bundle != "" && strings.HasPrefix(c.endpoint, "https://") {
			var err error
			if c.http, err = bundled(bundle); err != nil {
				return nil, err
			}
		}
		return c, nil
	}
	d, err := openDataDir(path)
	if err != nil {
		return nil, err
	}
	id, err := d.read()
	if err != nil {
		return nil, err
	}
	endpoint, err := os.ReadFile(d.file(endpointFile))
	if id == nil || err != nil {
		return nil, noServer(d, id)
	}
	keys, err := readCredentials(d.file(credentialsFile))
	if err != nil {
		return nil, fmt.Errorf("read the root key: %w", err)
	}
	c := &client{endpoint: strings.TrimSpace(string(endpoint)), region: string(id.Region), keys: keys, dir: d.path}
	if bundle := bundleOf(d, c.endpoint); bundle != "" {
		c.http, err = bundled(bundle)
	}
	return c, err
}

// bundled is how to call an endpoint whose certificate is signed by one in a file,
// which need not be gantry's own: it may be that of a proxy before it.
func bundled(file string) (*http.Client, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the CA bundle: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("the CA bundle %s holds no certificate", file)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}, nil
}

// command sends one of gantry's own commands, whose body is read twice: for its
// hash, and to be sent. The caller closes the answer.
func (c *client) command(ctx context.Context, method, path string, query url.Values, body io.ReadSeeker) (io.ReadCloser, error) {
	hash := sha256.New()
	var size int64
	if body != nil {
		var err error
		if size, err = io.Copy(hash, stoppable{ctx, body}); err != nil {
			return nil, err
		}
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
	}
	target := c.endpoint + "/gantry/v1" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return nil, err
	}
	sum := hash.Sum(nil)
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum))
	err = sigv4.New().SignRequest(&sigv4.SignRequestInput{
		Request: r, PayloadHash: sum, Credentials: c.keys, Service: api.CommandService, Region: c.region, Time: time.Now(),
	})
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Body, r.ContentLength = io.NopCloser(body), size
	}
	how := c.http
	if how == nil {
		how = http.DefaultClient
	}
	resp, err := how.Do(r)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, refusalOf(resp)
	}
	return resp.Body, nil
}

// get sends a command that answers JSON.
func (c *client) get(ctx context.Context, path string, into any) error {
	return c.send(ctx, http.MethodGet, path, nil, nil, into)
}

// send is command for one that answers JSON.
func (c *client) send(ctx context.Context, method, path string, query url.Values, question io.ReadSeeker, into any) error {
	body, err := c.command(ctx, method, path, query, question)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(into)
}

// unreachable says in one sentence that nobody answers.
func (c *client) unreachable(err error) error {
	if _, refused := errors.AsType[*net.OpError](err); !refused {
		return err
	}
	if c.dir != "" {
		return fmt.Errorf(`gantry is not running at %s: start it with "gantry up --data-dir %s"`, c.endpoint, c.dir)
	}
	return fmt.Errorf("nothing answers at %s (AWS_ENDPOINT_URL): start gantry, or give --data-dir", c.endpoint)
}

// maxRefusal bounds how much of an error's body is read, in bytes.
const maxRefusal = 64 << 10

// refusalOf is the sentence of an answer that is not 200.
func refusalOf(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		return err
	}
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if json.NewDecoder(bytes.NewReader(body)).Decode(&e) != nil || e.Message == "" {
		return fmt.Errorf("%s answered %s, which is not gantry's way: is AWS_ENDPOINT_URL another program's?", resp.Request.URL.Host, resp.Status)
	}
	if e.Type == "CommandFailedException" {
		return errors.New(e.Message)
	}
	return errors.New(e.Type + ": " + e.Message)
}
