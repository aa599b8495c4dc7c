package api

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"gantry"
	"gantry/internal/wire"
	"gantry/internal/wire/awsjson"
)

// serveQuery answers services that take a form and answer XML. They have
// neither path nor target: the credential scope of the signature says which
// service is meant. STS's GetCallerIdentity is the only operation so far.
func (d *Door) serveQuery(w http.ResponseWriter, r *http.Request) {
	s, _ := parseSignature(r) // where there is none, verify says so
	refuse := refuseXML
	if s.service == "ec2" {
		refuse = refuseEC2
	}
	body, no := readBody(w, r)
	if no != nil {
		refuse(w, no)
		return
	}
	form, no := parseForm(r, body)
	if no != nil {
		refuse(w, no)
		return
	}
	p, no := d.verify(r, body)
	if no != nil {
		refuse(w, no)
		return
	}
	action := form.Get("Action")
	switch {
	case s.service == "sts" && action == "GetCallerIdentity":
		writeXML(w, http.StatusOK, d.callerIdentity(w, p))
	case action == "":
		refuse(w, &refusal{query: "MissingAction", queryStatus: http.StatusBadRequest,
			message: "The request names no operation: neither the header X-Amz-Target nor the parameter Action is there."})
	default:
		refuse(w, unknownOperation("gantry does not offer "+wire.Shorten(s.service+":"+action)+" yet."))
	}
}

// parseForm reads the parameters of a Query request from its body, or from its URL where it is a GET.
func parseForm(r *http.Request, body []byte) (url.Values, *refusal) {
	raw := string(body)
	if r.Method == http.MethodGet {
		raw = r.URL.RawQuery
	}
	form, err := url.ParseQuery(raw)
	if err != nil {
		return nil, &refusal{query: "MalformedQueryString", queryStatus: http.StatusBadRequest,
			message: "The parameters are not a URL-encoded form."}
	}
	return form, nil
}

type callerIdentity struct {
	XMLName   xml.Name   `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
	ARN       gantry.ARN `xml:"GetCallerIdentityResult>Arn"`
	UserID    string     `xml:"GetCallerIdentityResult>UserId"`
	Account   string     `xml:"GetCallerIdentityResult>Account"`
	RequestID string     `xml:"ResponseMetadata>RequestId"`
}

func (d *Door) callerIdentity(w http.ResponseWriter, p *gantry.Principal) callerIdentity {
	place := d.config.Place
	id := callerIdentity{ARN: ARN(place, p), UserID: p.AccessKeyID, Account: string(place.Account), RequestID: requestID(w)}
	if p.Kind == gantry.RootPrincipal {
		id.UserID = string(place.Account) // the root's user id is the account, as on AWS
	}
	return id
}

func refuseXML(w http.ResponseWriter, no *refusal) {
	writeXML(w, no.queryStatus, xmlError{Type: "Sender", Code: no.query, Message: no.message, RequestID: requestID(w)})
}

// refuseEC2 is refuseXML in EC2's own form of the protocol.
func refuseEC2(w http.ResponseWriter, no *refusal) {
	writeXML(w, no.queryStatus, ec2Error{Code: no.query, Message: no.message, RequestID: requestID(w)})
}

// writeXML sends header and body at once: some AWS SDKs fail now and then when they arrive apart.
func writeXML(w http.ResponseWriter, status int, answer any) {
	body, err := xml.Marshal(answer)
	if err != nil { // the answers here are strings, which always marshal
		status, body = http.StatusInternalServerError, nil
	}
	body = append([]byte(xml.Header), body...)
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // fails only when the client is gone
}

func requestID(w http.ResponseWriter) string {
	return strings.Join(w.Header()[awsjson.RequestIDHeader], "")
}
