// Package pki is gantry's own certificate authority: how machines and clients know a
// server that they reach over a network. There is one per data dir, made when it is
// first needed. It signs nothing but the server's own certificate, which is made anew
// at every start for the names and addresses that the server then has.
//
// A machine that joins knows the authority by the fingerprint in its token, and from
// then on by its certificate. Since the authority signs servers of one gantry only,
// agents ask for one fixed name and do not mind at which address they find it.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"gantry/internal/wholefile"
)

const (
	// ServerName is in every certificate of a server: what agents ask for.
	ServerName = "server.gantry.internal"
	// authorityFor and serverFor are how long certificates are valid. A server's is
	// renewed at every start, and while it runs once half of the time is over.
	authorityFor = 20 * 365 * 24 * time.Hour
	serverFor    = 365 * 24 * time.Hour
	// clockSkew is how far behind the clocks of others may be.
	clockSkew = time.Hour
)

// The files of an authority in its folder.
const (
	certificateFile = "ca.crt"
	keyFile         = "ca.key"
)

// An Authority signs the certificates of one gantry's servers.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

// Open reads the authority of a folder, or makes one.
func Open(dir string, now time.Time) (*Authority, error) {
	a, err := read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		a, err = create(dir, now)
	}
	if err != nil {
		return nil, fmt.Errorf("open the certificate authority in %s: %w", dir, err)
	}
	return a, nil
}

func read(dir string) (*Authority, error) {
	text, err := os.ReadFile(filepath.Join(dir, certificateFile))
	if err != nil {
		return nil, err
	}
	cert, err := ParseCertificate(text)
	if err != nil {
		return nil, err
	}
	text, err = os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("the key is missing: %v", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the key is no PEM")
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("key and certificate do not belong together")
	}
	return &Authority{cert: cert, key: key, dir: dir}, nil
}

// create makes an authority. The certificate is written last: without it there is none.
func create(dir string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "gantry certificate authority"},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(authorityFor),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { // clients read the certificate
		return nil, err
	}
	err = wholefile.Write(filepath.Join(dir, keyFile), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600)
	if err == nil {
		err = wholefile.Write(filepath.Join(dir, certificateFile), encode(der), 0o644)
	}
	return &Authority{cert: cert, key: key, dir: dir}, err
}

func encode(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// serial is a random number, as certificates have to have.
func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	return new(big.Int).SetBytes(b[1:])
}

// File is where the authority's certificate is, in PEM.
func (a *Authority) File() string { return filepath.Join(a.dir, certificateFile) }

// Fingerprint is the SHA-256 of the authority's certificate, in hex.
func (a *Authority) Fingerprint() string { return Fingerprint(a.cert) }

// Fingerprint is the SHA-256 of a certificate, in hex.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Encode is a certificate in PEM.
func Encode(cert *x509.Certificate) string { return string(encode(cert.Raw)) }

// ParseCertificate reads the first certificate of a PEM file.
func ParseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("it is no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// Issue makes a certificate for a server that has these names and addresses.
func (a *Authority) Issue(names []string, addresses []net.IP, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the server's key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "gantry server"},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(serverFor),
		DNSNames: append([]string{ServerName}, names...), IPAddresses: addresses,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("make the server's certificate: %w", err)
	}
	// The authority's own goes along: a machine that knows its fingerprint only has to see it.
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}, nil
}
