package awsjson

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"gantry/internal/wire"
)

// NewCall is the request of one operation, and its body, for who calls a service;
// it is yet to be signed. target names both: "Logs_20140328.PutLogEvents".
func NewCall(ctx context.Context, endpoint, target string, in any) (*http.Request, []byte, error) {
	body, err := wire.AppendJSON(nil, in)
	if err != nil {
		return nil, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(endpoint, "/")+"/", bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.Header["Content-Type"] = contentType11
	r.Header.Set("X-Amz-Target", target)
	return r, body, nil
}

// ReadAnswer reads an answer of at most most bytes into out, and closes it. The
// error is a *wire.Error where the service did not answer 200; it has no code where
// the body is no AWS error (a proxy's page).
func ReadAnswer(answer *http.Response, most int64, out any) error {
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, most))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		e := readError(answer.StatusCode, text)
		e.RequestID = answer.Header.Get(RequestIDHeader)
		return e
	}
	if len(text) == 0 {
		return nil // operations without output may answer an empty body
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

func readError(status int, body []byte) *wire.Error {
	var e struct {
		Type    string `json:"__type"`
		Message string `json:"message"` // or "Message": encoding/json does not mind
	}
	if err := json.Unmarshal(body, &e); err != nil || e.Type == "" {
		return &wire.Error{Status: status, Message: fmt.Sprintf("HTTP status %d without an AWS error", status)}
	}
	code := e.Type[strings.LastIndexByte(e.Type, '#')+1:]
	return &wire.Error{Code: code, Message: e.Message, Status: status}
}
