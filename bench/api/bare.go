package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"

	"gantry/bench/client"
)

// serveBare answers every request with so many bytes: what net/http and the load's
// side cost alone.
func serveBare(size int) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	answer := bytes.Repeat([]byte("x"), size)
	length := []string{strconv.Itoa(size)}
	go http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header()["Content-Length"] = length
		w.Write(answer)
	}))
	return announce(ready{API: client.API{Address: ln.Addr().String()}})
}
