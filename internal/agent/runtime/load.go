package runtime

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
)

// Load brings in every image of a tar made by "docker save", or of an OCI
// archive, and unpacks it. An image that says no name cannot be asked for by
// one, so an archive without names is an error. Images of the same name are
// replaced; containers made from the old ones keep what they need.
func (r *Runtime) Load(ctx context.Context, archive io.Reader) ([]Image, error) {
	return r.load(ctx, archive, map[string]string{labelLoaded: "true"})
}

// LoadArchive is Load of an archive that can be had again, by its digest: its images
// are collected like those of a registry.
func (r *Runtime) LoadArchive(ctx context.Context, archive io.Reader, digest string) ([]Image, error) {
	return r.load(ctx, archive, map[string]string{labelLoaded: "true", labelArchive: digest})
}

func (r *Runtime) load(ctx context.Context, archive io.Reader, labels map[string]string) ([]Image, error) {
	ctx = r.in(ctx)
	// The lease keeps what is half there from being collected.
	ctx, done, err := r.client.WithLease(ctx)
	if err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	defer done(ctx)
	records, err := r.client.Import(ctx, archive,
		containerd.WithImageRefTranslator(fullNamesOnly),
		containerd.WithImageLabels(labels))
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("load image: it is no whole archive of images, as docker save or an OCI tool writes it: %w", err)
	}
	if errors.Is(err, images.ErrEmptyWalk) {
		return nil, fmt.Errorf("load image: the archive has none for %s, which is what this machine runs", platforms.DefaultString())
	}
	if err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	if len(records) == 0 {
		return nil, errors.New("load image: the archive names no image")
	}
	loaded := make([]Image, 0, len(records))
	for _, record := range records {
		image, err := r.settle(ctx, record)
		if err != nil {
			// A name without an image that works is worse than none.
			err = errors.Join(err, r.client.ImageService().Delete(ctx, record.Name))
			return nil, fmt.Errorf("load image %s: %w", record.Name, err)
		}
		loaded = append(loaded, image)
	}
	return loaded, nil
}

// fullNamesOnly refuses what an OCI archive calls a name and is only a tag.
func fullNamesOnly(ref string) string {
	if strings.ContainsAny(ref, "/:@") {
		return ref
	}
	return ""
}

// settle unpacks an imported image and files it under its full name.
func (r *Runtime) settle(ctx context.Context, record images.Image) (Image, error) {
	named, err := normalize(record.Name)
	if err != nil {
		return Image{}, err
	}
	if err := containerd.NewImage(r.client, record).Unpack(ctx, snapshotter); err != nil {
		return Image{}, fmt.Errorf("unpack: %w", err)
	}
	if short := record.Name; named.String() != short {
		record.Name = named.String()
		if err := r.saveImage(ctx, record); err != nil {
			return Image{}, err
		}
		if err := r.client.ImageService().Delete(ctx, short); err != nil {
			return Image{}, err
		}
	}
	return r.describeImage(ctx, record)
}
