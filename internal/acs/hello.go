package acs

import (
	"net/http"
	"strconv"
	"strings"

	"gantry"
	"gantry/internal/api"
	"gantry/internal/store"
)

// A hello is what an agent says of itself when it connects.
type hello struct {
	key           string // of the instance
	cluster       gantry.ClusterName
	instance      gantry.InstanceID
	agentVersion  string
	agentHash     string
	dockerVersion string
	// started is true on an agent's first connection after its start.
	started bool
	// acksHeartbeats: the agent speaks protocol version 2 or later, so that its
	// silence means something.
	acksHeartbeats bool
}

// A refusal is an exception that ends a handshake. After InactiveInstanceException
// an agent tries again in an hour, after the others with a growing pause.
type refusal struct {
	status             int
	exception, message string
}

// greet reads a handshake and decides whether the agent may come in.
func (s *Server) greet(r *http.Request) (hello, *refusal) {
	q := r.URL.Query()
	refuse := func(status int, exception, message string) (hello, *refusal) {
		return hello{}, &refusal{status, exception, message}
	}
	ref := q.Get("containerInstanceArn")
	arn, err := gantry.ParseARN(ref)
	if err != nil || arn.Type != "container-instance" || !strings.Contains(arn.Path, "/") {
		return refuse(http.StatusBadRequest, "InvalidInstanceException", "containerInstanceArn is not the ARN of a container instance: "+ref)
	}
	cluster, id, _ := strings.Cut(arn.Path, "/")
	h := hello{
		key: arn.Path, cluster: gantry.ClusterName(cluster), instance: gantry.InstanceID(id),
		agentVersion: q.Get("agentVersion"), agentHash: q.Get("agentHash"),
		dockerVersion: q.Get("dockerVersion"), started: q.Get("sendCredentials") == "true",
	}
	if version, err := strconv.Atoi(q.Get("protocolVersion")); err == nil {
		h.acksHeartbeats = version >= 2
	}
	if named := q.Get("clusterArn"); named != "" && named != cluster && named != string(s.Place.Cluster(h.cluster)) {
		return refuse(http.StatusBadRequest, "InvalidClusterException", "The container instance is not registered in cluster "+named+".")
	}
	if p := api.Principal(r.Context()); p == nil || p.Kind != gantry.RootPrincipal && p.Instance != h.key {
		return refuse(http.StatusForbidden, "AccessDeniedException", "This access key does not speak for "+ref+".")
	}
	snap, err := s.Store.Fresh(r.Context())
	if err != nil {
		return refuse(http.StatusInternalServerError, "ServerException", "The store cannot be read; connect again.")
	}
	instance, ok := store.Instances.Get(snap, h.key)
	switch {
	case !ok:
		return refuse(http.StatusBadRequest, "InvalidInstanceException", "Nobody has registered "+ref+".")
	case instance.Status == gantry.InstanceInactive:
		return refuse(http.StatusBadRequest, "InactiveInstanceException", "The container instance was deregistered: "+ref)
	}
	return h, nil
}
