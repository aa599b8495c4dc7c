package tcs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry"
	"gantry/internal/api"
	"gantry/internal/wire"
	"gantry/internal/wire/ecsapi"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

// told records the health that was reported.
type told struct {
	mu   sync.Mutex
	news []string
}

func (r *told) ReportHealth(_ context.Context, c gantry.ClusterName, i gantry.InstanceID, t gantry.TaskID, health map[string]ecsapi.HealthStatus) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, status := range health {
		r.news = append(r.news, fmt.Sprint(c, "/", i, "/", t, "/", name, " ", status))
	}
	if t == "broken" {
		return errors.New("the store is away")
	}
	return nil
}

const (
	instanceARN = "arn:aws:ecs:us-east-1:123456789012:container-instance/prod/i1"
	taskARN     = "arn:aws:ecs:us-east-1:123456789012:task/prod/"
)

func serve(t *testing.T, who *gantry.Principal) (s *Server, url string, health *told) {
	health = &told{}
	s = New(Config{Health: health, Log: slog.New(slog.DiscardHandler)})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(w, r.WithContext(api.WithPrincipal(r.Context(), who)))
	}))
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		srv.Close()
	})
	return s, "ws" + strings.TrimPrefix(srv.URL, "http") + "/tcs/ws?cluster=prod&agentVersion=1.105.1&containerInstance=", health
}

var agent = &gantry.Principal{Kind: gantry.AgentPrincipal, Instance: "prod/i1"}

// publish sends one frame as it is, and returns the acknowledgement.
func publish(t *testing.T, conn *websocket.Conn, frame string) string {
	t.Helper()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		t.Fatal(err)
	}
	_, data, err := conn.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func metrics(fin bool, ids ...string) string {
	var tasks []string
	for _, id := range ids {
		tasks = append(tasks, `{"taskArn":"`+taskARN+id+`","containerMetrics":[{"containerName":"web","cpuStatsSet":{"min":1,"max":3,"sum":4,"sampleCount":2}}]}`)
	}
	return fmt.Sprintf(`{"type":"PublishMetricsRequest","message":{"metadata":{"fin":%t},"taskMetrics":[%s],"timestamp":1795393238.587}}`, fin, strings.Join(tasks, ","))
}

func TestSession(t *testing.T) {
	s, url, health := serve(t, agent)
	conn, _, err := websocket.Dial(t.Context(), url+instanceARN, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	has := func(id string) bool { _, ok := s.Metrics("prod/i1", taskARN+id); return ok }

	// The genuine agent signs each frame in a header block.
	block := "Authorization: AWS4-HMAC-SHA256 Credential=AKID/20261123/us-east-1/ecs/aws4_request, SignedHeaders=host;x-amz-date, Signature=937a8ede\r\nHost: 127.0.0.1:18080\r\nX-Amz-Date: 20261123T001750Z\r\n\r\n"
	const ok = `{"type":"AckPublishMetric","message":{"message":"OK"}}`
	if got := publish(t, conn, block+metrics(false, "t1")); got != ok {
		t.Errorf("answer %s", got)
	}
	if has("t1") {
		t.Error("a round shows before it has ended")
	}
	publish(t, conn, metrics(true, "t2"))
	if !has("t1") || !has("t2") {
		t.Error("the round lacks a task")
	}
	if m, _ := s.Metrics("prod/i1", taskARN+"t2"); m.ContainerMetrics[0].CPU.Sum != 4 {
		t.Errorf("metrics: %+v", m)
	}
	publish(t, conn, metrics(true, "t2"))
	if has("t1") || !has("t2") {
		t.Error("the next round should have t2 only")
	}

	got := publish(t, conn, `{"type":"PublishHealthRequest","message":{"tasks":[
		{"taskArn":"`+taskARN+`t1","containers":[{"containerName":"web","healthStatus":"HEALTHY","statusSince":1795393213.61}]},
		{"taskArn":"`+taskARN+`broken","containers":[{"containerName":"web","healthStatus":"UNHEALTHY"}]},
		{"taskArn":"arn:aws:ecs:us-east-1:123456789012:task/test/t1","containers":[{"containerName":"web","healthStatus":"HEALTHY"}]},
		{"taskArn":"nonsense","containers":[]}]}}`)
	if want := `{"type":"AckPublishHealth","message":{"message":"OK"}}`; got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
	if diff := cmp.Diff([]string{"prod/i1/t1/web HEALTHY", "prod/i1/broken/web UNHEALTHY"}, health.news); diff != "" {
		t.Errorf("health (-want +got):\n%s", diff)
	}

	got = publish(t, conn, `{"type":"PublishInstanceStatusRequest","message":{"statuses":[{"type":"ContainerRuntime","status":"IMPAIRED","lastUpdated":1795393168.611,"lastStatusChange":1795393198.5},
		{"type":"Agent","status":"OK"},{"type":"Toaster","status":"OK"},{"type":"EBSDaemon","status":"TIRED"}]}}`)
	if want := `{"type":"AckPublishInstanceStatus","message":{"message":"OK"}}`; got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
	want := []ecsapi.InstanceHealthCheckResult{{
		Type: "CONTAINER_RUNTIME", Status: "IMPAIRED",
		LastUpdated: wire.At(time.UnixMilli(1795393168611)), LastStatusChange: wire.At(time.UnixMilli(1795393198500)),
	}}
	if diff := cmp.Diff(want, s.InstanceHealth("prod/i1")); diff != "" {
		t.Errorf("the instance's health, in the API's words (-want +got):\n%s", diff)
	}

	// What nobody understands is passed over, and the session goes on.
	for _, frame := range []string{"nonsense", `{"type":"PublishNewThing","message":{}}`} {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	if got := publish(t, conn, `{"type":"PublishMetricsRequest","message":{"metadata":{"fin":"yes"}}}`); got != ok {
		t.Errorf("answer to an unreadable message: %s", got)
	}
}

// What an instance has published goes with its last session.
func TestTelemetryIsForgottenWithTheSession(t *testing.T) {
	s, url, _ := serve(t, agent)
	conn, _, err := websocket.Dial(t.Context(), url+instanceARN, nil)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, conn, metrics(true, "t1"))
	s.end() // what Run does when its context ends
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("closed with %v", err)
	}
	s.sessions.Wait()
	if _, ok := s.Metrics("prod/i1", taskARN+"t1"); ok || s.InstanceHealth("prod/i1") != nil {
		t.Error("telemetry outlived its session")
	}
}

func TestRefusedHandshakes(t *testing.T) {
	for _, tt := range []struct {
		name, instance, want string
		who                  *gantry.Principal
	}{
		{"no ARN", "i1", `{"InvalidParameterException":"`, agent},
		{"another instance's key", instanceARN, `{"AccessDeniedException":"`, &gantry.Principal{Kind: gantry.AgentPrincipal, Instance: "prod/i2"}},
		{"nobody", instanceARN, `{"AccessDeniedException":"`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, url, _ := serve(t, tt.who)
			_, resp, err := websocket.Dial(t.Context(), url+tt.instance, nil)
			if err == nil || resp == nil {
				t.Fatalf("connected: %v", err)
			}
			if body, _ := io.ReadAll(resp.Body); !strings.HasPrefix(string(body), tt.want) {
				t.Errorf("got %s, want %s", body, tt.want)
			}
		})
	}
}
