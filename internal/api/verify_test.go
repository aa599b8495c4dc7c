package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/wire/awsjson"
	"gantry/internal/wire/ecsapi"

	"github.com/aws/smithy-go/aws-http-auth/credentials"
	"github.com/aws/smithy-go/aws-http-auth/sigv4"
	v4 "github.com/aws/smithy-go/aws-http-auth/v4"
	"pgregory.net/rapid"
)

var (
	testNow   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	testPlace = gantry.Place{Region: "us-east-1", Account: "123456789012"}
	rootKey   = &gantry.Principal{AccessKeyID: "AKIAROOT", SecretKey: "root+secret/", Kind: gantry.RootPrincipal}
	agentKey  = &gantry.Principal{AccessKeyID: "AKIAAGENT", SecretKey: "agent secret", Kind: gantry.AgentPrincipal, Instance: "prod/i1"}
)

type keys map[string]*gantry.Principal

func (k keys) Principal(id string) *gantry.Principal { return k[id] }

type places map[string]string

func (p places) InstanceOf(c gantry.ClusterName, t gantry.TaskID) string {
	return p[string(c)+"/"+string(t)]
}

// newDoor serves ListClusters, which answers the caller's access key, and the agent's calls.
func newDoor(change func(*Config)) *Door {
	ops := &ecsapi.Operations{
		ListClusters: func(ctx context.Context, _ *ecsapi.ListClustersInput) (*ecsapi.ListClustersOutput, error) {
			return &ecsapi.ListClustersOutput{ClusterArns: []string{Principal(ctx).AccessKeyID}}, nil
		},
		SubmitTaskStateChange: func(context.Context, *ecsapi.SubmitTaskStateChangeInput) (*ecsapi.SubmitTaskStateChangeOutput, error) {
			return &ecsapi.SubmitTaskStateChangeOutput{}, nil
		},
		GetTaskProtection: func(context.Context, *ecsapi.GetTaskProtectionInput) (*ecsapi.GetTaskProtectionOutput, error) {
			return &ecsapi.GetTaskProtectionOutput{}, nil
		},
		UpdateTaskProtection: func(context.Context, *ecsapi.UpdateTaskProtectionInput) (*ecsapi.UpdateTaskProtectionOutput, error) {
			return &ecsapi.UpdateTaskProtectionOutput{}, nil
		},
		DiscoverPollEndpoint: func(context.Context, *ecsapi.DiscoverPollEndpointInput) (*ecsapi.DiscoverPollEndpointOutput, error) {
			return &ecsapi.DiscoverPollEndpointOutput{}, nil
		},
	}
	quiet := slog.New(slog.DiscardHandler)
	c := Config{
		Place:      testPlace,
		Principals: keys{rootKey.AccessKeyID: rootKey, agentKey.AccessKeyID: agentKey},
		Services: map[string]Service{"ecs": awsjson.New(awsjson.Config{
			Title: "Amazon ECS", Target: "AmazonEC2ContainerServiceV20141113",
			Table: Guard(testPlace, "ecs", places{"prod/t1": "prod/i1", "prod/t2": "prod/i2"}, ops.Table()),
			Fault: ecsapi.NewServerException, Log: quiet,
		})},
		Sessions: map[string]http.Handler{"/acs/ws": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, Principal(r.Context()).AccessKeyID)
		})},
		Commands: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			io.WriteString(w, r.URL.Path+" "+string(body))
		}),
		Now: func() time.Time { return testNow },
		Log: quiet,
	}
	if change != nil {
		change(&c)
	}
	return New(c)
}

// A call is a request to be signed; its zero members mean a right one.
type call struct {
	method, path, body, target, contentType string
	key                                     *gantry.Principal
	service, region                         string
	at                                      time.Time
	headers                                 map[string]string
	presign                                 bool
	sign                                    func(string) bool // which headers; nil is the signer's own rule
	token                                   string
}

type rule func(string) bool

func (r rule) IsSigned(h string) bool { return r(h) }

