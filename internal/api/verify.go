package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gantry"

	"github.com/aws/smithy-go/aws-http-auth/credentials"
	"github.com/aws/smithy-go/aws-http-auth/sigv4"
	v4 "github.com/aws/smithy-go/aws-http-auth/v4"
)

// defaultSkew is how far AWS lets a client's clock be off, either way.
const defaultSkew = 5 * time.Minute

// Principals finds who an access key belongs to.
type Principals interface {
	// Principal returns nil where nobody has the key.
	Principal(accessKeyID string) *gantry.Principal
}

// A verifier checks AWS Signature Version 4, in the header or in the query.
//
// The signature is computed a second time by AWS's own signer over the headers
// that the client says it signed, and compared. At about ten microseconds it
// costs less than reading the request.
type verifier struct {
	principals Principals
	region     gantry.Region
	now        func() time.Time
	signer     *sigv4.Signer
	// stranger is who an unknown access key belongs to; nil refuses it.
	stranger func(accessKeyID string) *gantry.Principal
}

// verify says who signed the request. Body is the request's, read in full;
// services are the credential scopes under which the request may be signed, and
// none means that any will do.
func (v *verifier) verify(r *http.Request, body []byte, services ...string) (*gantry.Principal, *refusal) {
	sum := sha256.Sum256(body)
	return v.verifyHash(r, sum[:], services...)
}

// verifyHash is verify for a body that is still to be read and must turn out to have that SHA-256.
func (v *verifier) verifyHash(r *http.Request, hash []byte, services ...string) (*gantry.Principal, *refusal) {
	s, no := parseSignature(r)
	if no != nil {
		return nil, no
	}
	if no := v.checkScope(&s, services); no != nil {
		return nil, no
	}
	if no := v.checkTime(&s); no != nil {
		return nil, no
	}
	if no := checkPayloadHeader(r, hash); no != nil {
		return nil, no
	}
	p := v.principals.Principal(s.accessKeyID)
	if p == nil {
		if v.stranger != nil && s.accessKeyID != "" {
			return v.stranger(s.accessKeyID), nil
		}
		return nil, unknownKey()
	}
	// Keys that are kept here are long-lived ones: AWS refuses a session token beside such a key.
	if s.token != "" {
		return nil, unknownKey()
	}
	want, err := v.sign(r, &s, p.SecretKey, hash)
	if err != nil {
		return nil, incomplete(err.Error())
	}
	if subtle.ConstantTimeCompare([]byte(want), []byte(s.value)) != 1 {
		return nil, mismatch("The request signature we calculated does not match the signature you provided. " +
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return p, nil
}

func (v *verifier) checkScope(s *signature, services []string) *refusal {
	if s.region != string(v.region) {
		return mismatch("Credential should be scoped to a valid region, not '" + s.region + "'. This gantry is in '" + string(v.region) + "'.")
	}
	for _, want := range services {
		if s.service == want {
			return nil
		}
	}
	if len(services) == 0 {
		return nil
	}
	return mismatch("Credential should be scoped to correct service: '" + services[0] + "'.")
}

// checkTime compares the time of signing with ours, in AWS's words.
func (v *verifier) checkTime(s *signature) *refusal {
	now, signed := v.now().UTC(), s.time.UTC()
	const skew = defaultSkew
	if signed.After(now.Add(skew)) {
		return mismatch("Signature not yet current: " + signed.Format(timeFormat) + " is still later than " +
			now.Add(skew).Format(timeFormat) + " (" + now.Format(timeFormat) + " + 5 min.)")
	}
	if s.presigned {
		if now.After(signed.Add(s.expires)) {
			return expired()
		}
		return nil
	}
	if signed.Before(now.Add(-skew)) {
		return mismatch("Signature expired: " + signed.Format(timeFormat) + " is now earlier than " +
			now.Add(-skew).Format(timeFormat) + " (" + now.Format(timeFormat) + " - 5 min.)")
	}
	return nil
}

// checkPayloadHeader refuses a body that is not the one whose hash the client
// states, and the ways to leave the body unsigned, which are S3's alone.
func checkPayloadHeader(r *http.Request, hash []byte) *refusal {
	switch h := r.Header.Get("X-Amz-Content-Sha256"); h {
	case "", hex.EncodeToString(hash):
		return nil
	default:
		if strings.HasPrefix(h, "STREAMING-") || h == "UNSIGNED-PAYLOAD" {
			return mismatch("x-amz-content-sha256 '" + h + "' is for Amazon S3 only: sign the SHA-256 of the body.")
		}
		return mismatch("The value of x-amz-content-sha256 is not the SHA-256 of the body that arrived.")
	}
}

// sign computes the signature that a holder of secret gives to the request.
func (v *verifier) sign(r *http.Request, s *signature, secret string, hash []byte) (string, error) {
	// The signer writes into the request it is given: it gets one of its own
	// with the signed headers only.
	again := &http.Request{Method: r.Method, Host: r.Host, URL: &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}}
	again.Header = make(http.Header, len(s.headers))
	for _, name := range s.headers {
		name = http.CanonicalHeaderKey(name)
		for _, value := range r.Header[name] {
			again.Header[name] = append(again.Header[name], collapse(value))
		}
		// net/http moves these out of the header.
		switch name {
		case "Content-Length":
			again.Header[name] = []string{strconv.FormatInt(r.ContentLength, 10)}
		case "Transfer-Encoding":
			again.Header[name] = r.TransferEncoding
		}
	}
	in := &sigv4.SignRequestInput{
		Request: again, PayloadHash: hash, Time: s.time,
		Service: s.service, Region: s.region,
		Credentials: credentials.Credentials{AccessKeyID: s.accessKeyID, SecretAccessKey: secret, SessionToken: s.token},
	}
	rules := func(o *v4.SignerOptions) { o.HeaderRules = s }
	if !s.presigned {
		if err := v.signer.SignRequest(in, rules); err != nil {
			return "", err
		}
		_, value, _ := strings.Cut(again.Header.Get("Authorization"), "Signature=")
		return value, nil
	}
	q := again.URL.Query()
	q.Del("X-Amz-Signature")
	again.URL.RawQuery = q.Encode()
	in.SignatureType = v4.SignatureTypeQueryString
	if err := v.signer.SignRequest(in, rules); err != nil {
		return "", err
	}
	return again.URL.Query().Get("X-Amz-Signature"), nil
}

// collapse makes runs of spaces one, as the canonical form of a header wants it
// and AWS's signer for Go leaves to its caller.
func collapse(value string) string {
	if !strings.Contains(value, "  ") {
		return value
	}
	return strings.Join(strings.FieldsFunc(value, func(r rune) bool { return r == ' ' }), " ")
}
