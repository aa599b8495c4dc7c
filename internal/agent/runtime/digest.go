package runtime

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// This file is images by digest: "web@sha256:…", or "web:1@sha256:…", which means the
// same. A service's later tasks are made from the digest that its first one found, so that
// an image has to be there by it, also when its tag means another one by now.

// labelKept marks the record of an image by its digest that was made of one by its tag.
const labelKept = "gantry/kept"

// WithoutDigest is the name without the digest that follows it; ok is false where none does.
func WithoutDigest(ref string) (name string, ok bool) {
	name, _, ok = strings.Cut(ref, "@")
	return name, ok
}

// byDigest finds an image that is here by a tag of the same repository, and keeps it by
// its digest.
func (r *Runtime) byDigest(ctx context.Context, named reference.Named) (images.Image, error) {
	digested, ok := named.(reference.Digested)
	if !ok {
		return images.Image{}, errdefs.ErrNotFound
	}
	records, err := r.client.ImageService().List(ctx, "target.digest=="+digested.Digest().String())
	if err != nil {
		return images.Image{}, err
	}
	for _, record := range records {
		if repository(record.Name) == named.Name() {
			return r.keep(ctx, record)
		}
	}
	return images.Image{}, errdefs.ErrNotFound
}

// keep makes an image that is here by a tag one by its digest too, so that it stays when
// the tag moves on.
func (r *Runtime) keep(ctx context.Context, record images.Image) (images.Image, error) {
	name := repository(record.Name) + "@" + record.Target.Digest.String()
	if kept, err := r.client.ImageService().Get(ctx, name); !errdefs.IsNotFound(err) {
		return kept, err
	}
	labels := map[string]string{labelKept: "true"}
	for key, value := range record.Labels {
		labels[key] = value
	}
	kept, err := r.client.ImageService().Create(ctx, images.Image{Name: name, Target: record.Target, Labels: labels})
	if errdefs.IsAlreadyExists(err) {
		return r.client.ImageService().Get(ctx, name)
	}
	if err != nil {
		return images.Image{}, fmt.Errorf("keep image %s: %w", name, err)
	}
	return kept, nil
}

// forgetKept removes what keep made of an image.
func (r *Runtime) forgetKept(ctx context.Context, record images.Image) error {
	name := repository(record.Name) + "@" + record.Target.Digest.String()
	kept, err := r.client.ImageService().Get(ctx, name)
	if err == nil && kept.Labels[labelKept] != "" && name != record.Name {
		err = r.client.ImageService().Delete(ctx, name)
	}
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// sameImage reports whether two records are of one image of one repository.
func sameImage(a, b images.Image) bool {
	return a.Target.Digest == b.Target.Digest && repository(a.Name) == repository(b.Name)
}

// repository is a complete name without its tag and digest.
func repository(name string) string {
	named, err := normalize(name)
	if err != nil {
		return name
	}
	return named.Name()
}

// moved says of an image that is not here by its digest, and that no registry has, that
// its tag means another one by now; nil where that is not so.
func (r *Runtime) moved(ctx context.Context, ref string) error {
	tag, ok := WithoutDigest(ref)
	if !ok || namesRegistry(ref) {
		return nil
	}
	now, err := r.imageRecord(ctx, tag)
	if err != nil || now.Labels[labelLoaded] == "" {
		return nil
	}
	return fmt.Errorf("manifest for %s not found: %s was loaded anew since, as %s, and the image of before is not on this machine: "+
		"load it again, or start a new deployment with --force-new-deployment, which takes what the tag means now", ref, tag, now.Target.Digest)
}
