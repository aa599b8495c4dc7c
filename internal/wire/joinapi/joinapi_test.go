package joinapi

import (
	"crypto/ecdh"
	"crypto/rand"
	"strings"
	"testing"
)

func share(t *testing.T) *ecdh.PrivateKey {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestBothSidesDeriveOneKey(t *testing.T) {
	agent, server := share(t), share(t)
	secret := func(own *ecdh.PrivateKey, other []byte, token, id string) string {
		s, err := Secret(own, other, Hash(token), id)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a := secret(agent, server.PublicKey().Bytes(), "token", "AKIA1")
	if b := secret(server, agent.PublicKey().Bytes(), "token", "AKIA1"); a != b || len(a) != 40 {
		t.Errorf("the agent derives %q, the server %q", a, b)
	}
	for name, other := range map[string]string{
		"another token":   secret(agent, server.PublicKey().Bytes(), "guess", "AKIA1"),
		"another id":      secret(agent, server.PublicKey().Bytes(), "token", "AKIA2"),
		"another machine": secret(share(t), server.PublicKey().Bytes(), "token", "AKIA1"),
	} {
		if other == a {
			t.Errorf("%s derives the same key", name)
		}
	}
	if _, err := Secret(agent, make([]byte, 32), Hash("token"), "AKIA1"); err == nil {
		t.Error("a share that makes every agreement the same is taken")
	}
}

func TestTokens(t *testing.T) {
	finger := strings.Repeat("0a", 32)
	for _, want := range []Token{
		{ID: "GJT1", Secret: "s_-x", Region: "us-east-1"},
		{ID: "GJT1", Secret: "s", Region: "us-east-1", Fingerprint: finger},
	} {
		if got, err := ParseToken(" " + want.String() + "\n"); err != nil || got != want {
			t.Errorf("%s is read as %+v: %v", want, got, err)
		}
	}
	for _, bad := range []string{"", "gantry1.", "gantry1.a.b", "gantry1.a.b.c.d", "gantry2.a.b.c", "gantry1.a.b.c." + finger + ".e", "gantry1..b.c"} {
		if got, err := ParseToken(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}

func TestFingerprints(t *testing.T) {
	want := strings.Repeat("0a", 32)
	for _, text := range []string{want, "sha256:" + want, strings.TrimSuffix(strings.Repeat("0A:", 32), ":")} {
		if got, err := ParseFingerprint(text); err != nil || got != want {
			t.Errorf("%q is read as %q: %v", text, got, err)
		}
	}
	if _, err := ParseFingerprint("0a0b"); err == nil {
		t.Error("a short fingerprint is taken")
	}
}
