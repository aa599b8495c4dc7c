package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"
)

// ecsTarget is what X-Amz-Target has in front of an operation of ECS.
const ecsTarget = "AmazonEC2ContainerServiceV20141113."

// answerWithin bounds one API call: an answer that takes longer is a hang.
const answerWithin = time.Minute

// value is one of the variables that `gantry env` prints.
func (s *server) value(name string) string {
	for _, e := range s.env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

func (s *server) endpoint() string { return s.value("AWS_ENDPOINT_URL") }

// credentials are the root key's.
func (s *server) credentials() aws.Credentials {
	return aws.Credentials{AccessKeyID: s.value("AWS_ACCESS_KEY_ID"), SecretAccessKey: s.value("AWS_SECRET_ACCESS_KEY")}
}

// sdk is the AWS SDK for Go's ECS client. It tries every call once, so that a
// failure of gantry's is not hidden by a retry.
func (s *server) sdk(options ...func(*ecs.Options)) *ecs.Client {
	c := s.credentials()
	return ecs.New(ecs.Options{
		BaseEndpoint: aws.String(s.endpoint()), Region: s.value("AWS_REGION"),
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, ""),
		Retryer:     aws.NopRetryer{},
		HTTPClient:  s.http(),
	}, options...)
}

// steady is the HTTP client of the SDK's clients. The SDK closes a request's body
// when the answer begins, and what it has closed answers WriteTo with an error; so
// net/http, which looks a last time whether there is more of the body, now and
// then hangs up in the middle of a quick answer. Without its WriteTo it does not.
var steady = &http.Client{Transport: plainBodies{&http.Transport{}}}

// http is steady, or the like that trusts the CA of a server that speaks TLS.
func (s *server) http() *http.Client {
	bundle := s.value("AWS_CA_BUNDLE")
	if bundle == "" {
		return steady
	}
	if known, ok := trusting.Load(bundle); ok {
		return known.(*http.Client)
	}
	pool := x509.NewCertPool()
	if text, err := os.ReadFile(bundle); err == nil { // else no call will go well, and say why
		pool.AppendCertsFromPEM(text)
	}
	made, _ := trusting.LoadOrStore(bundle, &http.Client{Transport: plainBodies{&http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}})
	return made.(*http.Client)
}

// trusting are the clients for servers that speak TLS, by the file of their CA.
var trusting sync.Map

type plainBodies struct{ http.RoundTripper }

func (p plainBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r = r.Clone(r.Context())
		r.Body = struct {
			io.Reader
			io.Closer
		}{r.Body, r.Body}
	}
	return p.RoundTripper.RoundTrip(r)
}

// must calls one operation, which has to succeed.
func must[In, Out any](t *testing.T, call func(context.Context, *In, ...func(*ecs.Options)) (*Out, error), in *In) *Out {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerWithin)
	defer cancel()
	out, err := call(ctx, in)
	if err != nil {
		t.Fatalf("%T: %v", in, err)
	}
	return out
}

// refused calls one operation, which has to fail as the exception E with a
// message that contains the given words.
func refused[E interface {
	error
	smithy.APIError
}, In, Out any](t *testing.T, call func(context.Context, *In, ...func(*ecs.Options)) (*Out, error), in *In, words string) E {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerWithin)
	defer cancel()
	out, err := call(ctx, in)
	var want E
	switch {
	case err == nil:
		t.Errorf("%T: no error, but %+v", in, out)
	case !errors.As(err, &want):
		t.Errorf("%T: %v\nwant a %T", in, err, want)
	case !strings.Contains(want.ErrorMessage(), words):
		t.Errorf("%T: message %q, want %q in it", in, want.ErrorMessage(), words)
	}
	return want
}

// An answer is what came back for a raw request.
type answer struct {
	status  int
	header  http.Header
	body    string
	code    string // the exception, where it is one
	message string
}

// call signs and sends a JSON request as it is, past the checks of any client.
func (s *server) call(t *testing.T, target, body string) answer {
	t.Helper()
	r := s.request(t, target, body)
	s.sign(t, r, body, s.credentials(), "ecs", s.value("AWS_REGION"))
	return send(t, r)
}

func (s *server) request(t *testing.T, target, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.endpoint()+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", target)
	return r
}

// sign signs with the SDK's own signer.
func (s *server) sign(t *testing.T, r *http.Request, body string, c aws.Credentials, service, region string) {
	t.Helper()
	if err := v4.NewSigner().SignHTTP(t.Context(), c, r, hash(body), service, region, time.Now()); err != nil {
		t.Fatal(err)
	}
}

func hash(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

func send(t *testing.T, r *http.Request) answer {
	t.Helper()
	client := http.Client{Timeout: answerWithin}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, body: string(body)}
	var refusal struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if json.Unmarshal(bytes.TrimSpace(body), &refusal) == nil {
		a.code, a.message = refusal.Type, refusal.Message
	}
	return a
}

