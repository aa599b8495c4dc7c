package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"gantry"
	"gantry/internal/wire/acsapi"

	"github.com/coder/websocket"
)

// The clocks of the genuine agent.
const (
	// idleAfter and idleJitter: a connection on which the control plane says nothing for so long is given up.
	idleAfter  = time.Minute
	idleJitter = time.Minute
	// renewAfter and renewJitter: a connection is renewed after so long, also if it works.
	renewAfter  = 30 * time.Minute
	renewJitter = 5 * time.Minute
	// steadyAfter: a connection that lasted so long makes earlier failures forgotten.
	steadyAfter = time.Minute
	// inactivePause: how long to stay away once the control plane said that the instance is not ACTIVE.
	inactivePause = time.Hour
	// shortest is how long a connection must have lasted to be renewed at once: a control plane that takes
	// connections only to drop them would be called without pause otherwise.
	shortest = time.Second
	// writeTimeout bounds the sending of one message.
	writeTimeout = 3 * time.Minute
)

const (
	inactiveInstance = "InactiveInstanceException"
	denied           = "AccessDeniedException"
	expired          = "ConnectionExpired: Reconnect to continue"
)

// runACS keeps a control connection until ctx ends.
func (a *Agent) runACS(ctx context.Context) error {
	pauses := acsBackoff()
	// All roles' keys are asked for on the first connection only: later ones bring what is new.
	all := true
	for {
		began := time.Now()
		opened, err := a.controlSession(ctx, all)
		if ctx.Err() != nil {
			return nil
		}
		all = all && !opened
		pause := a.pauseAfter(err, time.Since(began), opened, &pauses)
		var refused *refusal
		a.inactive.Store(errors.As(err, &refused) && refused.Type == inactiveInstance)
		if a.inactive.Load() {
			a.stopUnwanted(ctx)
		}
		if refused != nil && refused.Type == denied {
			a.log.Warn("the control plane refuses this agent's key: was it revoked?", "reason", err, "again in", pause)
		} else {
			a.log.Info("the control connection ended", "reason", err, "again in", pause)
		}
		if sleep(ctx, pause) != nil {
			return nil
		}
	}
}

// stopUnwanted stops every task, since the instance was deregistered: the control plane shows its tasks as STOPPED and has
// given their room away. No manifest will say so, as there is no more connection to send one on. The genuine agent lets
// such tasks run on, which nobody then knows of.
func (a *Agent) stopUnwanted(ctx context.Context) {
	var arns []string
	for _, v := range a.engine.Tasks() {
		if v.Task.Desired != gantry.Stopped {
			arns = append(arns, v.Def.ARN)
		}
	}
	if len(arns) == 0 {
		return
	}
	a.log.Warn("this container instance was deregistered: its tasks are stopped", "tasks", len(arns))
	if err := a.engine.Stop(ctx, arns); err != nil && ctx.Err() == nil {
		a.log.Error("stop the tasks of a deregistered container instance", "err", err)
	}
}

// pauseAfter is how long to wait before the next connection.
func (a *Agent) pauseAfter(err error, lasted time.Duration, opened bool, pauses *backoff) time.Duration {
	if lasted >= steadyAfter {
		pauses.reset()
	}
	var refused *refusal
	switch {
	case errors.As(err, &refused) && refused.Type == inactiveInstance:
		return inactivePause
	case opened && lasted >= shortest && mayReturnAtOnce(err):
		return 0
	}
	return pauses.next()
}

// mayReturnAtOnce reports whether a connection ended in a way that means "reconnect": it expired, was closed with 1000,
// 1001 or 1011, or was cut (1006, which is never on the wire).
func mayReturnAtOnce(err error) bool {
	switch websocket.CloseStatus(err) {
	case websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusInternalError:
		return true
	case -1:
		return errors.Is(err, errExpired) || errors.Is(err, io.EOF)
	}
	return false
}

var (
	errExpired = errors.New(expired)
	errIdle    = errors.New("the control plane said nothing for too long")
)

// controlSession is one connection, from dialling to its end.
func (a *Agent) controlSession(ctx context.Context, allCredentials bool) (opened bool, err error) {
	instance := *a.instance.Load()
	at, err := a.discover(ctx, instance)
	if err != nil {
		return false, err
	}
	conn, err := a.dial(ctx, websocketURL(at.control, url.Values{
		"agentHash": {a.cfg.BuildHash}, "agentVersion": {Version}, "clusterArn": {a.cfg.Cluster},
		"containerInstanceArn": {instance.ARN}, "dockerVersion": {"DockerVersion: " + a.cfg.RuntimeVersion},
		"protocolVersion": {"2"}, "sendCredentials": {strconv.FormatBool(allCredentials)}, "seqNum": {"1"},
	}))
	if err != nil {
		return false, fmt.Errorf("connect to %s: %w", at.control, err)
	}
	defer conn.CloseNow()
	a.inactive.Store(false)
	a.engine.Nudge()
	s := &session{agent: a, conn: conn}
	return true, s.run(ctx)
}

// A session is an open control connection. Messages are handled one after the other, in their order.
type session struct {
	agent *Agent
	conn  *websocket.Conn
	// batches are the state changes that go through this connection; nil while it takes none.
	batches *batches
}

func (s *session) run(ctx context.Context) error {
	defer func() {
		if s.batches != nil {
			s.agent.reports.use(nil)
			s.batches.lose()
		}
	}()
	reading, quit := context.WithCancel(context.WithoutCancel(ctx))
	defer quit()
	incoming, ended := listen(reading, s.conn)
	renew := time.NewTimer(jittered(renewAfter, renewJitter))
	defer renew.Stop()
	idle := time.NewTimer(jittered(idleAfter, idleJitter))
	defer idle.Stop()
	for {
		select {
		case text := <-incoming:
			idle.Reset(jittered(idleAfter, idleJitter))
			if err := s.take(ctx, text); err != nil {
				return err
			}
		case err := <-ended:
			return err
		case <-idle.C:
			return errIdle
		case <-renew.C:
			return errors.Join(errExpired, s.conn.Close(websocket.StatusNormalClosure, expired))
		case <-ctx.Done():
			// The control plane then knows at once, not by a time-out.
			return errors.Join(ctx.Err(), s.conn.Close(websocket.StatusGoingAway, "the agent is stopping"))
		}
	}
}

// take handles one message. What makes no sense is dropped, as the genuine agent does; only a connection that can't be
// used any more is an error.
func (s *session) take(ctx context.Context, text []byte) error {
	frame, err := acsapi.Decode(text)
	if err == nil {
		err = s.handle(ctx, frame)
	}
	var nonsense *nonsenseError
	if errors.As(err, &nonsense) || frame.Type == "" {
		s.agent.log.Warn("a message of the control plane was dropped", "type", frame.Type, "err", err)
		return nil
	}
	return err
}

// listen reads messages until the connection or ctx ends; the reason is then in ended. Its ctx outlives the session's, so
// that the connection can be closed in an orderly way.
func listen(ctx context.Context, conn *websocket.Conn) (incoming <-chan []byte, ended <-chan error) {
	messages, end := make(chan []byte), make(chan error, 1)
	go func() {
		for {
			_, text, err := conn.Read(ctx)
			if err != nil {
				end <- err
				return
			}
			select {
			case messages <- text:
			case <-ctx.Done():
				end <- ctx.Err()
				return
			}
		}
	}()
	return messages, end
}
