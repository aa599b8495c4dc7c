package gantry

import "time"

// A Principal is an access key and what it may do.
type Principal struct {
	AccessKeyID string        `json:"accessKeyId"`
	SecretKey   string        `json:"secretKey"`
	Kind        PrincipalKind `json:"kind"`
	CreatedAt   time.Time     `json:"createdAt"`
	// Instance is the key of the only container instance that an agent's key
	// speaks for ("<cluster>/<id>"); empty until it has registered.
	Instance string `json:"instance,omitzero"`
	// Cluster is the only one that an agent's key may register in; any where empty.
	Cluster ClusterName `json:"cluster,omitzero"`
	// Joined is how an agent on another machine came by its key; nil for every other key.
	Joined *Joining `json:"joined,omitzero"`
}

// A PrincipalKind says what a principal may call.
type PrincipalKind string

const (
	// RootPrincipal may call everything.
	RootPrincipal PrincipalKind = "root"
	// AgentPrincipal may call the agent-facing operations for its own instance only.
	AgentPrincipal PrincipalKind = "agent"
	// TokenPrincipal may exchange itself for an agent's key, and do nothing else.
	TokenPrincipal PrincipalKind = "token"
)

// A Joining is the exchange of a join token for an agent's key. The two public
// shares of the key agreement are kept so that an exchange whose answer got lost
// is answered the same again.
type Joining struct {
	Token       string `json:"token"` // its id
	Host        string `json:"host"`  // what the machine calls itself
	AgentShare  []byte `json:"agentShare"`
	ServerShare []byte `json:"serverShare"`
}

// A JoinToken lets machines join: each use makes a key of its own for one agent.
// Of the secret only a hash is kept.
type JoinToken struct {
	ID string `json:"id"`
	// Hash is the SHA-256 of the secret, in hex: what requests of its holder are signed with.
	Hash string `json:"hash"`
	// Cluster is the only one it lets join; any where empty.
	Cluster ClusterName `json:"cluster,omitzero"`
	// External marks an activation: what joins by it is of launch type EXTERNAL.
	External  bool      `json:"external,omitzero"`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
	// Uses are how many machines have joined by it, of Limit that may.
	Uses  int `json:"uses"`
	Limit int `json:"limit"`
}

// Expired reports whether nobody may join by it any more because of its age.
func (t *JoinToken) Expired(now time.Time) bool { return !now.Before(t.ExpiresAt) }