func (c call) request(t testing.TB) *http.Request {
	t.Helper()
	or := func(s *string, d string) {
		if *s == "" {
			*s = d
		}
	}
	or(&c.method, "POST")
	or(&c.path, "/")
	or(&c.service, "ecs")
	or(&c.region, "us-east-1")
	if c.key == nil {
		c.key = rootKey
	}
	if c.at.IsZero() {
		c.at = testNow
	}
	r := httptest.NewRequest(c.method, "http://127.0.0.1:4747"+c.path, strings.NewReader(c.body))
	if c.target != "" {
		r.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+c.target)
	}
	or(&c.contentType, "application/x-amz-json-1.1")
	r.Header.Set("Content-Type", c.contentType)
	for k, v := range c.headers {
		r.Header.Set(k, v)
	}
	sum := sha256.Sum256([]byte(c.body))
	in := &sigv4.SignRequestInput{
		Request: r, PayloadHash: sum[:], Time: c.at, Service: c.service, Region: c.region,
		Credentials: credentials.Credentials{AccessKeyID: c.key.AccessKeyID, SecretAccessKey: c.key.SecretKey, SessionToken: c.token},
	}
	var opts []v4.SignerOption
	if c.sign != nil {
		opts = append(opts, func(o *v4.SignerOptions) { o.HeaderRules = rule(c.sign) })
	}
	if c.presign {
		in.SignatureType = v4.SignatureTypeQueryString
	}
	if err := sigv4.New().SignRequest(in, opts...); err != nil {
		t.Fatal(err)
	}
	r.Header.Del("Host") // net/http's server keeps it in Request.Host
	return r
}

