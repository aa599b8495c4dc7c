package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Serving is how a server of the authority speaks TLS at the addresses that where
// tells, which may change while it serves: a certificate that is half through its
// life is replaced.
func (a *Authority) Serving(where func() (names []string, addresses []net.IP)) (*tls.Config, error) {
	var mu sync.Mutex
	var current *tls.Certificate
	var made time.Time
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); current == nil || now.Sub(made) > serverFor/2 {
			names, addresses := where()
			next, err := a.Issue(names, addresses, now)
			if err != nil {
				return nil, err
			}
			current, made = next, now
		}
		return current, nil
	}
	if _, err := get(nil); err != nil {
		return nil, err
	}
	// No HTTP/2: agents' websockets are upgrades of HTTP/1.1.
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: get, NextProtos: []string{"http/1.1"}}, nil
}

// Trusting is how an agent speaks to servers of the authority with that certificate.
func Trusting(authority *x509.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, ServerName: ServerName}
}

// Pinning is how a machine speaks for the first time to a server whose authority it
// knows by its fingerprint. Seen is called with the authority's certificate before
// anything is said.
func Pinning(fingerprint string, seen func(authority *x509.Certificate)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: ServerName,
		InsecureSkipVerify: true, // in favour of what follows, which is stricter
		VerifyConnection: func(s tls.ConnectionState) error {
			for _, cert := range s.PeerCertificates {
				if Fingerprint(cert) != fingerprint {
					continue
				}
				pool := x509.NewCertPool()
				pool.AddCert(cert)
				if _, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, DNSName: ServerName}); err != nil {
					return fmt.Errorf("the server's certificate is not one of its authority's: %w", err)
				}
				seen(cert)
				return nil
			}
			return errUnknownAuthority
		},
	}
}

var errUnknownAuthority = errors.New("this is not the server that made the token: its certificate authority has another fingerprint")
