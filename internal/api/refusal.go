package api

import (
	"encoding/xml"
	"net/http"

	"gantry/internal/wire"
)

// A refusal is a "no" at the door, before any service has seen the request.
// JSON and Query services give the same refusal different names and statuses.
type refusal struct {
	json, query             string
	jsonStatus, queryStatus int
	message                 string
}

func missingToken() *refusal {
	return &refusal{
		json: "MissingAuthenticationTokenException", jsonStatus: http.StatusBadRequest,
		query: "MissingAuthenticationToken", queryStatus: http.StatusForbidden,
		message: "Request is missing Authentication Token",
	}
}

func incomplete(message string) *refusal {
	return &refusal{
		json: "IncompleteSignatureException", jsonStatus: http.StatusBadRequest,
		query: "IncompleteSignature", queryStatus: http.StatusBadRequest,
		message: message,
	}
}

// mismatch refuses a signature that is complete and not right.
func mismatch(message string) *refusal {
	return &refusal{
		json: "InvalidSignatureException", jsonStatus: http.StatusBadRequest,
		query: "SignatureDoesNotMatch", queryStatus: http.StatusForbidden,
		message: message,
	}
}

func unknownKey() *refusal {
	return &refusal{
		json: "UnrecognizedClientException", jsonStatus: http.StatusBadRequest,
		query: "InvalidClientTokenId", queryStatus: http.StatusForbidden,
		message: "The security token included in the request is invalid.",
	}
}

// expired refuses a presigned request whose time is over.
func expired() *refusal {
	return &refusal{
		json: "RequestExpired", jsonStatus: http.StatusBadRequest,
		query: "RequestExpired", queryStatus: http.StatusBadRequest,
		message: "Request has expired.",
	}
}

func tooLarge() *refusal {
	return &refusal{
		json: "RequestEntityTooLargeException", jsonStatus: http.StatusRequestEntityTooLarge,
		query: "RequestEntityTooLarge", queryStatus: http.StatusRequestEntityTooLarge,
		message: "Request size exceeded the limit of 8388608 bytes.",
	}
}

// unreadable refuses a request whose body never arrived in full.
func unreadable() *refusal {
	return &refusal{
		json: "SerializationException", jsonStatus: http.StatusBadRequest,
		query: "MalformedQueryString", queryStatus: http.StatusBadRequest,
		message: "The request's body ended early or took too long to arrive.",
	}
}

// asError is the refusal as JSON services put it.
func (r *refusal) asError() *wire.Error {
	return &wire.Error{Code: r.json, Message: r.message, Status: r.jsonStatus}
}

// The XML error of Query services.
type xmlError struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

// The XML error of EC2.
type ec2Error struct {
	XMLName   xml.Name `xml:"Response"`
	Code      string   `xml:"Errors>Error>Code"`
	Message   string   `xml:"Errors>Error>Message"`
	RequestID string   `xml:"RequestID"`
}
