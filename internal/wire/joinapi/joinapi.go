// Package joinapi is what a machine and its server say to each other besides ECS's
// own protocol: how the machine joins, and how it comes by images that were loaded
// at the server.
//
// A machine joins by a token, which it exchanges for a key of its own. The request
// is signed with the token, which therefore does not travel; nor does the key: both
// sides derive it from an agreement (X25519), salted with the token. Who only
// listens, also where there is no TLS, learns neither.
//
// The package is words and pure functions; who carries them is elsewhere.
package joinapi

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// The paths below an endpoint. Requests are signed for Service: JoinPath with a
// token, the others with an agent's key.
const (
	Service = "gantry"
	// JoinPath takes POST of a JoinInput, and answers a JoinOutput.
	JoinPath = "/gantry/v1/agent/join"
	// SelfPath answers GET with a Self.
	SelfPath = "/gantry/v1/agent/self"
	// ImagePath answers GET with the Archive that holds the image of the parameter
	// "name", or ImageNotFound.
	ImagePath = "/gantry/v1/agent/image"
	// ArchivePath with a digest behind it answers GET with the archive's bytes.
	ArchivePath = "/gantry/v1/agent/archives/"
)

// What is refused, by the exception's name.
const (
	// TokenRefused: the token has expired, was used up, or does not fit the request.
	TokenRefused = "JoinTokenRefusedException"
	// ImageNotFound: no image of that name was loaded at the server.
	ImageNotFound = "ImageNotFoundException"
)

// A JoinInput asks for an agent's key.
type JoinInput struct {
	// Share is the agent's public half of the agreement. Asking again with the same
	// share gets the same answer.
	Share []byte `json:"share"`
	// Host is what the machine calls itself, for people to recognize it.
	Host string `json:"host"`
	// Cluster to join; "" leaves it to the token.
	Cluster string `json:"cluster,omitzero"`
	// External asks for launch type EXTERNAL, which an activation always gives.
	External bool `json:"external,omitzero"`
}

// A JoinOutput is what an agent needs to derive its key and to use it.
type JoinOutput struct {
	Share       []byte `json:"share"` // the server's public half
	AccessKeyID string `json:"accessKeyId"`
	Cluster     string `json:"cluster"`
	External    bool   `json:"external,omitzero"`
	Region      string `json:"region"`
	Account     string `json:"account"`
}

// A Self is what the server knows of the agent that asks.
type Self struct {
	// Instance is its container instance, "<cluster>/<id>"; "" until it has registered.
	Instance string `json:"instance,omitzero"`
	// Deregistered is whether that instance is INACTIVE, so that the machine can
	// join only as a new one.
	Deregistered bool `json:"deregistered,omitzero"`
}

// An Archive is a file of images, as docker save or an OCI tool writes it.
type Archive struct {
	Digest string `json:"digest"` // "sha256:" and 64 hexadecimal digits, of the file
	Size   int64  `json:"size"`   // bytes
}

// Secret derives an agent's secret key: the same on both sides, from its own
// private half, the other's share, the hash of the token, and the id of the key.
func Secret(own *ecdh.PrivateKey, share []byte, tokenHash, accessKeyID string) (string, error) {
	other, err := ecdh.X25519().NewPublicKey(share)
	if err != nil {
		return "", fmt.Errorf("the other side's share is no X25519 key: %w", err)
	}
	agreed, err := own.ECDH(other)
	if err != nil {
		return "", fmt.Errorf("the other side's share is no good: %w", err)
	}
	const length = 30 // bytes, which are the 40 characters of AWS's secret keys
	key, err := hkdf.Key(sha256.New, agreed, []byte(tokenHash), "gantry agent key "+accessKeyID, length)
	if err != nil {
		return "", fmt.Errorf("derive the agent's key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(key), nil
}

// Hash is what a server keeps of a token's secret, and what requests are signed with.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// A Token is everything a machine needs to join, but for the server's address.
type Token struct {
	ID, Secret string
	Region     string
	// Fingerprint is the SHA-256 of the certificate of the server's CA, in hex; ""
	// where the server speaks plain HTTP or has a certificate of a public CA.
	Fingerprint string
}

// tokenPrefix begins every token, so that people and scanners for secrets know one.
const tokenPrefix = "gantry1."

// String is the token in one word.
func (t Token) String() string {
	text := tokenPrefix + strings.Join([]string{t.ID, t.Secret, t.Region}, ".")
	if t.Fingerprint != "" {
		text += "." + t.Fingerprint
	}
	return text
}

// ParseToken reads what String wrote.
func ParseToken(text string) (Token, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) < 3 || len(parts) > 4 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return Token{}, errors.New(`this is no join token: "gantry token create" at the server prints one, which begins with ` + tokenPrefix)
	}
	t := Token{ID: parts[0], Secret: parts[1], Region: parts[2]}
	if len(parts) == 4 {
		fingerprint, err := ParseFingerprint(parts[3])
		if err != nil {
			return Token{}, fmt.Errorf("the join token is damaged: %w", err)
		}
		t.Fingerprint = fingerprint
	}
	return t, nil
}

// ParseFingerprint reads the SHA-256 of a certificate as gantry or openssl prints it.
func ParseFingerprint(text string) (string, error) {
	plain := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(text, "sha256:"), ":", ""))
	if sum, err := hex.DecodeString(plain); err != nil || len(sum) != sha256.Size {
		return "", fmt.Errorf("%q is not a fingerprint: 64 hexadecimal digits are expected", text)
	}
	return plain, nil
}
