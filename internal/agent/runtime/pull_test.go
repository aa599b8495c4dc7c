package runtime

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// startRegistry serves a registry on loopback, behind a handler of the test's.
func startRegistry(t *testing.T, wrap func(http.Handler) http.Handler) (host string) {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		handler = wrap(handler)
	}
	s := httptest.NewServer(handler)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return strings.TrimPrefix(s.URL, "http://")
}

// pushMark is a header that lets push through what the tests put before a registry.
const pushMark = "X-Test-Push"

// push uploads an image to a registry: its layers, its configuration, its manifest.
func push(t *testing.T, ref string, image v1.Image) {
	t.Helper()
	tag, err := name.NewTag(ref)
	must(t, err)
	base := "http://" + tag.RegistryStr() + "/v2/" + tag.RepositoryStr()
	send := func(method, url string, body io.Reader, media string) {
		q, err := http.NewRequestWithContext(t.Context(), method, url, body)
		must(t, err)
		q.Header.Set("Content-Type", media)
		q.Header.Set(pushMark, "1")
		answer, err := http.DefaultClient.Do(q)
		must(t, err)
		defer answer.Body.Close()
		if answer.StatusCode/100 != 2 {
			t.Fatalf("%s %s: %s", method, url, answer.Status)
		}
	}
	blob := func(digest v1.Hash, body io.Reader) {
		send(http.MethodPost, base+"/blobs/uploads/?digest="+digest.String(), body, "application/octet-stream")
	}
	layers, err := image.Layers()
	must(t, err)
	for _, layer := range layers {
		digest, err := layer.Digest()
		must(t, err)
		content, err := layer.Compressed()
		must(t, err)
		blob(digest, content)
	}
	digest, err := image.ConfigName()
	must(t, err)
	config, err := image.RawConfigFile()
	must(t, err)
	blob(digest, bytes.NewReader(config))
	manifest, err := image.RawManifest()
	must(t, err)
	media, err := image.MediaType()
	must(t, err)
	send(http.MethodPut, base+"/manifests/"+tag.TagStr(), bytes.NewReader(manifest), string(media))
}

func reason(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason()
	}
	return ""
}

func TestPull(t *testing.T) {
	r, ctx := open(t)
	host := startRegistry(t, nil)
	ref := host + "/team/app:1"
	image := probeImage(t, nil)
	push(t, ref, image)
	want, err := image.Digest()
	must(t, err)

	var last Progress
	got, err := r.Pull(ctx, ref, RegistryAuth{}, PullDefault, func(p Progress) { last = p })
	must(t, err)
	if got.Digest != want.String() || got.Ref != ref || got.Loaded || len(got.Config.Entrypoint) != 1 {
		t.Errorf("got %+v", got)
	}
	if last.Received == 0 || last.Received < last.Total {
		t.Errorf("progress ended at %+v", last)
	}
	s := spec(t)
	s.Image = ref
	if got := run(t, r, ctx, s); got.Stdout != "hello\n" {
		t.Errorf("got %+v", got)
	}

	_, err = r.Pull(ctx, host+"/team/app:none", RegistryAuth{}, PullDefault, nil)
	if text := reason(err); !strings.HasPrefix(text, "CannotPullContainerError: manifest for "+host+"/team/app:none not found") {
		t.Errorf("an image that is not there: %v", text)
	}
	if _, err := r.Pull(ctx, "Not A Name", RegistryAuth{}, PullDefault, nil); !strings.Contains(reason(err), "invalid reference format") {
		t.Errorf("a bad name: %v", err)
	}
	must(t, r.RemoveImage(ctx, ref))
	if _, err := r.Image(ctx, ref); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed, and yet: %v", err)
	}
}

func TestPullBehavior(t *testing.T) {
	r, ctx := open(t)
	down := false
	host := startRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if down {
				http.Error(w, "out of order", http.StatusInternalServerError)
				return
			}
			next.ServeHTTP(w, q)
		})
	})
	ref := host + "/app"
	push(t, ref, probeImage(t, nil))
	_, err := r.Pull(ctx, ref, RegistryAuth{}, PullOnce, nil)
	must(t, err)
	down = true
	for _, behavior := range []PullBehavior{PullDefault, PullOnce, PullPreferCached} {
		if _, err := r.Pull(ctx, ref, RegistryAuth{}, behavior, nil); err != nil {
			t.Errorf("%s with the image here: %v", behavior, err)
		}
	}
	if _, err := r.Pull(ctx, ref, RegistryAuth{}, PullAlways, nil); !strings.HasPrefix(reason(err), "CannotPullContainerError: ") {
		t.Errorf("always: %v", err)
	}
	// A loaded image has no registry to ask; the tests' network leads nowhere.
	if got, err := r.Pull(ctx, testImage, RegistryAuth{}, PullDefault, nil); err != nil || !got.Loaded {
		t.Errorf("loaded: %+v %v", got, err)
	}
	if _, err := r.Pull(ctx, "gantry/never-loaded", RegistryAuth{}, PullDefault, nil); err == nil {
		t.Error("an image from nowhere")
	}
	if _, err := r.Pull(ctx, ref, RegistryAuth{}, "sometimes", nil); err == nil {
		t.Error("a behavior that is none")
	}
}

