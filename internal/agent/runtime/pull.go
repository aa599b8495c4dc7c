package runtime

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// How long a pull may take, as the ECS agent has it.
const (
	// DefaultPullTimeout bounds a whole pull.
	DefaultPullTimeout = 2 * time.Hour
	// DefaultPullInactivity ends a pull that receives nothing for so long.
	DefaultPullInactivity = time.Minute
	// connectTimeout is Docker's for reaching a registry.
	connectTimeout = 30 * time.Second
)

// ErrPullInactive is wrapped when a registry stopped sending.
var ErrPullInactive = errors.New("the registry sent nothing for too long")

// A PullBehavior says when a registry is asked, as ECS_IMAGE_PULL_BEHAVIOR does.
type PullBehavior string

const (
	// PullDefault asks the registry, and takes the image on this host if that fails.
	PullDefault PullBehavior = "default"
	// PullAlways asks the registry, and fails if that fails.
	PullAlways PullBehavior = "always"
	// PullOnce asks the registry if the image was never pulled here, or was collected since.
	PullOnce PullBehavior = "once"
	// PullPreferCached takes the image on this host if there is one.
	PullPreferCached PullBehavior = "prefer-cached"
)

// RegistryAuth is a name and password for a registry. The zero value is none.
type RegistryAuth struct {
	Username, Password string
}

// Progress is how far a pull is, in bytes. Total grows as more becomes known
// of the image, and leaves out what is here already.
type Progress struct {
	Received, Total int64
}

// progressInterval is how often a pull tells of its progress at most.
const progressInterval = 200 * time.Millisecond

// Pull brings an image to this host, unpacked, if the behaviour asks for it. An
// image that Load brought in and whose name gives no registry is taken as it
// is, without a network. The progress function may be nil; it is called by one
// goroutine, not after Pull has returned.
func (r *Runtime) Pull(ctx context.Context, ref string, auth RegistryAuth, behavior PullBehavior, progress func(Progress)) (Image, error) {
	image, err := r.pull(r.in(ctx), ref, auth, behavior, progress)
	if err != nil {
		return Image{}, failed(CannotPull, err, "pull image %s", ref)
	}
	return image, nil
}

func (r *Runtime) pull(ctx context.Context, ref string, auth RegistryAuth, behavior PullBehavior, progress func(Progress)) (Image, error) {
	named, err := normalize(ref)
	if err != nil {
		return Image{}, err
	}
	unlock, err := r.pulls.lock(ctx, named.String())
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	local, err := r.imageRecord(ctx, ref)
	have := err == nil
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Image{}, err
	}
	_, exact := named.(reference.Digested)
	final := have && (exact || local.Labels[labelLoaded] != "" && !namesRegistry(ref))
	ask, fallBack, err := pullPlan(behavior, have, final)
	if err != nil {
		return Image{}, err
	}
	if !ask {
		return r.take(ctx, local)
	}
	if !have && behavior != PullAlways {
		if err := r.moved(ctx, ref); err != nil {
			return Image{}, err
		}
	}
	pulled, err := r.fetch(ctx, named, auth, progress)
	if err != nil {
		if fallBack && ctx.Err() == nil {
			r.log.Warn("pulling failed, the image on this host is used", "image", ref, "error", err)
			return r.take(ctx, local)
		}
		return Image{}, pullError(named, err)
	}
	return r.describeImage(ctx, pulled)
}

// take takes the image on this host. One that was loaded is kept by its digest from now
// on: no registry has it when its tag is loaded anew.
func (r *Runtime) take(ctx context.Context, local images.Image) (Image, error) {
	if local.Labels[labelLoaded] != "" && local.Labels[labelKept] == "" {
		if _, err := r.keep(ctx, local); err != nil {
			return Image{}, err
		}
	}
	return r.describeImage(ctx, local)
}

