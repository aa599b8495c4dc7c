package e2e

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/smithy-go"
)

// TestSignatures: a request that was not signed with a key of this gantry, for
// this region and service, now, is refused in the words of AWS.
func TestSignatures(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	const target, body = ecsTarget + "ListClusters", "{}"
	good, region := s.credentials(), s.value("AWS_REGION")
	for _, test := range []struct {
		name string
		send func(*http.Request)
		code string // "" where it is let in
		word string
	}{
		{"as it should be", func(r *http.Request) { s.sign(t, r, body, good, "ecs", region) }, "", ""},
		{"unsigned", func(*http.Request) {}, "MissingAuthenticationTokenException", "Request is missing Authentication Token"},
		{"nonsense", func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 nonsense") }, "IncompleteSignatureException", ""},
		{"unknown key", func(r *http.Request) {
			s.sign(t, r, body, aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "x"}, "ecs", region)
		}, "UnrecognizedClientException", "The security token included in the request is invalid."},
		{"wrong secret", func(r *http.Request) {
			s.sign(t, r, body, aws.Credentials{AccessKeyID: good.AccessKeyID, SecretAccessKey: "x"}, "ecs", region)
		}, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided."},
		{"a session token beside the key", func(r *http.Request) {
			s.sign(t, r, body, aws.Credentials{AccessKeyID: good.AccessKeyID, SecretAccessKey: good.SecretAccessKey, SessionToken: "x"}, "ecs", region)
		}, "UnrecognizedClientException", ""},
		{"wrong region", func(r *http.Request) { s.sign(t, r, body, good, "ecs", "eu-west-1") }, "InvalidSignatureException", "Credential should be scoped to a valid region, not 'eu-west-1'."},
		{"wrong service", func(r *http.Request) { s.sign(t, r, body, good, "s3", region) }, "InvalidSignatureException", "Credential should be scoped to correct service: 'ecs'."},
		{"another body", func(r *http.Request) { s.sign(t, r, body+" ", good, "ecs", region) }, "InvalidSignatureException", ""},
		{"another operation", func(r *http.Request) {
			s.sign(t, r, body, good, "ecs", region)
			r.Header.Set("X-Amz-Target", ecsTarget+"DeleteCluster")
		}, "InvalidSignatureException", ""},
		{"ten minutes ago", func(r *http.Request) { signAt(t, r, body, good, region, -10*time.Minute) }, "InvalidSignatureException", "Signature expired: "},
		{"in ten minutes", func(r *http.Request) { signAt(t, r, body, good, region, 10*time.Minute) }, "InvalidSignatureException", "Signature not yet current: "},
	} {
		r := s.request(t, target, body)
		test.send(r)
		a := send(t, r)
		if a.code != test.code || !strings.Contains(a.message, test.word) || (test.code == "") != (a.status == 200) || a.status >= 500 {
			t.Errorf("%s: %d %s", test.name, a.status, a.body)
		}
	}
}

func signAt(t *testing.T, r *http.Request, body string, c aws.Credentials, region string, later time.Duration) {
	t.Helper()
	if err := v4.NewSigner().SignHTTP(t.Context(), c, r, hash(body), "ecs", region, time.Now().Add(later)); err != nil {
		t.Fatal(err)
	}
}

// TestPresigned: a URL that carries its signature, by which others prove who they are.
func TestPresigned(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	for _, test := range []struct {
		name   string
		age    time.Duration
		suffix string
		status int
		word   string
	}{
		{"fresh", 0, "", http.StatusOK, "<Arn>arn:aws:iam::123456789012:root</Arn>"},
		{"over", 2 * time.Minute, "", http.StatusBadRequest, "<Code>RequestExpired</Code>"},
		{"changed", 0, "&More=1", http.StatusForbidden, "<Code>SignatureDoesNotMatch</Code>"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.endpoint()+"/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", nil)
		if err != nil {
			t.Fatal(err)
		}
		uri, _, err := v4.NewSigner().PresignHTTP(t.Context(), s.credentials(), r, hash(""), "sts", s.value("AWS_REGION"), time.Now().Add(-test.age))
		if err != nil {
			t.Fatal(err)
		}
		if r, err = http.NewRequestWithContext(t.Context(), http.MethodGet, uri+test.suffix, nil); err != nil {
			t.Fatal(err)
		}
		if a := send(t, r); a.status != test.status || !strings.Contains(a.body, test.word) {
			t.Errorf("%s: %d %s", test.name, a.status, a.body)
		}
	}
}

// TestWrongKeysOfGenuineClients: what a person sees who has not pointed his client
// at gantry in full.
func TestWrongKeysOfGenuineClients(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	c := s.sdk(func(o *ecs.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider(s.credentials().AccessKeyID, "wrong", "")
	})
	_, err := c.ListClusters(t.Context(), &ecs.ListClustersInput{})
	if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != "InvalidSignatureException" {
		t.Errorf("the SDK with a wrong secret: %v", err)
	}
	other := *s
	other.env = append(other.env[:len(other.env):len(other.env)], "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE")
	if got := other.awsError(t, "ecs", "list-clusters"); !strings.Contains(got, "(UnrecognizedClientException) when calling the ListClusters operation: The security token included in the request is invalid.") {
		t.Errorf("the CLI with an unknown key: %s", got)
	}
	if got := s.awsError(t, "ecs", "list-clusters", "--region", "eu-west-1"); !strings.Contains(got, "(InvalidSignatureException)") || !strings.Contains(got, "This gantry is in 'us-east-1'.") {
		t.Errorf("the CLI for another region: %s", got)
	}
}

// TestCallerIdentity is the first call of Terraform and of many scripts.
func TestCallerIdentity(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	type identity struct{ UserId, Account, Arn string }
	if got := awsJSON[identity](t, s, "sts", "get-caller-identity"); got.Account != "123456789012" || got.Arn != "arn:aws:iam::123456789012:root" || got.UserId == "" {
		t.Errorf("%+v", got)
	}
	if got := s.awsError(t, "sts", "get-session-token"); !strings.Contains(got, "gantry does not offer sts:GetSessionToken yet.") {
		t.Errorf("another operation: %s", got)
	}
	other := *s
	other.env = append(other.env[:len(other.env):len(other.env)], "AWS_SECRET_ACCESS_KEY=wrong")
	if got := other.awsError(t, "sts", "get-caller-identity"); !strings.Contains(got, "(SignatureDoesNotMatch)") {
		t.Errorf("with a wrong secret: %s", got)
	}
}
