package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"
)

// Keys of the agent's own values in its journal.
const (
	keyInstance    = "containerInstanceArn"
	keyCluster     = "cluster"
	keyClientToken = "clientToken"
	keyTimeline    = "timeline"
)

// registerFor is how long the genuine agent keeps trying to register.
const registerFor = time.Hour

// An Instance is what registration made of this machine.
type Instance struct {
	ARN     string
	Cluster string // as configured
	Zone    string
}

func itoa(p uint16) string { return strconv.Itoa(int(p)) }

// register makes this machine a container instance, or again the one that it was. What the control plane may get over
// is tried again for an hour; every other answer is final.
func (a *Agent) register(ctx context.Context) (Instance, error) {
	pauses := registerBackoff()
	deadline := time.Now().Add(registerFor)
	for {
		instance, err := a.registerOnce(ctx)
		if err == nil || ctx.Err() != nil || !mayPass(err) || time.Now().After(deadline) {
			return instance, err
		}
		pause := pauses.next()
		a.log.Warn("the instance could not be registered; trying again", "err", err, "in", pause)
		if err := sleep(ctx, pause); err != nil {
			return Instance{}, err
		}
	}
}

// mayPass reports whether an error of registration may go away by itself.
func mayPass(err error) bool {
	var e *wire.Error
	if !errors.As(err, &e) {
		return true // the network
	}
	switch e.Code {
	case "ThrottlingException", "ServerException", "LimitExceededException", "":
		return true
	}
	return e.Status >= http.StatusInternalServerError
}

func (a *Agent) registerOnce(ctx context.Context) (Instance, error) {
	arn, err := a.journal.Recall(keyInstance)
	if err != nil {
		return Instance{}, err
	}
	cluster, err := a.journal.Recall(keyCluster)
	if err != nil {
		return Instance{}, err
	}
	if arn != "" && cluster != a.cfg.Cluster {
		return Instance{}, fmt.Errorf("register the instance: its folder %s belongs to cluster %s, and %s is configured: use another folder for another cluster",
			a.cfg.DataDir, cluster, a.cfg.Cluster)
	}
	token, err := a.clientToken(ctx)
	if err != nil {
		return Instance{}, err
	}
	document, err := a.cfg.document()
	if err != nil {
		return Instance{}, err
	}
	in := &ecsapi.RegisterContainerInstanceInput{
		Attributes: attributes(a.cfg, arn == ""), ClientToken: &token, Cluster: &a.cfg.Cluster,
		InstanceIdentityDocument: &document, InstanceIdentityDocumentSignature: new(""),
		TotalResources: resources(a.cfg), VersionInfo: a.cfg.versionInfo(),
	}
	for _, id := range a.cfg.GPUs {
		in.PlatformDevices = append(in.PlatformDevices, ecsapi.PlatformDevice{Id: &id, Type: "GPU"})
	}
	if arn == "" {
		for _, key := range slices.Sorted(maps.Keys(a.cfg.Tags)) {
			in.Tags = append(in.Tags, ecsapi.Tag{Key: &key, Value: new(a.cfg.Tags[key])})
		}
	} else {
		in.ContainerInstanceArn = &arn
	}
	var out ecsapi.RegisterContainerInstanceOutput
	if err := a.ecs.call(ctx, "RegisterContainerInstance", in, &out); err != nil {
		return Instance{}, fmt.Errorf("register the instance: %w", err)
	}
	return a.registered(ctx, in, &out)
}

// registered checks that the control plane took every attribute, as the genuine agent does, and remembers who we are.
func (a *Agent) registered(ctx context.Context, in *ecsapi.RegisterContainerInstanceInput, out *ecsapi.RegisterContainerInstanceOutput) (Instance, error) {
	got := out.ContainerInstance
	if got == nil || wire.Value(got.ContainerInstanceArn) == "" {
		return Instance{}, errors.New("register the instance: the answer names no container instance")
	}
	values := map[string]string{}
	for _, attribute := range got.Attributes {
		values[wire.Value(attribute.Name)] = wire.Value(attribute.Value)
	}
	for _, attribute := range in.Attributes {
		name := wire.Value(attribute.Name)
		if value, ok := values[name]; !ok || value != wire.Value(attribute.Value) {
			return Instance{}, fmt.Errorf("register the instance: attribute validation failed: %s came back as %q", name, value)
		}
	}
	instance := Instance{ARN: *got.ContainerInstanceArn, Cluster: a.cfg.Cluster, Zone: values["ecs.availability-zone"]}
	if err := a.journal.Remember(ctx, keyCluster, a.cfg.Cluster); err != nil {
		return Instance{}, err
	}
	if err := a.journal.Remember(ctx, keyInstance, instance.ARN); err != nil {
		return Instance{}, err
	}
	return instance, nil
}

// clientToken makes registration idempotent: it is on disk before the first try, so that a registration whose answer
// was lost is not made twice.
func (a *Agent) clientToken(ctx context.Context) (string, error) {
	token, err := a.journal.Recall(keyClientToken)
	if err != nil || token != "" {
		return token, err
	}
	token = newID()
	return token, a.journal.Remember(ctx, keyClientToken, token)
}