// pullPlan decides whether to ask the registry and whether the image on this
// host will do if that fails. Final is whether a registry could not say otherwise: the
// image is here by its digest, or no registry has it. It is pure.
func pullPlan(behavior PullBehavior, have, final bool) (ask, fallBack bool, err error) {
	switch behavior {
	case PullDefault, "":
		return !final, have, nil
	case PullAlways:
		return true, false, nil
	case PullOnce, PullPreferCached:
		return !have, false, nil
	}
	return false, false, fmt.Errorf("image pull behavior %q is not one of default, always, once, prefer-cached", behavior)
}

// namesRegistry is whether a reference as the user wrote it says which registry.
func namesRegistry(ref string) bool {
	first, _, found := strings.Cut(ref, "/")
	return found && (strings.ContainsAny(first, ".:") || first == "localhost")
}

func (r *Runtime) fetch(ctx context.Context, named reference.Named, auth RegistryAuth, progress func(Progress)) (images.Image, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.config.PullTimeout,
		fmt.Errorf("the pull took longer than %v", r.config.PullTimeout))
	defer cancel()
	transport := &patientTransport{patience: r.config.PullInactivity, base: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout: connectTimeout,
		MaxIdleConnsPerHost: 4, // layers are fetched a few at a time
		ForceAttemptHTTP2:   true,
	}}
	defer transport.base.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	authorizer := docker.NewDockerAuthorizer(docker.WithAuthClient(client), docker.WithAuthCreds(func(string) (string, string, error) {
		return auth.Username, auth.Password, nil
	}))
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
		docker.WithClient(client), docker.WithAuthorizer(authorizer), docker.WithPlainHTTP(docker.MatchLocalhost))})

	var total atomic.Int64
	count := func(next images.Handler) images.Handler {
		return images.HandlerFunc(func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			if _, err := r.client.ContentStore().Info(ctx, d.Digest); errdefs.IsNotFound(err) {
				total.Add(d.Size)
			}
			return next.Handle(ctx, d)
		})
	}
	stop := report(progress, func() Progress { return Progress{Received: transport.received.Load(), Total: total.Load()} })
	defer stop()
	pulled, err := r.client.Pull(ctx, named.String(), containerd.WithResolver(resolver), containerd.WithPullUnpack,
		containerd.WithPullSnapshotter(snapshotter), containerd.WithImageHandlerWrapper(count))
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return images.Image{}, err
	}
	record := pulled.Metadata()
	if record.Labels[labelLoaded] != "" {
		delete(record.Labels, labelLoaded)
		delete(record.Labels, labelArchive)
		delete(record.Labels, labelKept)
		if err := r.saveImage(ctx, record); err != nil {
			return images.Image{}, err
		}
	}
	return record, nil
}

// report tells of the progress now and then, and once at the end.
func report(tell func(Progress), read func() Progress) (stop func()) {
	if tell == nil {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				tell(read())
			case <-quit:
				tell(read())
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

// pullError says in Docker's words, which ECS passes on, why a pull failed.
func pullError(named reference.Named, err error) error {
	name, status := reference.FamiliarString(named), 0
	var answer remoteerrors.ErrUnexpectedStatus
	if errors.As(err, &answer) {
		status = answer.StatusCode
	}
	var message string
	switch {
	case errors.Is(err, ErrPullInactive), errors.Is(err, context.Canceled):
		message = err.Error()
	case status == http.StatusUnauthorized, status == http.StatusForbidden, errors.Is(err, docker.ErrInvalidAuthorization),
		strings.Contains(err.Error(), "insufficient_scope"):
		message = fmt.Sprintf("pull access denied for %s, repository does not exist or may require 'docker login': denied: %s", reference.FamiliarName(named), err)
	case errdefs.IsNotFound(err), status == http.StatusNotFound:
		message = fmt.Sprintf("manifest for %s not found: manifest unknown: %s", name, err)
	case status == http.StatusTooManyRequests:
		message = fmt.Sprintf("toomanyrequests: too many requests to registry %s: %s", reference.Domain(named), err)
	default:
		message = err.Error()
	}
	return &plainError{message, err}
}
