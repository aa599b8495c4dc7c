package sim

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/smithy-go/aws-http-auth/credentials"
	"github.com/aws/smithy-go/aws-http-auth/sigv4"
	"github.com/coder/websocket"

	"gantry/bench/client"
	"gantry/internal/wire/acsapi"
	"gantry/internal/wire/ecsapi"
)

// submissions is how many reports a genuine agent has under way at once.
const submissions = 10

// maxMessage bounds what the control plane may send at once, in bytes.
const maxMessage = 64 << 20

// An agent is one container instance.
type agent struct {
	fleet  *Fleet
	number int
	api    client.API
	arn    string // of the instance
	conn   *websocket.Conn

	mu      sync.Mutex
	waiting []*ecsapi.SubmitTaskStateChangeInput // to be reported
	sending int                                  // goroutines that report, or messages unanswered
	idle    []*client.Conn
	welcome acsapi.WelcomeMessage // what the control plane takes beyond the genuine protocol
}

// connect registers the instance and opens its websockets, in the order of the
// genuine agent, and leaves it working.
func (a *agent) connect(ctx context.Context) error {
	dialling, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	var registered ecsapi.RegisterContainerInstanceOutput
	if err := a.call("RegisterContainerInstance", a.registration(), &registered); err != nil {
		return err
	}
	a.arn = *registered.ContainerInstance.ContainerInstanceArn
	var at ecsapi.DiscoverPollEndpointOutput
	if err := a.call("DiscoverPollEndpoint", &ecsapi.DiscoverPollEndpointInput{
		Cluster: &a.fleet.Cluster, ContainerInstance: &a.arn, ZoneId: new(""),
	}, &at); err != nil {
		return err
	}
	var err error
	if a.conn, err = a.dial(dialling, *at.Endpoint, url.Values{
		"agentHash": {"simulated"}, "agentVersion": {"1.105.1"}, "clusterArn": {a.fleet.Cluster},
		"containerInstanceArn": {a.arn}, "dockerVersion": {"DockerVersion: none"},
		"protocolVersion": {"2"}, "sendCredentials": {"true"}, "seqNum": {"1"},
	}); err != nil {
		return err
	}
	go a.listen(ctx, a.conn, a.hear)
	if !a.fleet.Telemetry {
		return nil
	}
	telemetry, err := a.dial(dialling, *at.TelemetryEndpoint, url.Values{
		"agentHash": {"simulated"}, "agentVersion": {"1.105.1"}, "cluster": {a.fleet.Cluster},
		"containerInstance": {a.arn}, "dockerVersion": {"none"},
	})
	if err != nil {
		return err
	}
	go a.listen(ctx, telemetry, func(context.Context, acsapi.Frame) error { return nil })
	go a.publish(ctx, telemetry)
	return nil
}

// dial opens a websocket, signed.
func (a *agent) dial(ctx context.Context, endpoint string, query url.Values) (*websocket.Conn, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"ws?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(nil)
	if err := sigv4.New().SignRequest(&sigv4.SignRequestInput{
		Request: r, PayloadHash: sum[:], Service: "ecs", Region: a.api.Region, Time: time.Now(),
		Credentials: credentials.Credentials{AccessKeyID: a.api.AccessKey, SecretAccessKey: a.api.SecretKey},
	}); err != nil {
		return nil, err
	}
	r.Header.Del("Host")
	a.fleet.requests.Add(1)
	conn, _, err := websocket.Dial(ctx, r.URL.String(), &websocket.DialOptions{HTTPHeader: r.Header})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", endpoint, err)
	}
	conn.SetReadLimit(maxMessage)
	return conn, nil
}

// listen hands on what the control plane says, until ctx ends.
func (a *agent) listen(ctx context.Context, conn *websocket.Conn, hear func(context.Context, acsapi.Frame) error) {
	defer conn.CloseNow()
	for {
		_, data, err := conn.Read(ctx)
		if err == nil {
			a.fleet.received.Add(int64(len(data)))
			var f acsapi.Frame
			if f, err = acsapi.Decode(data); err == nil {
				err = hear(ctx, f)
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			a.fleet.blame(fmt.Errorf("agent %d: its connection: %w", a.number, err))
			return
		}
	}
}

// payload is what an agent without containers needs of a PayloadMessage.
type payload struct {
	MessageID string `json:"messageId"`
	Tasks     []struct {
		Arn           string `json:"arn"`
		DesiredStatus string `json:"desiredStatus"`
		Containers    []struct {
			Name         string               `json:"name"`
			PortMappings []acsapi.PortMapping `json:"portMappings"`
		} `json:"containers"`
	} `json:"tasks"`
}

// hear answers one message, as the genuine agent does.
func (a *agent) hear(ctx context.Context, f acsapi.Frame) error {
	switch f.Type {
	case acsapi.TypePayload:
		var p payload
		if err := json.Unmarshal(f.Message, &p); err != nil {
			return err
		}
		if err := a.ack(ctx, p.MessageID); err != nil {
			return err
		}
		for _, t := range p.Tasks {
			if t.DesiredStatus == "STOPPED" {
				a.report(a.stopped(t.Arn))
				continue
			}
			change := a.running(t.Arn)
			for _, c := range t.Containers {
				change.Containers = append(change.Containers, a.container(t.Arn, c.Name, c.PortMappings))
			}
			a.report(change)
		}
		return a.flush(ctx)
	case acsapi.TypeWelcome:
		return json.Unmarshal(f.Message, &a.welcome)
	case acsapi.TypeStateChangesAck:
		return a.answered(ctx, f)
	case acsapi.TypeHeartbeat:
		var m acsapi.HeartbeatMessage
		if err := json.Unmarshal(f.Message, &m); err != nil {
			return err
		}
		return a.send(ctx, acsapi.TypeHeartbeatAck, acsapi.HeartbeatAckRequest{MessageID: m.MessageID})
	case acsapi.TypeTaskManifest:
		var m struct {
			MessageID string `json:"messageId"`
		}
		if err := json.Unmarshal(f.Message, &m); err != nil {
			return err
		}
		return a.ack(ctx, m.MessageID)
	}
	return nil
}

func (a *agent) ack(ctx context.Context, message string) error {
	return a.send(ctx, acsapi.TypeAck, acsapi.AckRequest{Cluster: a.fleet.Cluster, ContainerInstance: a.arn, MessageID: message})
}

func (a *agent) send(ctx context.Context, typ string, message any) error {
	data, err := acsapi.Encode(typ, message)
	if err != nil {
		return err
	}
	a.fleet.messages.Add(1)
	return a.conn.Write(ctx, websocket.MessageText, data)
}

// call makes one signed call on a connection that is kept.
func (a *agent) call(operation string, in, out any) error {
	request, err := a.api.Sign(operation, in)
	if err != nil {
		return err
	}
	c, err := a.connection()
	if err != nil {
		return err
	}
	a.fleet.requests.Add(1)
	body, err := c.Do(request)
	if err == nil && out != nil {
		err = json.Unmarshal(body, out)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	a.mu.Lock()
	a.idle = append(a.idle, c)
	a.mu.Unlock()
	return nil
}

// connection is one that nobody uses.
func (a *agent) connection() (*client.Conn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.idle); n > 0 {
		c := a.idle[n-1]
		a.idle = a.idle[:n-1]
		return c, nil
	}
	return client.Dial(a.api.Address)
}

// digest is what every image of the simulation has.
var digest = "sha256:" + strings.Repeat("7", 64)
