package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm = "AWS4-HMAC-SHA256"
	// timeFormat is ISO 8601's basic format, the only one that AWS accepts in X-Amz-Date.
	timeFormat = "20060102T150405Z"
	// maxExpires is the longest life that AWS gives to a presigned URL: seven days.
	maxExpires = 7 * 24 * time.Hour
)

// A signature is what a request says about how it was signed.
type signature struct {
	accessKeyID string
	date        string // YYYYMMDD
	region      string
	service     string
	headers     []string // signed ones, in lower case
	value       string   // the signature itself, in hex
	time        time.Time
	token       string        // X-Amz-Security-Token
	expires     time.Duration // of a presigned request; 0 for one signed in its header
	presigned   bool
}

// parseSignature finds the signature in the Authorization header or, for a
// presigned request, in the query. It looks at the form only, not at the truth.
func parseSignature(r *http.Request) (signature, *refusal) {
	auth := r.Header.Get("Authorization")
	if auth != "" {
		return parseHeader(r, auth)
	}
	if strings.Contains(r.URL.RawQuery, "X-Amz-Algorithm=") {
		return parseQuery(r.URL.Query())
	}
	return signature{}, missingToken()
}

func parseHeader(r *http.Request, auth string) (signature, *refusal) {
	var s signature
	rest, ok := strings.CutPrefix(auth, algorithm)
	if !ok {
		name, _, _ := strings.Cut(auth, " ")
		return s, incomplete("Unsupported AWS 'algorithm': '" + name + "'. Sign with " + algorithm + ".")
	}
	var credential, headers string
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			headers = value
		case "Signature":
			s.value = value
		}
	}
	var missing []string
	for _, m := range []struct{ name, value string }{
		{"Credential", credential}, {"Signature", s.value}, {"SignedHeaders", headers},
	} {
		if m.value == "" {
			missing = append(missing, "Authorization header requires '"+m.name+"' parameter.")
		}
	}
	date := r.Header.Get("X-Amz-Date")
	if date == "" {
		date = r.Header.Get("Date")
	}
	if date == "" {
		missing = append(missing, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	if missing != nil {
		return s, incomplete(strings.Join(missing, " "))
	}
	s.token = r.Header.Get("X-Amz-Security-Token")
	return s, s.fill(credential, headers, date)
}

func parseQuery(q url.Values) (signature, *refusal) {
	s := signature{presigned: true, value: q.Get("X-Amz-Signature"), token: q.Get("X-Amz-Security-Token")}
	if got := q.Get("X-Amz-Algorithm"); got != algorithm {
		return s, incomplete("Unsupported AWS 'algorithm': '" + got + "'. Sign with " + algorithm + ".")
	}
	for _, name := range []string{"X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"} {
		if q.Get(name) == "" {
			return s, incomplete("AWS query-string parameters must include '" + name + "'. Re-examine the query-string parameters.")
		}
	}
	s.expires = defaultSkew
	if e := q.Get("X-Amz-Expires"); e != "" {
		seconds, err := strconv.ParseInt(e, 10, 64)
		if err != nil || seconds < 1 || seconds > int64(maxExpires/time.Second) {
			return s, incomplete("X-Amz-Expires must be a number of seconds between 1 and 604800, not '" + e + "'.")
		}
		s.expires = time.Duration(seconds) * time.Second
	}
	return s, s.fill(q.Get("X-Amz-Credential"), q.Get("X-Amz-SignedHeaders"), q.Get("X-Amz-Date"))
}

// fill takes credential scope, header list and date apart.
func (s *signature) fill(credential, headers, date string) *refusal {
	scope := strings.Split(credential, "/")
	if len(scope) != 5 {
		return incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '" + credential + "'")
	}
	if scope[4] != "aws4_request" {
		return mismatch("Credential should be scoped with a valid terminator: 'aws4_request', not '" + scope[4] + "'.")
	}
	s.accessKeyID, s.date, s.region, s.service = scope[0], scope[1], scope[2], scope[3]

	var err error
	if s.time, err = time.Parse(timeFormat, date); err != nil {
		// AWS takes an HTTP date from the Date header as well.
		if s.time, err = http.ParseTime(date); err != nil {
			return incomplete("Date must be in ISO-8601 'basic format'. Got '" + date + "'. See http://en.wikipedia.org/wiki/ISO_8601")
		}
	}
	if day := s.time.UTC().Format("20060102"); day != s.date {
		return mismatch("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" +
			s.date + "' != '" + day + "', from '" + date + "'.")
	}
	s.headers = strings.Split(strings.ToLower(headers), ";")
	if !slices.Contains(s.headers, "host") {
		return mismatch("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	return nil
}

// IsSigned makes a signature the rule by which the signer picks headers.
func (s *signature) IsSigned(header string) bool { return slices.Contains(s.headers, header) }
