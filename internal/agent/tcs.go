package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"gantry/internal/agent/engine"
	"gantry/internal/wire/acsapi"

	"github.com/coder/websocket"
)

const (
	// publishEvery is how often metrics and health are sent.
	publishEvery = 20 * time.Second
	// newsDelay collects changes of health before they are sent, which is not only every publishEvery.
	newsDelay = 100 * time.Millisecond
	// tasksPerFrame bounds one frame of metrics or health, as the protocol has it.
	tasksPerFrame = 10
)

// errInactive is why an instance that is not ACTIVE sends no telemetry.
var errInactive = errors.New("the control plane says that the instance is not ACTIVE")

// runTCS keeps a telemetry connection until ctx ends.
func (a *Agent) runTCS(ctx context.Context) error {
	pauses := tcsBackoff()
	for {
		began := time.Now()
		err := a.telemetrySession(ctx)
		if ctx.Err() != nil {
			return nil
		}
		pause := pauses.next()
		if lasted := time.Since(began); lasted >= shortest && websocket.CloseStatus(err) == websocket.StatusNormalClosure {
			pause = 0
			pauses.reset()
		} else if lasted >= steadyAfter {
			pauses.reset()
		}
		a.log.Info("the telemetry connection ended", "reason", err, "again in", pause)
		if sleep(ctx, pause) != nil {
			return nil
		}
	}
}

func (a *Agent) telemetrySession(ctx context.Context) error {
	instance := *a.instance.Load()
	at, err := a.discover(ctx, instance)
	if err != nil {
		return err
	}
	if a.inactive.Load() {
		return errInactive
	}
	address := websocketURL(at.telemetry, url.Values{
		"agentHash": {a.cfg.BuildHash}, "agentVersion": {Version}, "cluster": {a.cfg.Cluster},
		"containerInstance": {instance.ARN}, "dockerVersion": {a.cfg.RuntimeVersion},
	})
	conn, err := a.dial(ctx, address)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", at.telemetry, err)
	}
	defer conn.CloseNow()
	t := &telemetry{agent: a, conn: conn, instance: instance, url: address}
	return t.run(ctx)
}

// A telemetry is an open telemetry connection.
type telemetry struct {
	agent    *Agent
	conn     *websocket.Conn
	instance Instance
	url      string // in whose name frames are signed
	// health is what was last sent, so that a change is sent at once.
	health map[healthOf]string
}

// A healthOf names a container of a task.
type healthOf struct{ task, container string }

func (t *telemetry) run(ctx context.Context) error {
	reading, quit := context.WithCancel(context.WithoutCancel(ctx))
	defer quit()
	incoming, ended := listen(reading, t.conn)
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	idle := time.NewTimer(jittered(idleAfter, idleJitter))
	defer idle.Stop()
	if err := t.publish(ctx); err != nil {
		return err
	}
	// What an instance said of itself is known for as long as its connection lasts.
	if err := t.sendStatus(ctx, time.Now()); err != nil {
		return err
	}
	changed := t.agent.engine.HealthChanged()
	var news <-chan time.Time
	for {
		var err error
		select {
		case <-changed:
			changed, news = nil, time.After(newsDelay)
		case <-news:
			changed, news = t.agent.engine.HealthChanged(), nil
			err = t.publishNewHealth(ctx)
		case text := <-incoming:
			idle.Reset(jittered(idleAfter, idleJitter))
			t.hear(text)
		case <-tick.C:
			err = t.publish(ctx)
		case err = <-ended:
		case <-idle.C:
			err = errIdle
		case <-ctx.Done():
			err = errors.Join(ctx.Err(), t.conn.Close(websocket.StatusGoingAway, "the agent is stopping"))
		}
		if err != nil {
			return err
		}
	}
}

// hear reads an answer. Acknowledgements need nothing; an error is told and changes nothing.
func (t *telemetry) hear(text []byte) {
	frame, err := acsapi.Decode(text)
	if err != nil {
		t.agent.log.Warn("an answer to telemetry makes no sense", "err", err)
		return
	}
	switch frame.Type {
	case acsapi.TypeAckPublishMetric, acsapi.TypeAckPublishHealth, acsapi.TypeAckPublishInstanceStatus, acsapi.TypeHeartbeat:
	default:
		t.agent.log.Warn("the control plane refuses telemetry", "type", frame.Type, "message", string(frame.Message))
	}
}

// publish sends one round: metrics, health where a task has health checks, and the instance's status after each
// heartbeat of the control connection.
func (t *telemetry) publish(ctx context.Context) error {
	if t.agent.inactive.Load() {
		return errInactive
	}
	now := time.Now()
	views := t.agent.engine.Tasks()
	for _, m := range metricsFrames(t.agent.samples, views) {
		m.Metadata = t.metadata(m.Metadata)
		m.Timestamp = seconds(now)
		if err := t.send(ctx, acsapi.TypePublishMetrics, m); err != nil {
			return err
		}
	}
	if err := t.sendHealth(ctx, views); err != nil {
		return err
	}
	select {
	case <-t.agent.beat:
		return t.sendStatus(ctx, now)
	default:
		return nil
	}
}

