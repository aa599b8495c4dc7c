package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wholefile"

	"github.com/aws/smithy-go/aws-http-auth/credentials"
)

// profile is the name under which DIR/credentials and DIR/config offer gantry.
const profile = "gantry"

// newPrincipal makes a key pair as AWS makes them.
func newPrincipal(kind gantry.PrincipalKind, now time.Time) *gantry.Principal {
	var id [10]byte
	var secret [30]byte
	rand.Read(id[:])
	rand.Read(secret[:])
	return &gantry.Principal{
		AccessKeyID: "AKIA" + base32.StdEncoding.EncodeToString(id[:]),
		SecretKey:   base64.StdEncoding.EncodeToString(secret[:]),
		Kind:        kind,
		CreatedAt:   now.UTC().Truncate(time.Millisecond),
	}
}

// rootKey returns the account's own key, made on first start.
func rootKey(ctx context.Context, st *store.Store, now time.Time) (*gantry.Principal, error) {
	made := newPrincipal(gantry.RootPrincipal, now)
	var key *gantry.Principal
	_, err := st.Update(ctx, func(tx *store.Tx) error {
		for p := range store.Principals.All(tx, "") {
			if p.Kind == gantry.RootPrincipal {
				key = p
				return nil
			}
		}
		key = made
		store.Principals.Put(tx, made)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("make the root key: %w", err)
	}
	return key, nil
}

// agentKey returns the key with which the built-in agent speaks for this machine
// in one cluster: the one that the agent's folder holds and the store knows, or a new one.
func agentKey(ctx context.Context, st *store.Store, file string, now time.Time) (*gantry.Principal, error) {
	if have, err := readCredentials(file); err == nil {
		if p, ok := store.Principals.Get(st.View(), have.AccessKeyID); ok && p.SecretKey == have.SecretAccessKey {
			return p, nil
		}
	}
	made := newPrincipal(gantry.AgentPrincipal, now)
	_, err := st.Update(ctx, func(tx *store.Tx) error {
		store.Principals.Put(tx, made)
		return nil
	})
	if err == nil {
		err = writeCredentials(file, made)
	}
	if err != nil {
		return nil, fmt.Errorf("make the agent's key: %w", err)
	}
	return made, nil
}

// writeCredentials writes an AWS shared credentials file.
func writeCredentials(file string, p *gantry.Principal) error {
	return wholefile.Write(file, fmt.Appendf(nil, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
		profile, p.AccessKeyID, p.SecretKey), 0o600)
}

// writeConfig writes an AWS shared config file. Bundle is the file with the CA's certificate; "" for none.
func writeConfig(file string, region gantry.Region, endpoint, bundle string) error {
	text := fmt.Appendf(nil, "[profile %s]\nregion = %s\nendpoint_url = %s\n", profile, region, endpoint)
	if bundle != "" {
		text = fmt.Appendf(text, "ca_bundle = %s\n", bundle)
	}
	return wholefile.Write(file, text, 0o644)
}

// bundleOf is the file with the certificate that clients of an endpoint have to trust;
// "" where it speaks plain HTTP.
func bundleOf(d dataDir, endpoint string) string {
	if !strings.HasPrefix(endpoint, "https://") {
		return ""
	}
	return d.file(tlsFolder, "ca.crt")
}

// readCredentials reads what writeCredentials wrote.
func readCredentials(file string) (credentials.Credentials, error) {
	var c credentials.Credentials
	f, err := os.Open(file)
	if err != nil {
		return c, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "=")
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			c.AccessKeyID = strings.TrimSpace(value)
		case "aws_secret_access_key":
			c.SecretAccessKey = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return c, err
	}
	if c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return c, errors.New(file + " holds no key")
	}
	return c, nil
}