func TestSignature(t *testing.T) {
	list := call{target: "ListClusters", body: `{}`}
	with := func(change func(*call)) call { c := list; change(&c); return c }
	tests := []struct {
		name   string
		call   call
		alter  func(*http.Request)
		config func(*Config)
		status int
		want   string // in the answer's body
	}{
		{name: "signed", call: list, status: 200, want: `"AKIAROOT"`},
		{name: "content length and all headers signed",
			call: with(func(c *call) {
				c.sign = func(string) bool { return true }
				c.headers = map[string]string{"Content-Length": "2"}
			}),
			status: 200, want: "AKIAROOT"},
		{name: "payload hash header",
			call: with(func(c *call) {
				c.headers = map[string]string{"X-Amz-Content-Sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}
			}),
			status: 200, want: "AKIAROOT"},
		{name: "empty path and query", call: with(func(c *call) { c.path = "/?b=2&a=1&a=0" }), status: 200, want: "AKIAROOT"},
		{name: "chunked body", call: list, alter: func(r *http.Request) { r.ContentLength = -1; r.TransferEncoding = []string{"chunked"} },
			status: 200, want: "AKIAROOT"},
		{name: "spaces inside a signed header", call: with(func(c *call) { c.headers = map[string]string{"X-Amz-Meta": "a b"} }),
			alter: func(r *http.Request) { r.Header.Set("X-Amz-Meta", "  a   b ") }, status: 200, want: "AKIAROOT"},
		{name: "five minutes late", call: with(func(c *call) { c.at = testNow.Add(-5 * time.Minute) }), status: 200, want: "AKIAROOT"},
		{name: "unsigned header may change", call: list, alter: func(r *http.Request) { r.Header.Set("User-Agent", "other") }, status: 200, want: "AKIAROOT"},

		{name: "no signature", call: list, alter: func(r *http.Request) { r.Header.Del("Authorization") },
			status: 400, want: `"MissingAuthenticationTokenException"`},
		{name: "other algorithm", call: list, alter: func(r *http.Request) { r.Header.Set("Authorization", "Bearer abc") },
			status: 400, want: `IncompleteSignatureException","message":"Unsupported AWS 'algorithm': 'Bearer'`},
		{name: "no members", call: list, alter: func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/b/c/d/e") },
			status: 400, want: `Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter.`},
		{name: "no date", call: list, alter: func(r *http.Request) { r.Header.Del("X-Amz-Date") },
			status: 400, want: `existence of either a 'X-Amz-Date' or a 'Date' header`},
		{name: "bad date", call: list, alter: func(r *http.Request) { r.Header.Set("X-Amz-Date", "yesterday") },
			status: 400, want: `Date must be in ISO-8601 'basic format'. Got 'yesterday'.`},
		{name: "short credential", call: list,
			alter: func(r *http.Request) {
				r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=00")
			},
			status: 400, want: `Credential must have exactly 5 slash-delimited elements`},
		{name: "other day in scope", call: list,
			alter: func(r *http.Request) {
				r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "20261123", "20261122", 1))
			},
			status: 400, want: `Date in Credential scope does not match YYYYMMDD`},
		{name: "host not signed", call: with(func(c *call) { c.sign = func(h string) bool { return h != "host" } }),
			status: 400, want: `'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.`},
		{name: "wrong secret", call: with(func(c *call) { c.key = &gantry.Principal{AccessKeyID: "AKIAROOT", SecretKey: "guess"} }),
			status: 400, want: `InvalidSignatureException","message":"The request signature we calculated does not match`},
		{name: "unknown key", call: with(func(c *call) { c.key = &gantry.Principal{AccessKeyID: "AKIANOBODY", SecretKey: "x"} }),
			status: 400, want: `UnrecognizedClientException","message":"The security token included in the request is invalid."`},
		{name: "session token beside a long-lived key", call: with(func(c *call) { c.token = "tok" }),
			status: 400, want: `UnrecognizedClientException`},
		{name: "expired", call: with(func(c *call) { c.at = testNow.Add(-6 * time.Minute) }),
			status: 400, want: `Signature expired: 20261123T115400Z is now earlier than 20261123T115500Z (20261123T120000Z - 5 min.)`},
		{name: "from the future", call: with(func(c *call) { c.at = testNow.Add(6 * time.Minute) }),
			status: 400, want: `Signature not yet current: 20261123T120600Z is still later than 20261123T120500Z (20261123T120000Z + 5 min.)`},
		{name: "wrong region", call: with(func(c *call) { c.region = "eu-west-1" }),
			status: 400, want: `Credential should be scoped to a valid region, not 'eu-west-1'.`},
		{name: "wrong service", call: with(func(c *call) { c.service = "logs" }),
			status: 400, want: `Credential should be scoped to correct service: 'ecs'.`},
		{name: "altered body", call: list, alter: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`[]`)) },
			status: 400, want: `InvalidSignatureException`},
		{name: "altered body under a stated hash",
			call: with(func(c *call) {
				c.headers = map[string]string{"X-Amz-Content-Sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}
			}),
			alter: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`[]`)) }, status: 400, want: `not the SHA-256 of the body`},
		{name: "unsigned payload", call: with(func(c *call) { c.headers = map[string]string{"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"} }),
			status: 400, want: `is for Amazon S3 only`},
		{name: "aws-chunked payload", call: with(func(c *call) {
			c.headers = map[string]string{"X-Amz-Content-Sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}
		}),
			status: 400, want: `is for Amazon S3 only`},
		{name: "altered target", call: list, alter: func(r *http.Request) {
			r.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113.DiscoverPollEndpoint")
		}, status: 400, want: `InvalidSignatureException`},
		{name: "altered query", call: list, alter: func(r *http.Request) { r.URL.RawQuery = "a=1" }, status: 400, want: `InvalidSignatureException`},
		{name: "altered host", call: list, alter: func(r *http.Request) { r.Host = "elsewhere:1" }, status: 400, want: `InvalidSignatureException`},
		{name: "body too large", call: list, alter: func(r *http.Request) { r.ContentLength = maxBody + 1 },
			status: 413, want: `RequestEntityTooLargeException`},
		{name: "body too large, length unknown", call: list,
			alter: func(r *http.Request) {
				r.ContentLength = -1
				r.Body = io.NopCloser(bytes.NewReader(make([]byte, maxBody+1)))
			},
			status: 413, want: `RequestEntityTooLargeException`},
		{name: "body ends early", call: list, alter: func(r *http.Request) { r.ContentLength = 10 }, status: 400, want: `SerializationException`},

		{name: "any credentials let a stranger in", call: with(func(c *call) { c.key = &gantry.Principal{AccessKeyID: "test", SecretKey: "test"}; c.token = "t" }),
			config: func(c *Config) { c.InsecureAnyCredentials = true }, status: 200, want: `"test"`},
		{name: "any credentials must still be well-formed", call: list, alter: func(r *http.Request) { r.Header.Set("Authorization", "Basic dGVzdA==") },
			config: func(c *Config) { c.InsecureAnyCredentials = true }, status: 400, want: `IncompleteSignatureException`},
		{name: "any credentials: a known key needs its secret", call: with(func(c *call) { c.key = &gantry.Principal{AccessKeyID: "AKIAAGENT", SecretKey: "guess"} }),
			config: func(c *Config) { c.InsecureAnyCredentials = true }, status: 400, want: `InvalidSignatureException`},

		{name: "presigned", call: call{method: "GET", path: "/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", service: "sts", presign: true},
			status: 200, want: `<Arn>arn:aws:iam::123456789012:root</Arn>`},
		{name: "presigned, still valid", call: call{method: "GET", path: "/?Action=GetCallerIdentity&X-Amz-Expires=3600", service: "sts", presign: true, at: testNow.Add(-59 * time.Minute)},
			status: 200, want: `<Account>123456789012</Account>`},
		{name: "presigned, expired", call: call{method: "GET", path: "/?Action=GetCallerIdentity&X-Amz-Expires=60", service: "sts", presign: true, at: testNow.Add(-61 * time.Second)},
			status: 400, want: `<Code>RequestExpired</Code>`},
		{name: "presigned, altered", call: call{method: "GET", path: "/?Action=GetCallerIdentity&X-Amz-Expires=60", service: "sts", presign: true},
			alter:  func(r *http.Request) { r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "=60", "=61", 1) },
			status: 403, want: `<Code>SignatureDoesNotMatch</Code>`},
		{name: "presigned for ever", call: call{method: "GET", path: "/?Action=GetCallerIdentity&X-Amz-Expires=604801", service: "sts", presign: true},
			status: 400, want: `<Code>IncompleteSignature</Code>`},
		{name: "presigned session", call: call{method: "GET", path: "/acs/ws?X-Amz-Expires=60&seqNum=1", presign: true, key: agentKey},
			status: 200, want: `AKIAAGENT`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.call.request(t)
			if tt.alter != nil {
				tt.alter(r)
			}
			w := httptest.NewRecorder()
			newDoor(tt.config).ServeHTTP(w, r)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d %s, want %d with %s", w.Code, w.Body, tt.status, tt.want)
			}
			if w.Header().Get("x-amzn-RequestId") == "" && !strings.HasPrefix(tt.call.path, "/acs") {
				t.Error("the answer has no request id")
			}
		})
	}
}