// publishNewHealth sends the health of all containers if that of one has changed.
func (t *telemetry) publishNewHealth(ctx context.Context) error {
	views := t.agent.engine.Tasks()
	if maps.Equal(t.health, healthIn(healthFrames(views))) {
		return nil
	}
	return t.sendHealth(ctx, views)
}

func (t *telemetry) sendHealth(ctx context.Context, views []engine.View) error {
	frames := healthFrames(views)
	t.health = healthIn(frames)
	for _, h := range frames {
		h.Metadata, h.Timestamp = t.metadata(h.Metadata), seconds(time.Now())
		if err := t.send(ctx, acsapi.TypePublishHealth, h); err != nil {
			return err
		}
	}
	return nil
}

// healthIn is what frames say of each container.
func healthIn(frames []acsapi.PublishHealthRequest) map[healthOf]string {
	m := map[healthOf]string{}
	for _, f := range frames {
		for _, task := range f.Tasks {
			for _, c := range task.Containers {
				m[healthOf{task.TaskArn, c.ContainerName}] = c.HealthStatus
			}
		}
	}
	return m
}

func (t *telemetry) metadata(m acsapi.MetricsMetadata) acsapi.MetricsMetadata {
	m.Cluster, m.ContainerInstance, m.MessageID = t.agent.cfg.Cluster, t.instance.ARN, newID()
	return m
}

func (t *telemetry) sendStatus(ctx context.Context, now time.Time) error {
	return t.send(ctx, acsapi.TypePublishInstanceStatus, acsapi.PublishInstanceStatusRequest{
		Metadata:  acsapi.InstanceStatusMetadata{Cluster: t.agent.cfg.Cluster, ContainerInstance: t.instance.ARN, RequestID: newID()},
		Statuses:  []acsapi.InstanceStatus{t.agent.runtimeHealth.check(ctx, t.agent.containers, now)},
		Timestamp: seconds(now),
	})
}

// send sends a frame as the genuine agent does: behind a block of headers that sign it.
func (t *telemetry) send(ctx context.Context, typ string, message any) error {
	text, err := acsapi.Encode(typ, message)
	if err != nil {
		return err
	}
	if text, err = t.agent.ecs.signer.signFrame(ctx, t.url, text); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return t.conn.Write(ctx, websocket.MessageText, text)
}

// seconds is how TCS writes a time.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// metricsFrames is the metrics of all tasks, ten to a frame; one empty frame where there are none.
func metricsFrames(samples *sampler, views []engine.View) []acsapi.PublishMetricsRequest {
	var tasks []acsapi.TaskMetric
	for _, v := range views {
		m := acsapi.TaskMetric{
			TaskArn: v.Def.ARN, TaskDefinitionFamily: v.Def.Task.Family, TaskDefinitionVersion: v.Def.Task.Version,
			ClusterArn: v.Def.Task.TaskClusterArn,
		}
		for i := range v.Task.Containers {
			c, def := &v.Task.Containers[i], &v.Def.Containers[i]
			metric, ok := samples.collect(c.RuntimeID)
			if !ok {
				continue
			}
			metric.ContainerName, metric.ContainerArn = c.Name, def.ContainerArn
			if def.RestartPolicy != nil && def.RestartPolicy.Enabled {
				metric.Restart = &acsapi.RestartStatsSet{RestartCount: int64(c.Restarts)}
			}
			m.ContainerMetrics = append(m.ContainerMetrics, metric)
		}
		if len(m.ContainerMetrics) > 0 {
			tasks = append(tasks, m)
		}
	}
	if len(tasks) == 0 {
		return []acsapi.PublishMetricsRequest{{Metadata: acsapi.MetricsMetadata{Idle: true, Fin: true}}}
	}
	var frames []acsapi.PublishMetricsRequest
	for some := range slices.Chunk(tasks, tasksPerFrame) {
		frames = append(frames, acsapi.PublishMetricsRequest{TaskMetrics: some})
	}
	frames[len(frames)-1].Metadata.Fin = true
	return frames
}

// healthFrames is the health of the containers that have a health check; none where there are none.
func healthFrames(views []engine.View) []acsapi.PublishHealthRequest {
	var tasks []acsapi.TaskHealth
	for _, v := range views {
		h := acsapi.TaskHealth{TaskArn: v.Def.ARN, TaskDefinitionFamily: v.Def.Task.Family, TaskDefinitionVersion: v.Def.Task.Version}
		for i := range v.Task.Containers {
			c := &v.Task.Containers[i]
			if v.Def.Containers[i].HealthCheck == nil || c.Phase != engine.Up {
				continue
			}
			h.Containers = append(h.Containers, acsapi.ContainerHealth{
				ContainerName: c.Name, HealthStatus: string(c.Health.Status), StatusSince: seconds(c.Health.Since),
			})
		}
		if len(h.Containers) > 0 {
			tasks = append(tasks, h)
		}
	}
	var frames []acsapi.PublishHealthRequest
	for some := range slices.Chunk(tasks, tasksPerFrame) {
		frames = append(frames, acsapi.PublishHealthRequest{Tasks: some})
	}
	if len(frames) > 0 {
		frames[len(frames)-1].Metadata.Fin = true
	}
	return frames
}
