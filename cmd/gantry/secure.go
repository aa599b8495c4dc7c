package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"gantry/internal/agent"
	"gantry/internal/pki"
)

// tlsFolder, in a server's data dir, holds its certificate authority.
const tlsFolder = "tls"

// A gate is the listener that the API is served on, and how clients reach it.
type gate struct {
	net.Listener
	endpoint string
	// authority is who signs the server's certificate; nil where it speaks plain HTTP.
	authority *pki.Authority
	// open is whether other machines can reach it.
	open bool
}

// openGate listens, with TLS where other machines can listen to what is said.
func openGate(d dataDir, o upOptions) (*gate, error) {
	ln, err := listen(o.listen)
	if err != nil {
		return nil, err
	}
	out := &gate{Listener: ln, endpoint: endpointOf(ln.Addr()), open: isOpen(ln.Addr())}
	if o.plainHTTP || !out.open && !o.tls {
		return out, nil
	}
	if err := out.secure(d, o.names); err != nil {
		ln.Close()
		return nil, err
	}
	return out, nil
}

// secure puts TLS on the listener.
func (d *gate) secure(dir dataDir, names []string) (err error) {
	if d.authority, err = pki.Open(dir.file(tlsFolder), time.Now()); err != nil {
		return err
	}
	config, err := d.authority.Serving(func() ([]string, []net.IP) { return ownNames(names) })
	if err != nil {
		return err
	}
	tcp := d.Addr().(*net.TCPAddr)
	d.Listener = tls.NewListener(d.Listener, config)
	d.endpoint = "https://" + net.JoinHostPort(reachable(tcp.IP), strconv.Itoa(tcp.Port))
	return nil
}

// ownNames are what this machine may be called by clients: its host name, its
// addresses, and what the operator adds.
func ownNames(more []string) (names []string, addresses []net.IP) {
	names = []string{"localhost"}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	addresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	if all, err := net.InterfaceAddrs(); err == nil {
		for _, a := range all {
			if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() {
				addresses = append(addresses, ip.IP)
			}
		}
	}
	for _, name := range more {
		if ip := net.ParseIP(name); ip != nil {
			addresses = append(addresses, ip)
		} else {
			names = append(names, name)
		}
	}
	return names, addresses
}

// client is how agents beside the server call it; nil for plainly.
func (d *gate) client() (*http.Client, error) {
	if d.authority == nil {
		return nil, nil
	}
	return trustingFile(d.authority.File())
}

// fingerprint is by which machines know the server; "" where there is none.
func (d *gate) fingerprint() string {
	if d.authority == nil {
		return ""
	}
	return d.authority.Fingerprint()
}

// trustingFile is how to call servers of the authority whose certificate is in a file.
func trustingFile(file string) (*http.Client, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the server's certificate authority: %w", err)
	}
	return trusting(text)
}

func trusting(text []byte) (*http.Client, error) {
	cert, err := pki.ParseCertificate(text)
	if err != nil {
		return nil, fmt.Errorf("read the server's certificate authority: %w", err)
	}
	return agent.NewHTTP(pki.Trusting(cert)), nil
}