// Whatever AWS's signer signs is let in, and with one bit of the body or of the signature changed it is not.
func TestGenuineSignerRoundTrip(t *testing.T) {
	door := newDoor(nil)
	rapid.Check(t, func(rt *rapid.T) {
		c := call{
			target:  "ListClusters",
			path:    "/?" + rapid.StringMatching(`([a-zA-Z0-9%]{0,1}[a-z~._-]{1,5}=[a-zA-Z0-9+*/ é]{0,6}&){0,3}`).Draw(rt, "query"),
			body:    `{"nextToken":` + string(must(json.Marshal(rapid.String().Draw(rt, "body")))) + `}`,
			headers: map[string]string{"X-Amz-Extra": rapid.StringMatching(`[ -~]{0,12}`).Draw(rt, "header")},
			presign: rapid.Bool().Draw(rt, "presign"),
			key:     rootKey,
		}
		c.path = strings.NewReplacer("%", "%25", " ", "%20", "é", "%C3%A9").Replace(c.path)
		c.headers["X-Amz-Extra"] = collapse(c.headers["X-Amz-Extra"])
		r := c.request(t)
		if _, no := door.verify(r, []byte(c.body), "ecs"); no != nil {
			rt.Fatalf("refused: %s: %s", no.json, no.message)
		}
		if _, no := door.verify(r, []byte(c.body+" "), "ecs"); no == nil {
			rt.Fatal("an altered body was let in")
		}
		r.Header.Set("X-Amz-Extra", c.headers["X-Amz-Extra"]+"x")
		if _, no := door.verify(r, []byte(c.body), "ecs"); no == nil {
			rt.Fatal("an altered header was let in")
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func BenchmarkVerify(b *testing.B) {
	door := newDoor(nil)
	c := call{target: "ListClusters", body: `{}`}
	r := c.request(b)
	for b.Loop() {
		if _, no := door.verify(r, []byte(c.body), "ecs"); no != nil {
			b.Fatal(no.message)
		}
	}
}
