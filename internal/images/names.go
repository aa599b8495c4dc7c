package images

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

const (
	// maxListing bounds the files of an archive that say what is in it, in bytes.
	maxListing = 4 << 20
	// maxNames bounds the images of one archive.
	maxNames = 1000
)

// errNoArchive is for what is no archive of images at all.
var errNoArchive = errors.New("it is no whole archive of images, as docker save or an OCI tool writes it")

// namesIn reads the complete names of the images in an archive, which may be
// docker save's (manifest.json), an OCI layout (index.json), or both at once.
func namesIn(archive io.ReadSeeker) ([]string, error) {
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var found []string
	files := 0
	for t := tar.NewReader(archive); ; files++ {
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoArchive, err)
		}
		var names []string
		switch strings.TrimPrefix(header.Name, "./") {
		case "manifest.json":
			names, err = dockerNames(io.LimitReader(t, maxListing))
		case "index.json":
			names, err = layoutNames(io.LimitReader(t, maxListing))
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errNoArchive, header.Name, err)
		}
		for _, name := range names {
			full, err := fullName(name)
			if err != nil {
				return nil, err
			}
			found = append(found, full)
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	switch {
	case files == 0:
		return nil, errNoArchive
	case len(found) == 0:
		return nil, errors.New("the archive names no image, so that no task could ask for one: save it by a name, such as web:1")
	case len(found) > maxNames:
		return nil, fmt.Errorf("the archive names %d images; at most %d are allowed", len(found), maxNames)
	}
	return found, nil
}

// dockerNames reads the list of docker save.
func dockerNames(r io.Reader) (names []string, err error) {
	var list []struct{ RepoTags []string }
	if err := json.NewDecoder(r).Decode(&list); err != nil {
		return nil, err
	}
	for _, i := range list {
		names = append(names, i.RepoTags...)
	}
	return names, nil
}

// layoutNames reads the index of an OCI layout. What some tools call a name is only
// a tag, and names nothing.
func layoutNames(r io.Reader) (names []string, err error) {
	var index struct {
		Manifests []struct{ Annotations map[string]string }
	}
	if err := json.NewDecoder(r).Decode(&index); err != nil {
		return nil, err
	}
	for _, m := range index.Manifests {
		name := m.Annotations["io.containerd.image.name"]
		if name == "" {
			name = m.Annotations["org.opencontainers.image.ref.name"]
		}
		if strings.ContainsAny(name, "/:@") {
			names = append(names, name)
		}
	}
	return names, nil
}

// plainName is what a name may look like, roughly: whoever unpacks the image looks closely.
var plainName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._\-/:@+]{0,511}$`)

// fullName completes a name as Docker does: "nginx" is "docker.io/library/nginx:latest".
func fullName(name string) (string, error) {
	if !plainName.MatchString(name) {
		return "", fmt.Errorf("%.64q is no name of an image", name)
	}
	first, rest, found := strings.Cut(name, "/")
	switch {
	case !found:
		name = "docker.io/library/" + name
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		name = "docker.io/" + name
	case first == "docker.io" && !strings.Contains(rest, "/"):
		name = "docker.io/library/" + rest
	case first == "index.docker.io":
		return fullName("docker.io/" + rest)
	}
	if last := name[strings.LastIndexByte(name, '/')+1:]; !strings.ContainsAny(last, ":@") {
		name += ":latest"
	}
	return name, nil
}
