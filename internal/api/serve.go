package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// headerTimeout bounds how long a client may take to say what it wants.
	headerTimeout = 10 * time.Second
	// readTimeout bounds how long a whole request may take to arrive: maxBody over a slow line.
	readTimeout = 60 * time.Second
	// writeTimeout bounds how long a client may take to read its answer.
	writeTimeout = 2 * time.Minute
	// idleTimeout is how long an unused connection is kept. SDKs keep theirs for a minute or two.
	idleTimeout = 5 * time.Minute
	// maxHeader bounds a request's header, in bytes. Session tokens are the longest thing in it, a few kilobytes.
	maxHeader = 64 << 10
	// shutdownGrace is how long answers under way may take once we are told to stop.
	shutdownGrace = 5 * time.Second
)

// Serve answers requests on ln until ctx ends; then it lets those under way
// finish, and closes ln. Websockets are not waited for: whoever holds one ends
// it by the same ctx.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	unused := newUnused()
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ConnContext:       withConn,
		ConnState:         unused.note,
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		unused.close()
		stopped <- errors.Join(srv.Shutdown(grace), srv.Close())
	})
	defer stop()
	if err := srv.Serve(wholeListener{ln}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	if err := <-stopped; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop serving %s: %w", ln.Addr(), err)
	}
	return nil
}
