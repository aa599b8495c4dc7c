package runtime

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// An image that was loaded is there by its digest while containers are made from it, also
// when its tag means another one; and then it says what has become of it.
func TestLoadedByDigest(t *testing.T) {
	r, ctx := open(t)
	load := func(mark string) Image {
		t.Helper()
		loaded, err := r.Load(ctx, bytes.NewReader(saveTar(t, "team/web:1", probeImage(t, func(c *v1.Config) { c.Cmd = []string{"print", mark} }))))
		must(t, err)
		return loaded[0]
	}
	pull := func(ref string) (Image, error) { return r.Pull(ctx, ref, RegistryAuth{}, PullDefault, nil) }
	names := func() (names []string) {
		all, err := r.Images(ctx)
		must(t, err)
		for _, i := range all {
			if strings.Contains(i.Ref, "team/web") {
				names = append(names, strings.TrimPrefix(i.Ref, "docker.io/"))
			}
		}
		return names
	}
	first := load("first")
	if got, err := pull("team/web:1"); err != nil || got.Digest != first.Digest {
		t.Fatalf("by its tag: %+v %v", got, err)
	}
	exact := "team/web:1@" + first.Digest
	if got := names(); !slices.Equal(got, []string{"team/web:1"}) {
		t.Errorf("before: %v", got)
	}
	// A container keeps what it was made from, whatever the tag means later.
	s := spec(t)
	s.Image = "team/web:1"
	_, err := r.Create(ctx, s)
	must(t, err)
	second := load("second")
	if second.Digest == first.Digest {
		t.Fatal("the images do not differ")
	}
	if got := names(); !slices.Equal(got, []string{"team/web:1", "team/web@" + first.Digest}) {
		t.Errorf("when the tag has moved: %v", got)
	}
	later := time.Now().Add(24 * time.Hour)
	_, err = r.Collect(ctx, later, InUse{Needs: func(c Container) bool { return c.ID == s.ID }})
	must(t, err)
	if got, err := pull(exact); err != nil || got.Digest != first.Digest {
		t.Errorf("by its digest: %+v %v", got, err)
	}
	again := spec(t)
	again.Image = exact
	if got := run(t, r, ctx, again); !strings.HasPrefix(got.Stdout, "first") {
		t.Errorf("made by digest: %+v", got)
	}
	if got, err := pull("team/web:1"); err != nil || got.Digest != second.Digest {
		t.Errorf("the tag means %+v %v", got, err)
	}
	// Nobody uses it for a day: it is gone, and whoever asks hears why.
	must(t, r.Delete(ctx, s.ID))
	_, err = r.Collect(ctx, later, InUse{Needs: func(Container) bool { return false }})
	must(t, err)
	if _, err := pull(exact); !strings.HasPrefix(reason(err), "CannotPullContainerError: manifest for "+exact+" not found: team/web:1 was loaded anew since, as "+second.Digest) {
		t.Errorf("when it is gone: %v", reason(err))
	}
	// What is there by its tag is found by its digest without having been kept.
	if got, err := r.Image(ctx, "team/web@"+second.Digest); err != nil || got.Digest != second.Digest {
		t.Errorf("the second by its digest: %+v %v", got, err)
	}
	must(t, r.RemoveImage(ctx, "team/web:1"))
	if _, err := r.Image(ctx, "team/web@"+second.Digest); !errors.Is(err, ErrNotFound) || len(names()) > 0 {
		t.Errorf("removed, and there are %v: %v", names(), err)
	}
}

// A digest that is here is what any registry would send: only PullAlways asks.
func TestPulledByDigest(t *testing.T) {
	r, ctx := open(t)
	asked := 0
	host := startRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.Header.Get(pushMark) == "" {
				asked++
			}
			next.ServeHTTP(w, q)
		})
	})
	ref := host + "/team/app:1"
	push(t, ref, probeImage(t, nil))
	first, err := r.Pull(ctx, ref, RegistryAuth{}, PullDefault, nil)
	must(t, err)
	exact := ref + "@" + first.Digest
	push(t, ref, probeImage(t, func(c *v1.Config) { c.Env = []string{"MOVED=1"} }))
	asked = 0
	for _, behavior := range []PullBehavior{PullDefault, PullOnce, PullPreferCached} {
		if got, err := r.Pull(ctx, exact, RegistryAuth{}, behavior, nil); err != nil || got.Digest != first.Digest || asked > 0 {
			t.Errorf("%s: %s, asked %d times: %v", behavior, got.Digest, asked, err)
		}
	}
	if got, err := r.Pull(ctx, exact, RegistryAuth{}, PullAlways, nil); err != nil || got.Digest != first.Digest || asked == 0 {
		t.Errorf("always: %s, asked %d times: %v", got.Digest, asked, err)
	}
	must(t, r.RemoveImage(ctx, exact))
	must(t, r.RemoveImage(ctx, ref))
	if got, err := r.Pull(ctx, exact, RegistryAuth{}, PullOnce, nil); err != nil || got.Digest != first.Digest {
		t.Errorf("pulled by its digest: %+v %v", got, err)
	}
	missing := ref + "@sha256:" + strings.Repeat("0", 64)
	if _, err := r.Pull(ctx, missing, RegistryAuth{}, PullDefault, nil); !strings.HasPrefix(reason(err), "CannotPullContainerError: manifest for "+host+"/team/app@sha256:000") {
		t.Errorf("a digest that the registry does not have: %v", reason(err))
	}
}