// cluster makes a cluster that belongs to one test: this machine is its only
// container instance. At the end its tasks are stopped and it is deleted.
func (s *server) cluster(t *testing.T) string {
	t.Helper()
	name := family(t)
	c := s.sdk()
	must(t, c.CreateCluster, &ecs.CreateClusterInput{ClusterName: &name})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stateWithin)
		defer cancel()
		if err := empty(ctx, s.sdk(), name); err != nil { // gantry may have been started again at another port
			t.Errorf("empty cluster %s: %v", name, err)
		}
	})
	return name
}

// empty deletes the services of a cluster, stops its tasks, deregisters the instances
// that tests made up, and deletes it.
func empty(ctx context.Context, c *ecs.Client, cluster string) error {
	var going []string
	services, err := c.ListServices(ctx, &ecs.ListServicesInput{Cluster: &cluster, MaxResults: aws.Int32(100)})
	if errors.As(err, new(*types.ClusterNotFoundException)) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, arn := range services.ServiceArns {
		if _, err := c.DeleteService(ctx, &ecs.DeleteServiceInput{Cluster: &cluster, Service: &arn, Force: aws.Bool(true)}); err != nil {
			return err
		}
	}
	for _, status := range []types.DesiredStatus{types.DesiredStatusRunning, types.DesiredStatusStopped} {
		tasks, err := c.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &cluster, DesiredStatus: status})
		if errors.As(err, new(*types.ClusterNotFoundException)) {
			return nil
		}
		if err != nil {
			return err
		}
		going = append(going, tasks.TaskArns...)
	}
	for _, arn := range going {
		if _, err := c.StopTask(ctx, &ecs.StopTaskInput{Cluster: &cluster, Task: &arn}); err != nil {
			return err
		}
	}
	if len(going) > 0 {
		if err := stoppedWaiter(c).Wait(ctx, &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: going}, stateWithin); err != nil {
			return err
		}
	}
	instances, err := c.ListContainerInstances(ctx, &ecs.ListContainerInstancesInput{Cluster: &cluster, Filter: aws.String("agentConnected == false")})
	if err != nil {
		return err
	}
	for _, arn := range instances.ContainerInstanceArns {
		if _, err := c.DeregisterContainerInstance(ctx, &ecs.DeregisterContainerInstanceInput{Cluster: &cluster, ContainerInstance: aws.String(arn), Force: aws.Bool(true)}); err != nil {
			return err
		}
	}
	for { // services are DRAINING until their last task has stopped
		_, err := c.DeleteCluster(ctx, &ecs.DeleteClusterInput{Cluster: &cluster})
		if !errors.As(err, new(*types.ClusterContainsServicesException)) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lookAgain):
		}
	}
}

// The SDK's own waiters, which look more often than their six seconds.
func runningWaiter(c *ecs.Client) *ecs.TasksRunningWaiter {
	return ecs.NewTasksRunningWaiter(c, func(o *ecs.TasksRunningWaiterOptions) { o.MinDelay, o.MaxDelay = lookAgain, lookAgain })
}

func stoppedWaiter(c *ecs.Client) *ecs.TasksStoppedWaiter {
	return ecs.NewTasksStoppedWaiter(c, func(o *ecs.TasksStoppedWaiterOptions) { o.MinDelay, o.MaxDelay = lookAgain, lookAgain })
}

func stableWaiter(c *ecs.Client) *ecs.ServicesStableWaiter {
	return ecs.NewServicesStableWaiter(c, func(o *ecs.ServicesStableWaiterOptions) { o.MinDelay, o.MaxDelay = lookAgain, lookAgain })
}

func inactiveWaiter(c *ecs.Client) *ecs.ServicesInactiveWaiter {
	return ecs.NewServicesInactiveWaiter(c, func(o *ecs.ServicesInactiveWaiterOptions) { o.MinDelay, o.MaxDelay = lookAgain, lookAgain })
}

const lookAgain = 200 * time.Millisecond

// define registers a task definition of one container and returns family:revision.
func (s *server) define(t *testing.T, change func(*ecs.RegisterTaskDefinitionInput, *types.ContainerDefinition)) string {
	t.Helper()
	in := &ecs.RegisterTaskDefinitionInput{
		Family: aws.String(family(t)),
		ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("worker"), Image: aws.String("gantry/sample-worker:latest"), Cpu: 10, Memory: aws.Int32(32),
			StopTimeout: aws.Int32(2), // of a program that is stopped before it listens to signals
		}},
	}
	if change != nil {
		change(in, &in.ContainerDefinitions[0])
	}
	d := must(t, s.sdk().RegisterTaskDefinition, in).TaskDefinition
	return name(*d.TaskDefinitionArn)
}

// name is the part of an ARN behind the first slash: "cluster/prod" is "prod".
func name(arn string) string {
	_, rest, _ := strings.Cut(arn, "/")
	return rest
}

// id is the last part of an ARN.
func id(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }
