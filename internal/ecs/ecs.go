// Package ecs answers the Amazon ECS API: it is what CreateCluster, RunTask,
// DescribeTasks and the other operations do.
//
// There is a file per noun. An operation reads its request, checks what ECS would
// check, makes one transaction on the store, and answers in ECS's own words. It
// waits for nothing else: what has to happen then is done by those who watch the
// store, and what agents tell comes back through the Submit operations here.
//
// A batch describe answers what it does not know as a failure with reason
// MISSING; everything else that is refused is an AWS exception. What gantry
// cannot honour yet is refused with a sentence, never accepted and left out. What
// a request's form can tell (required members, enumerations, lengths, counts) was
// checked by package ecsapi before an operation is called.
//
// The package starts no goroutine, and it never speaks to an agent.
package ecs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/google/uuid"

	"gantry"
	"gantry/internal/ledger"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// Config is what a Service needs of the world.
type Config struct {
	Place  gantry.Place
	Store  *store.Store
	Ledger *ledger.Ledger

	// Health is what agents tell of their instances; nil where nobody listens to them.
	Health InstanceHealth

	// Endpoints are what DiscoverPollEndpoint tells the agent that asks. Agents keep
	// them for twelve hours: they have to be stable names.
	Endpoints func(context.Context) Endpoints
	// Zone is the availability zone of container instances that name none.
	Zone string

	// Now is the clock, time.Now where nil.
	Now func() time.Time
	// NewID makes the ids of tasks and container instances, 32 hexadecimal digits:
	// random ones where nil.
	NewID func() string
	// NewUUID makes the ids of containers: random ones where nil.
	NewUUID func() string
	// NewRevision makes the 19 digits of service revisions, and NewDeployment the 21
	// letters and digits of service deployments: random ones where nil.
	NewRevision   func() gantry.RevisionID
	NewDeployment func() gantry.DeploymentID
	// NewSeed feeds the random placement strategy: random where nil.
	NewSeed func() uint64
}

// InstanceHealth is what agents find out about their container instances.
type InstanceHealth interface {
	// InstanceHealth is what the agent of an instance, named by its key, last said;
	// nil while it is silent.
	InstanceHealth(instance string) []ecsapi.InstanceHealthCheckResult
}

// Endpoints are where agents find the doors that are websockets.
type Endpoints struct {
	ACS string // "http://host:port/acs/"
	TCS string // "http://host:port/tcs/"
}

// A Service answers the ECS API. It is safe for concurrent use.
type Service struct {
	cfg     Config
	store   *store.Store
	answers answers
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.NewID == nil {
		cfg.NewID = randomID
	}
	if cfg.NewUUID == nil {
		cfg.NewUUID = uuid.NewString
	}
	if cfg.NewRevision == nil {
		cfg.NewRevision = randomRevision
	}
	if cfg.NewDeployment == nil {
		cfg.NewDeployment = randomDeployment
	}
	if cfg.NewSeed == nil {
		cfg.NewSeed = randomSeed
	}
	return &Service{cfg: cfg, store: cfg.Store}
}