func TestPullAuth(t *testing.T) {
	r, ctx := open(t)
	host := startRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			user, password, _ := q.BasicAuth()
			if q.Header.Get(pushMark) == "" && (user != "me" || password != "secret") {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, q)
		})
	})
	ref := host + "/private/app:1"
	push(t, ref, probeImage(t, nil))
	_, err := r.Pull(ctx, ref, RegistryAuth{}, PullAlways, nil)
	if text := reason(err); !strings.HasPrefix(text, "CannotPullContainerError: pull access denied for "+host+"/private/app, repository does not exist or may require 'docker login'") {
		t.Errorf("without a password: %v", err)
	}
	_, err = r.Pull(ctx, ref, RegistryAuth{Username: "me", Password: "secret"}, PullAlways, nil)
	must(t, err)
}

func TestPullHangs(t *testing.T) {
	needRuntime(t)
	config := testConfig(t)
	config.PullInactivity = 300 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := Open(ctx, config)
	must(t, err)
	t.Cleanup(func() { wipe(t, r) })
	for _, c := range []struct{ name, at string }{
		{"before the answer", "/manifests/"},
		{"in a layer", "/blobs/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			release := make(chan struct{})
			host := startRegistry(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
					if q.Header.Get(pushMark) != "" || !strings.Contains(q.URL.Path, c.at) {
						next.ServeHTTP(w, q)
						return
					}
					if c.at == "/blobs/" {
						// Some bytes, then silence.
						answer := httptest.NewRecorder()
						next.ServeHTTP(answer, q)
						for k, v := range answer.Header() {
							w.Header()[k] = v
						}
						_, _ = w.Write(answer.Body.Bytes()[:min(10, answer.Body.Len())])
						_ = http.NewResponseController(w).Flush()
					}
					<-release
				})
			})
			t.Cleanup(func() { close(release) })
			ref := host + "/app:1"
			push(t, ref, probeImage(t, nil))
			_, err := r.Pull(ctx, ref, RegistryAuth{}, PullDefault, nil)
			if !errors.Is(err, ErrPullInactive) || !strings.HasPrefix(reason(err), "CannotPullContainerError: ") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	r, ctx := open(t)
	list, err := r.Images(ctx)
	must(t, err)
	if len(list) != 1 || list[0].Ref != "docker.io/gantry/probe:latest" || !list[0].Loaded || list[0].SizeBytes == 0 {
		t.Errorf("got %+v", list)
	}
	for _, ref := range []string{"gantry/probe", "gantry/probe:latest", "docker.io/gantry/probe"} {
		if _, err := r.Image(ctx, ref); err != nil {
			t.Errorf("find by %s: %v", ref, err)
		}
	}
	if _, err := r.Load(ctx, strings.NewReader(strings.Repeat("not a tar", 100))); err == nil || !strings.Contains(err.Error(), "no whole archive of images") {
		t.Errorf("loading nonsense: %v", err)
	}
	file, err := probeImage(t, nil).ConfigFile()
	must(t, err)
	file = file.DeepCopy()
	file.Architecture = "s390x"
	foreign, err := mutate.ConfigFile(probeImage(t, nil), file)
	must(t, err)
	if _, err := r.Load(ctx, bytes.NewReader(saveTar(t, "other/machine:1", foreign))); err == nil || !strings.Contains(err.Error(), "the archive has none for linux/") {
		t.Errorf("loading an image for another machine: %v", err)
	}
	// The same again, and another under the same name.
	other := probeImage(t, func(c *v1.Config) { c.Cmd = []string{"print", "second", "time"} })
	for range 2 {
		_, err = r.Load(ctx, bytes.NewReader(saveTar(t, testImage, other)))
		must(t, err)
	}
	if got := run(t, r, ctx, spec(t)); got.Stdout != "second\n" {
		t.Errorf("got %+v", got)
	}
}
