package api

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// RefuseSession refuses an agent's websocket handshake in the way that the
// genuine agent understands: a JSON body of exactly one member, whose name is
// the exception.
func RefuseSession(w http.ResponseWriter, status int, exception, message string) {
	body, err := json.Marshal(map[string]string{exception: message})
	if err != nil { // a map of strings always marshals
		body = []byte(`{"ServerException":""}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body) // fails only when the client is gone
}
