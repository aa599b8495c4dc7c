package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// A patientTransport ends a request whose server has sent nothing for a while,
// and counts what it received.
type patientTransport struct {
	base     *http.Transport
	patience time.Duration
	received atomic.Int64 // bytes of bodies
}

// RoundTrip implements http.RoundTripper.
func (t *patientTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	inactive := fmt.Errorf("%w: %v without a byte from %s", ErrPullInactive, t.patience, request.URL.Host)
	alarm := time.AfterFunc(t.patience, func() { cancel(inactive) })
	response, err := t.base.RoundTrip(request.WithContext(ctx))
	alarm.Stop()
	if err != nil {
		cancel(nil)
		return nil, because(ctx, err)
	}
	response.Body = &patientBody{ReadCloser: response.Body, transport: t, alarm: alarm, ctx: ctx, cancel: cancel}
	return response, nil
}

// because prefers the reason of our own cancellation to what it led to.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, ErrPullInactive) {
		return cause
	}
	return err
}

type patientBody struct {
	io.ReadCloser
	transport *patientTransport
	alarm     *time.Timer // runs only while a Read waits: a slow reader is not the server's fault
	ctx       context.Context
	cancel    context.CancelCauseFunc
}

func (b *patientBody) Read(p []byte) (int, error) {
	b.alarm.Reset(b.transport.patience)
	n, err := b.ReadCloser.Read(p)
	b.alarm.Stop()
	b.transport.received.Add(int64(n))
	if err != nil && err != io.EOF {
		err = because(b.ctx, err)
	}
	return n, err
}

func (b *patientBody) Close() error {
	b.alarm.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}