// Operations are those that gantry offers; a nil one is not offered yet.
func (s *Service) Operations() *ecsapi.Operations {
	return &ecsapi.Operations{
		CreateCluster:         s.createCluster,
		DeleteCluster:         s.deleteCluster,
		DescribeClusters:      s.describeClusters,
		ListClusters:          s.listClusters,
		UpdateCluster:         s.updateCluster,
		UpdateClusterSettings: s.updateClusterSettings,

		CreateCapacityProvider:      s.createCapacityProvider,
		DeleteCapacityProvider:      s.deleteCapacityProvider,
		DescribeCapacityProviders:   s.describeCapacityProviders,
		UpdateCapacityProvider:      s.updateCapacityProvider,
		PutClusterCapacityProviders: s.putClusterCapacityProviders,

		RegisterTaskDefinition:     s.registerTaskDefinition,
		DeregisterTaskDefinition:   s.deregisterTaskDefinition,
		DeleteTaskDefinitions:      s.deleteTaskDefinitions,
		DescribeTaskDefinition:     s.describeTaskDefinition,
		ListTaskDefinitions:        s.listTaskDefinitions,
		ListTaskDefinitionFamilies: s.listTaskDefinitionFamilies,

		RunTask:       s.runTask,
		StartTask:     s.startTask,
		StopTask:      s.stopTask,
		DescribeTasks: s.describeTasks,
		ListTasks:     s.listTasks,

		CreateService:    s.createService,
		UpdateService:    s.updateService,
		DeleteService:    s.deleteService,
		DescribeServices: s.describeServices,
		ListServices:     s.listServices,

		GetTaskProtection:          s.getTaskProtection,
		UpdateTaskProtection:       s.updateTaskProtection,
		ListServicesByNamespace:    s.listServicesByNamespace,
		ListServiceDeployments:     s.listServiceDeployments,
		DescribeServiceDeployments: s.describeServiceDeployments,
		DescribeServiceRevisions:   s.describeServiceRevisions,
		StopServiceDeployment:      s.stopServiceDeployment,
		ContinueServiceDeployment:  s.continueServiceDeployment,

		CreateTaskSet:               s.createTaskSet,
		UpdateTaskSet:               s.updateTaskSet,
		DeleteTaskSet:               s.deleteTaskSet,
		DescribeTaskSets:            s.describeTaskSets,
		UpdateServicePrimaryTaskSet: s.updateServicePrimaryTaskSet,

		RegisterContainerInstance:     s.registerContainerInstance,
		DeregisterContainerInstance:   s.deregisterContainerInstance,
		DescribeContainerInstances:    s.describeContainerInstances,
		ListContainerInstances:        s.listContainerInstances,
		UpdateContainerInstancesState: s.updateContainerInstancesState,
		UpdateContainerAgent:          s.updateContainerAgent,

		PutAttributes:    s.putAttributes,
		DeleteAttributes: s.deleteAttributes,
		ListAttributes:   s.listAttributes,

		TagResource:         s.tagResource,
		UntagResource:       s.untagResource,
		ListTagsForResource: s.listTagsForResource,

		PutAccountSetting:        s.putAccountSetting,
		PutAccountSettingDefault: s.putAccountSettingDefault,
		DeleteAccountSetting:     s.deleteAccountSetting,
		ListAccountSettings:      s.listAccountSettings,

		DiscoverPollEndpoint:         s.discoverPollEndpoint,
		SubmitTaskStateChange:        s.submitTaskStateChange,
		SubmitContainerStateChange:   s.submitContainerStateChange,
		SubmitAttachmentStateChanges: s.submitAttachmentStateChanges,
	}
}

// cluster finds the cluster that a request means, which has to be ACTIVE.
func (s *Service) cluster(r store.Reader, ref *string) (*gantry.Cluster, error) {
	name, err := s.clusterName(ref)
	if err != nil {
		return nil, err
	}
	return activeCluster(r, name)
}

// freshCluster is the cluster that a request means, in the state that fresh gives.
func (s *Service) freshCluster(ctx context.Context, ref *string) (*store.Snapshot, *gantry.Cluster, error) {
	snap, err := s.fresh(ctx)
	if err != nil {
		return nil, nil, err
	}
	c, err := s.cluster(snap, ref)
	return snap, c, err
}

// clusterInactive is what ECS says of a cluster that was deleted, as long as it knows of it.
const clusterInactive = "The referenced cluster was inactive."

func activeCluster(r store.Reader, name gantry.ClusterName) (*gantry.Cluster, error) {
	c, ok := store.Clusters.Get(r, string(name))
	if !ok {
		return nil, ecsapi.NewClusterNotFoundException("Cluster not found.")
	}
	if c.Status != gantry.Active {
		return nil, ecsapi.NewClusterNotFoundException(clusterInactive)
	}
	return c, nil
}

// now is the time as records keep it: in milliseconds, which the wire carries.
func (s *Service) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Millisecond) }

// fresh is the state with everything that any server has acknowledged so far.
func (s *Service) fresh(ctx context.Context) (*store.Snapshot, error) { return s.store.Fresh(ctx) }

func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func randomSeed() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}
