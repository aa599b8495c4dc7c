package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"

	"gantry/bench/client"
)

// A bareServer answers every request with so many bytes: what net/http and the load's
// side cost alone.
type bareServer struct{ ln net.Listener }

func (s *bareServer) open(w wish) (ready, error) {
	var err error
	if s.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return ready{}, err
	}
	answer := bytes.Repeat([]byte("x"), w.Number)
	length := []string{strconv.Itoa(w.Number)}
	go http.Serve(s.ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header()["Content-Length"] = length
		w.Write(answer)
	}))
	return ready{API: client.API{Address: s.ln.Addr().String()}}, nil
}

func (s *bareServer) close() error {
	if s.ln == nil {
		return nil
	}
	return s.ln.Close()
}
