package awsjson

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"gantry/internal/wire"
)

// buffers holds the bodies of answers between requests.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxKept is the largest buffer that is kept for the next answer: a describe of a hundred tasks.
const maxKept = 512 << 10

// writeOutput answers 200 with out. It returns an error before it has written anything.
func writeOutput(w http.ResponseWriter, r *http.Request, out any) error {
	buf := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= maxKept {
			buffers.Put(buf)
		}
	}()
	body, err := wire.AppendJSON((*buf)[:0], out)
	if err != nil {
		return fmt.Errorf("encode %T: %w", out, err)
	}
	*buf = body
	write(w, r, http.StatusOK, body)
	return nil
}

// WriteError answers with an exception, as a Service does: for a door that refuses a request before it reaches one.
func WriteError(w http.ResponseWriter, r *http.Request, e *wire.Error) {
	setRequestID(w)
	writeError(w, r, e)
}

func writeError(w http.ResponseWriter, r *http.Request, e *wire.Error) {
	members := map[string]any{"__type": e.Code, "message": e.Message}
	for name, value := range e.Members {
		if b, err := wire.AppendJSON(nil, value); err == nil && string(b) != "null" { // clients expect absent members to be left out
			members[name] = json.RawMessage(b)
		}
	}
	body, err := wire.AppendJSON(nil, members)
	if err != nil {
		panic(err) // strings and valid JSON can be written
	}
	write(w, r, cmp.Or(e.Status, http.StatusBadRequest), body)
}

// write sends header and body by one Write: some AWS SDKs fail now and then when they arrive apart. net/http buffers
// the header until the first write of the body, and with a Content-Length it adds nothing in between; that long
// answers are not sent in pieces is the door's to see to.
func write(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = contentType11
	if strings.HasPrefix(r.Header.Get("Content-Type"), contentType10[0]) {
		h["Content-Type"] = contentType10
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	w.Write(body) // fails only when the client is gone
}

var (
	contentType10 = []string{"application/x-amz-json-1.0"}
	contentType11 = []string{"application/x-amz-json-1.1"}
)
