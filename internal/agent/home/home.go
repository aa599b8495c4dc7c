// Package home is what a machine keeps of the server that it belongs to: where that
// is, how it is known, and the key that the machine speaks with; and what it asks of
// the server besides ECS's own protocol: to join, and for images.
//
// It is one file, which is written before anything is asked that counts. A machine
// that was killed while it joined goes on where it was, and is counted once.
package home

import (
	"cmp"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"reflect"
	"strings"

	"gantry/internal/pki"
	"gantry/internal/wholefile"
	"gantry/internal/wire"
	"gantry/internal/wire/joinapi"
)

// A Home is a server as a machine knows it. It does not change once it was made.
type Home struct {
	Server      string `json:"server"` // "https://host:port"
	Cluster     string `json:"cluster"`
	Region      string `json:"region"`
	Account     string `json:"account"`
	External    bool   `json:"external,omitzero"`
	AccessKeyID string `json:"accessKeyId"` // "" until the machine has joined
	SecretKey   string `json:"secretKey"`
	Token       string `json:"token"` // the id of the one that it joined by
	// Authority is the certificate of the server's CA, in PEM; "" for plain HTTP, or a
	// certificate that everybody trusts.
	Authority string `json:"authority,omitzero"`
	// Machine is what its operator told of it, at whichever start.
	Machine Machine `json:"machine,omitzero"`
	// Joining is set while it joins, also anew; nil else.
	Joining *joining `json:"joining,omitzero"`
}

// A Machine is what nobody but its operator can tell of a machine, and what its server
// hears when it registers. Each is "" where he has never told it.
type Machine struct {
	Zone         string `json:"zone,omitzero"`
	InstanceType string `json:"instanceType,omitzero"`
	ImageID      string `json:"imageId,omitzero"`
	// Attributes are the custom ones, which are sent with the first registration only.
	Attributes map[string]string `json:"attributes,omitzero"`
}

// A joining is an exchange under way.
type joining struct {
	Token string `json:"token"` // its id
	Share []byte `json:"share"` // the private half of the agreement
}

// A Request is how a machine wants to join.
type Request struct {
	Server   string
	Token    joinapi.Token
	Cluster  string // "" leaves it to the token
	External bool
	Host     string // what the machine calls itself
}

// ErrNotJoined says that a machine belongs to no server yet.
var ErrNotJoined = errors.New("this machine has not joined a server yet")

// Read reads the file of a machine that has joined; or says ErrNotJoined.
func Read(file string) (*Home, error) {
	h, err := read(file)
	if err != nil {
		return nil, err
	}
	if h.AccessKeyID == "" {
		return nil, ErrNotJoined
	}
	return h, nil
}

func read(file string) (*Home, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &Home{}, nil
	}
	if err != nil {
		return nil, err
	}
	var h Home
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; remove it and join again", file, err)
	}
	return &h, nil
}

// Join exchanges a token for a key, and writes it to the file. A machine that has
// joined by a token already does not join by it again; by another one it gets a new
// key, and keeps the old one until then.
func Join(ctx context.Context, file string, want Request) (*Home, error) {
	h, err := read(file)
	if err != nil {
		return nil, err
	}
	if h.AccessKeyID != "" && h.Token == want.Token.ID {
		return h, nil
	}
	if h.Joining == nil || h.Joining.Token != want.Token.ID {
		made, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make a share: %w", err)
		}
		h.Joining = &joining{Token: want.Token.ID, Share: made.Bytes()}
		if err := h.write(file); err != nil {
			return nil, fmt.Errorf("remember the server: %w", err)
		}
	}
	own, err := ecdh.X25519().NewPrivateKey(h.Joining.Share)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; remove it and join again", file, err)
	}
	hash := joinapi.Hash(want.Token.Secret)
	asked := joinapi.JoinInput{Share: own.PublicKey().Bytes(), Host: want.Host, Cluster: want.Cluster, External: want.External}
	c := Client{Server: want.Server, Region: want.Token.Region, AccessKeyID: want.Token.ID, SecretKey: hash}
	var authority string
	if pin := want.Token.Fingerprint; pin != "" {
		transport := &http.Transport{TLSClientConfig: pki.Pinning(pin, func(cert *x509.Certificate) { authority = pki.Encode(cert) })}
		defer transport.CloseIdleConnections()
		c.HTTP = &http.Client{Transport: transport}
	}
	var got joinapi.JoinOutput
	if err := c.json(ctx, http.MethodPost, joinapi.JoinPath, asked, &got); err != nil {
		return nil, fmt.Errorf("join %s: %w%s", want.Server, err, advice(err, want.Token))
	}
	secret, err := joinapi.Secret(own, got.Share, hash, got.AccessKeyID)
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", want.Server, err)
	}
	h = &Home{
		Server: want.Server, Cluster: got.Cluster, Region: got.Region, Account: got.Account, External: got.External,
		AccessKeyID: got.AccessKeyID, SecretKey: secret, Token: want.Token.ID, Authority: authority,
		Machine: h.Machine,
	}
	if err := h.write(file); err != nil {
		return nil, fmt.Errorf("remember the server: %w", err)
	}
	return h, nil
}

// advice says what to look at where a server refuses a machine in AWS's words, or is not known; "" where they say it.
func advice(err error, t joinapi.Token) string {
	no, refused := errors.AsType[*wire.Error](err)
	_, stranger := errors.AsType[x509.UnknownAuthorityError](err)
	switch {
	case refused && no.Code == "UnrecognizedClientException":
		return " (the server knows no token " + t.ID + ": it was revoked, expired long ago, or is another server's; gantry token ls lists them there)"
	case refused && no.Code == "InvalidSignatureException" && strings.Contains(no.Message, "calculated does not match"):
		return " (the secret of token " + t.ID + " is another one: was it copied whole?)"
	case refused && no.Code == "InvalidSignatureException" && strings.HasPrefix(no.Message, "Signature"):
		return " (the clocks of this machine and the server are too far apart)"
	case stranger && t.Fingerprint == "":
		return " (gantry's own authority is known by --ca-fingerprint, which gantry activation create prints)"
	}
	return ""
}

// Move notes that the server is elsewhere now.
func (h *Home) Move(file, server string) error {
	h.Server = server
	return h.write(file)
}

// Know keeps what the operator tells of the machine now, and is that with what he told at
// earlier starts and does not repeat.
func (h *Home) Know(file string, told Machine) (Machine, error) {
	all := Machine{
		Zone:         cmp.Or(told.Zone, h.Machine.Zone),
		InstanceType: cmp.Or(told.InstanceType, h.Machine.InstanceType),
		ImageID:      cmp.Or(told.ImageID, h.Machine.ImageID),
		Attributes:   told.Attributes,
	}
	if len(told.Attributes) == 0 {
		all.Attributes = h.Machine.Attributes
	}
	if reflect.DeepEqual(all, h.Machine) {
		return all, nil
	}
	h.Machine = all
	return all, h.write(file)
}

// write replaces the file at once. Only the holder of the data dir's lock calls it.
func (h *Home) write(file string) error {
	text, err := json.MarshalIndent(h, "", "  ")
	if err != nil {
		return err
	}
	return wholefile.Write(file, append(text, '\n'), 0o600)
}

// Client speaks to the server as the machine.
func (h *Home) Client() *Client {
	return &Client{Server: h.Server, Region: h.Region, AccessKeyID: h.AccessKeyID, SecretKey: h.SecretKey}
}
