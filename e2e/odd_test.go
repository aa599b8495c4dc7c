package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TestHugeRequests: what is too large is refused at once and in AWS's form.
func TestHugeRequests(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	huge := `{"family":"` + strings.Repeat("x", 10<<20) + `"}`
	for _, target := range []string{ecsTarget + "RegisterTaskDefinition", "Logs_20140328.PutLogEvents"} {
		if a := s.call(t, target, huge); a.status/100 != 4 || a.code == "" || a.message == "" {
			t.Errorf("%s with a body of 10 MB: %d %s", target, a.status, a.body)
		}
	}

	var env []types.KeyValuePair
	for n := range 10_000 {
		env = append(env, pairs(fmt.Sprintf("VARIABLE_%d=%d", n, n))...)
	}
	in := &ecs.RegisterTaskDefinitionInput{Family: aws.String(family(t)), ContainerDefinitions: []types.ContainerDefinition{{
		Name: aws.String("x"), Image: aws.String("gantry/sample-probe:latest"), Memory: aws.Int32(32), Environment: env,
	}}}
	refused[*types.ClientException](t, s.sdk().RegisterTaskDefinition, in, "65536")
	must(t, s.sdk().ListClusters, &ecs.ListClustersInput{})
}

// TestTenThousandVariables: more than a task definition holds come from a file.
func TestTenThousandVariables(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	var text strings.Builder
	const n = 10_000
	for i := range n {
		fmt.Fprintf(&text, "VARIABLE_%d=%d\n", i, i)
	}
	file := fileOf(t, "many.env", text.String())
	j := s.finish(t, func(_ *job, c *types.ContainerDefinition) {
		c.EnvironmentFiles = []types.EnvironmentFile{{Type: types.EnvironmentFileTypeS3, Value: aws.String("file://" + file)}}
	}, fmt.Sprintf("out=$VARIABLE_0 $VARIABLE_%d", n-1))
	if got := j.printed("probe"); !slices.Equal(got, []string{fmt.Sprint("0 ", n-1)}) {
		t.Errorf("the first and the last are %q", got)
	}
}

// TestRegistries: one that has no such image, and one that answers nothing. A task
// that waits for it can be stopped, and keeps no other waiting.
func TestRegistries(t *testing.T) {
	t.Parallel()
	s := gantry(t)
	empty := httptest.NewServer(http.NotFoundHandler())
	defer empty.Close()
	hangs, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	cluster := s.cluster(t)
	of := func(registry string) string {
		return s.define(t, func(_ *ecs.RegisterTaskDefinitionInput, c *types.ContainerDefinition) {
			*c.Image = registry + "/team/app:1"
		})
	}
	missing := s.stopped(t, cluster, s.begin(t, cluster, of(strings.TrimPrefix(empty.URL, "http://"))))
	if missing.StopCode != types.TaskStopCodeTaskFailedToStart || !strings.Contains(*missing.StoppedReason, "CannotPullContainerError") || !strings.Contains(*missing.StoppedReason, "not found") {
		t.Errorf("an image that does not exist: %s", tell(missing))
	}

	waits, gives := s.begin(t, cluster, of(hangs.Addr().String())), s.begin(t, cluster, of(hangs.Addr().String()))
	s.launch(t, cluster, s.define(t, nil))
	if got := describeTask(t, s.sdk(), cluster, waits); *got.LastStatus != "PENDING" {
		t.Errorf("while the registry hangs: %s", tell(got))
	}
	began := time.Now()
	s.halt(t, cluster, waits)
	within(t, "stopping a task that waits for its image", began, 40*time.Second) // the registry would be given up after a minute
	if got := s.stopped(t, cluster, gives); !strings.Contains(*got.StoppedReason, "CannotPullContainerError") {
		t.Errorf("given up: %s", tell(got))
	}
}
