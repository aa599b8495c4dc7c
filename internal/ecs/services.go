package ecs

import (
	"crypto/rand"
	"math/big"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// serviceName reads a reference to a service of a cluster: its name, or its ARN with
// or without the cluster's name.
func (s *Service) serviceName(cluster gantry.ClusterName, ref string) (gantry.ServiceName, error) {
	name, err := s.inCluster(cluster, ref, "service")
	return gantry.ServiceName(name), err
}

// service finds the service that a request means, whatever its status.
func (s *Service) service(r store.Reader, cluster gantry.ClusterName, ref string) (*gantry.Service, error) {
	name, err := s.serviceName(cluster, ref)
	if err != nil {
		return nil, err
	}
	found, ok := store.Services.Get(r, string(cluster)+"/"+string(name))
	if !ok {
		return nil, serviceNotFound()
	}
	return found, nil
}

func serviceNotFound() error { return ecsapi.NewServiceNotFoundException("Service not found.") }

// activeService is a service that can still be changed.
func (s *Service) activeService(r store.Reader, cluster gantry.ClusterName, ref string) (*gantry.Service, error) {
	found, err := s.service(r, cluster, ref)
	if err != nil {
		return nil, err
	}
	return found, checkActive(found)
}

func checkActive(sv *gantry.Service) error {
	if sv.Status != gantry.ServiceActive {
		return ecsapi.NewServiceNotActiveException("Service was not ACTIVE.")
	}
	return nil
}

// newestDeployment is the service's own, the one that starts its tasks.
func newestDeployment(r store.Reader, sv *gantry.Service) *gantry.Deployment {
	d, _ := store.Deployments.Get(r, sv.Key()+"/"+string(sv.Deployment))
	return d
}

// serviceRevision finds what the tasks of a revision are made from.
func serviceRevision(r store.Reader, sv *gantry.Service, id gantry.RevisionID) *gantry.ServiceRevision {
	found, _ := store.ServiceRevisions.Get(r, sv.Key()+"/"+string(id))
	return found
}

// randomRevision makes the 19 digits of a service revision.
func randomRevision() gantry.RevisionID {
	least := big.NewInt(1_000_000_000_000_000_000)
	n, err := rand.Int(rand.Reader, big.NewInt(8_000_000_000_000_000_000))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return gantry.RevisionID(n.Add(n, least).String())
}

// randomDeployment makes the 21 letters and digits that end a service deployment's ARN.
func randomDeployment() gantry.DeploymentID {
	const length, alphabet = 21, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	id := make([]byte, length)
	for i := range id {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			panic(err) // crypto/rand never fails
		}
		id[i] = alphabet[n.Int64()]
	}
	return gantry.DeploymentID(id)
}
