package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, dir string) *Authority {
	t.Helper()
	a, err := Open(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// served is what comes of a handshake between a server of the authority and a client.
func served(t *testing.T, a *Authority, client *tls.Config) error {
	t.Helper()
	config, err := a.Serving(func() ([]string, []net.IP) { return []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)} })
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if conn, err := ln.Accept(); err == nil {
			io.WriteString(conn, "hello")
			conn.Close()
		}
	}()
	conn, err := tls.Dial("tcp", ln.Addr().String(), client)
	if err != nil {
		return err
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	if string(text) != "hello" {
		t.Errorf("read %q, %v", text, err)
	}
	return nil
}

func TestWhoIsTrusted(t *testing.T) {
	a, other := open(t, t.TempDir()), open(t, t.TempDir())
	byAddress := Trusting(a.cert)
	byAddress.ServerName = "127.0.0.1" // as the aws CLI does, which has the certificate in a bundle
	elsewhere := Trusting(a.cert)
	elsewhere.ServerName = "10.9.9.9"
	for name, tt := range map[string]struct {
		client *tls.Config
		err    string
	}{
		"the authority":           {Trusting(a.cert), ""},
		"by address":              {byAddress, ""},
		"an address it has not":   {elsewhere, "certificate is valid for 127.0.0.1"},
		"another authority":       {Trusting(other.cert), "unknown authority"},
		"the fingerprint":         {Pinning(a.Fingerprint(), func(*x509.Certificate) {}), ""},
		"another one's":           {Pinning(other.Fingerprint(), func(*x509.Certificate) { t.Error("seen") }), errUnknownAuthority.Error()},
		"the public authorities'": {&tls.Config{ServerName: ServerName}, "unknown authority"},
	} {
		if err := served(t, a, tt.client); tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %v, want %q", name, err, tt.err)
		}
	}
	var seen *x509.Certificate
	if err := served(t, a, Pinning(a.Fingerprint(), func(c *x509.Certificate) { seen = c })); err != nil || !seen.Equal(a.cert) {
		t.Errorf("the authority that was seen is not the one: %v", err)
	}
}

// Somebody who shows the right authority's certificate beside one of his own is not believed.
func TestAnAuthorityShownIsNotAnAuthorityHeld(t *testing.T) {
	a, thief := open(t, t.TempDir()), open(t, t.TempDir())
	cert, err := thief.Issue(nil, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert.Certificate[1] = a.cert.Raw
	server, client := net.Pipe()
	go tls.Server(server, &tls.Config{Certificates: []tls.Certificate{*cert}}).Handshake()
	err = tls.Client(client, Pinning(a.Fingerprint(), func(*x509.Certificate) { t.Error("seen") })).Handshake()
	if err == nil || !strings.Contains(err.Error(), "not one of its authority's") {
		t.Errorf("the handshake: %v", err)
	}
}

func TestAnAuthorityStays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	first := open(t, dir)
	if again := open(t, dir); again.Fingerprint() != first.Fingerprint() {
		t.Error("another authority after a restart")
	}
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", info.Mode(), err)
	}
	// Killed between the two files: there is no authority yet.
	if err := os.Remove(first.File()); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if err := os.Remove(filepath.Join(dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, time.Now()); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a certificate without its key: %v", err)
	}
}
