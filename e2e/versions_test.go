package e2e

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestVersionConsistency: a tag that moves between two scale-outs. The service stays with
// the image that its first task found, until a new deployment; a container that asks for
// no consistency follows the tag.
func TestVersionConsistency(t *testing.T) {
	t.Parallel()
	s := own(t, "--task-warmup", "0s")
	const image = "team/moving:1"
	load := func(sample string) {
		t.Helper()
		if _, err := s.gantry("image", "load", retagged(t, sample, image)); err != nil {
			t.Fatal(err)
		}
	}
	serve := func(name string, consistency types.VersionConsistency) {
		t.Helper()
		definition := s.define(t, func(in *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			in.Family, c.Image, c.VersionConsistency = aws.String(name), aws.String(image), consistency
		})
		s.aws(t, "ecs", "create-service", "--service-name", name, "--task-definition", definition, "--desired-count", "1")
	}
	stable := func(services ...string) {
		t.Helper()
		s.aws(t, append([]string{"ecs", "wait", "services-stable", "--services"}, services...)...)
	}
	// digests are those of a service's tasks, each once.
	digests := func(service string) []string {
		t.Helper()
		tasks := strings.Fields(s.aws(t, "ecs", "list-tasks", "--service-name", service, "--query", "taskArns", "--output", "text"))
		shown := s.aws(t, append([]string{"ecs", "describe-tasks", "--query", "tasks[].containers[].[image, imageDigest]", "--output", "text", "--tasks"}, tasks...)...)
		var all []string
		for line := range strings.Lines(shown) {
			f := strings.Fields(line)
			if len(f) != 2 || f[0] != image {
				t.Fatalf("a task of %s is shown as %q", service, line)
			}
			all = append(all, f[1])
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	resolved := func(service string) string {
		t.Helper()
		revision := strings.TrimSpace(s.aws(t, "ecs", "describe-services", "--services", service, "--query", "services[0].currentServiceRevisions[0].arn", "--output", "text"))
		return strings.TrimSpace(s.aws(t, "ecs", "describe-service-revisions", "--service-revision-arns", revision,
			"--query", "serviceRevisions[0].containerImages[0].imageDigest", "--output", "text"))
	}
	load("worker")
	serve("same", types.VersionConsistencyEnabled)
	serve("latest", types.VersionConsistencyDisabled)
	stable("same", "latest")
	first := digests("same")
	if len(first) != 1 || resolved("same") != first[0] || resolved("latest") != "None" {
		t.Fatalf("the first task has %v, the revision %s, that of the other service %s", first, resolved("same"), resolved("latest"))
	}
	load("web")
	for _, service := range []string{"same", "latest"} {
		s.aws(t, "ecs", "update-service", "--service", service, "--desired-count", "3")
	}
	stable("same", "latest")
	if got := digests("same"); !slices.Equal(got, first) {
		t.Errorf("scaled out when the tag had moved: %v, and it was %v", got, first)
	}
	if got := digests("latest"); len(got) != 2 {
		t.Errorf("without consistency all of it is of %v", got)
	}
	s.aws(t, "ecs", "update-service", "--service", "same", "--force-new-deployment")
	stable("same")
	if got := digests("same"); len(got) != 1 || got[0] == first[0] || resolved("same") != got[0] {
		t.Errorf("a new deployment has %v, its revision %s; before it was %v", got, resolved("same"), first)
	}
}

// retagged is a sample's archive with another name for its image.
func retagged(t *testing.T, sample, name string) string {
	t.Helper()
	from, err := os.Open(sampleTar(sample))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(t.TempDir(), sample+".tar"))
	if err != nil {
		t.Fatal(err)
	}
	r, w := tar.NewReader(from), tar.NewWriter(to)
	copied := func() error {
		for {
			header, err := r.Next()
			if errors.Is(err, io.EOF) {
				return errors.Join(w.Close(), to.Close())
			}
			if err != nil {
				return err
			}
			content, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			if header.Name == "manifest.json" {
				var list []map[string]any
				if err := json.Unmarshal(content, &list); err != nil || len(list) != 1 {
					return fmt.Errorf("manifest.json: %d images: %w", len(list), err)
				}
				list[0]["RepoTags"] = []string{name}
				if content, err = json.Marshal(list); err != nil {
					return err
				}
				header.Size = int64(len(content))
			}
			if err := w.WriteHeader(header); err != nil {
				return err
			}
			if _, err := w.Write(content); err != nil {
				return err
			}
		}
	}
	if err := copied(); err != nil {
		t.Fatalf("archive of %s as %s: %v", sample, name, err)
	}
	return to.Name()
}
