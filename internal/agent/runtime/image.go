package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An Image is an image on this host.
type Image struct {
	// Ref is its full name, such as "docker.io/library/nginx:1".
	Ref string
	// Digest is of the manifest for this machine or the index that holds it,
	// as a registry names it: what ECS reports as imageDigest.
	Digest string
	// ID is of its configuration, "sha256:…": what Docker calls the image id.
	ID string
	// SizeBytes is of its compressed layers.
	SizeBytes int64
	// Loaded is whether it came by Load, not from a registry.
	Loaded bool
	// Archive is the digest that LoadArchive was given; "" for every other image.
	Archive string
	// Config is what the image says about running it.
	Config ocispec.ImageConfig
}

// labelLoaded marks an image record that Load made.
const labelLoaded = "gantry/loaded"

// labelArchive holds the digest of the archive that LoadArchive was given.
const labelArchive = "gantry/archive"

// normalize completes a name as Docker does: "nginx" is
// "docker.io/library/nginx:latest".
func normalize(ref string) (reference.Named, error) {
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return nil, fmt.Errorf("invalid reference format: %q", ref)
	}
	return named, nil
}

// FullName completes a name as a container definition gives it: "nginx" is
// "docker.io/library/nginx:latest".
func FullName(ref string) (string, error) {
	named, err := normalize(ref)
	if err != nil {
		return "", err
	}
	return named.String(), nil
}

// Image finds an image on this host by the name a container definition would
// give; it never asks a registry.
func (r *Runtime) Image(ctx context.Context, ref string) (Image, error) {
	ctx = r.in(ctx)
	record, err := r.imageRecord(ctx, ref)
	if err != nil {
		return Image{}, failed(CannotInspect, err, "find image %s", ref)
	}
	image, err := r.describeImage(ctx, record)
	if err != nil {
		return Image{}, failed(CannotInspect, err, "read image %s", ref)
	}
	return image, nil
}

// Images lists the images on this host, by name.
func (r *Runtime) Images(ctx context.Context) ([]Image, error) {
	ctx = r.in(ctx)
	records, err := r.client.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	list := make([]Image, 0, len(records))
	for _, record := range records {
		if record.Labels[labelKept] != "" && slices.ContainsFunc(records, func(o images.Image) bool { return o.Labels[labelKept] == "" && sameImage(o, record) }) {
			continue // it is there by its tag
		}
		image, err := r.describeImage(ctx, record)
		if err != nil {
			return nil, fmt.Errorf("read image %s: %w", record.Name, err)
		}
		list = append(list, image)
	}
	return list, nil
}

// RemoveImage removes an image, and the layers that nothing else uses.
// Containers made from it keep what they need.
func (r *Runtime) RemoveImage(ctx context.Context, ref string) error {
	ctx = r.in(ctx)
	named, err := normalize(ref)
	if err != nil {
		return fmt.Errorf("remove image: %w", err)
	}
	if record, err := r.client.ImageService().Get(ctx, named.String()); err == nil {
		if err := r.forgetKept(ctx, record); err != nil {
			return fmt.Errorf("remove image %s: %w", ref, err)
		}
	}
	return r.removeRecord(ctx, named.String())
}

func (r *Runtime) removeRecord(ctx context.Context, name string) error {
	err := r.client.ImageService().Delete(ctx, name, images.SynchronousDelete())
	if errdefs.IsNotFound(err) {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("remove image %s: %w", name, err)
	}
	return nil
}

func (r *Runtime) imageRecord(ctx context.Context, ref string) (images.Image, error) {
	named, err := normalize(ref)
	if err != nil {
		return images.Image{}, err
	}
	record, err := r.client.ImageService().Get(ctx, named.String())
	if errdefs.IsNotFound(err) {
		record, err = r.byDigest(ctx, named)
	}
	if errdefs.IsNotFound(err) {
		return images.Image{}, fmt.Errorf("no such image: %s: %w", ref, ErrNotFound)
	}
	return record, err
}

// saveImage makes an image record, or replaces the one of its name.
func (r *Runtime) saveImage(ctx context.Context, record images.Image) error {
	_, err := r.client.ImageService().Create(ctx, record)
	if errdefs.IsAlreadyExists(err) {
		_, err = r.client.ImageService().Update(ctx, record)
	}
	return err
}

func (r *Runtime) describeImage(ctx context.Context, record images.Image) (Image, error) {
	info, err := r.imageInfo(ctx, record.Target)
	if err != nil {
		return Image{}, err
	}
	return Image{
		Ref:       record.Name,
		Digest:    record.Target.Digest.String(),
		ID:        info.id.String(),
		SizeBytes: info.size,
		Loaded:    record.Labels[labelLoaded] != "",
		Archive:   record.Labels[labelArchive],
		Config:    info.config,
	}, nil
}

// An imageInfo is what making a container needs of an image. It never changes.
type imageInfo struct {
	id     digest.Digest // of the configuration
	chain  string        // name of the topmost layer's snapshot
	size   int64
	config ocispec.ImageConfig

	accounts sync.Mutex // guards the reading of users
	users    *accounts  // nil until asked for
}

// imageInfo reads what a digest stands for; the second time it comes from memory.
func (r *Runtime) imageInfo(ctx context.Context, target ocispec.Descriptor) (*imageInfo, error) {
	if known, ok := r.images.Load(target.Digest); ok {
		return known.(*imageInfo), nil
	}
	store := r.client.ContentStore()
	manifest, err := images.Manifest(ctx, store, target, platforms.Default())
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("it has no manifest for %s, or part of it is missing: %w", platforms.DefaultString(), err)
	}
	if err != nil {
		return nil, err
	}
	text, err := content.ReadBlob(ctx, store, manifest.Config)
	if err != nil {
		return nil, err
	}
	var image ocispec.Image
	if err := json.Unmarshal(text, &image); err != nil {
		return nil, fmt.Errorf("image configuration %s: %w", manifest.Config.Digest, err)
	}
	info := &imageInfo{
		id:     manifest.Config.Digest,
		chain:  identity.ChainID(image.RootFS.DiffIDs).String(),
		config: image.Config,
	}
	for _, layer := range manifest.Layers {
		info.size += layer.Size
	}
	known, _ := r.images.LoadOrStore(target.Digest, info)
	return known.(*imageInfo), nil
}

// declaredVolumes are the paths that the image says hold data, sorted.
func (i *imageInfo) declaredVolumes() []string {
	return slices.Sorted(maps.Keys(i.config.Volumes))
}
