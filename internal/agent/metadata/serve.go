package metadata

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

const (
	// exchange is how long reading a request and writing its answer may each take: both are small and local. Listing tags
	// has its own, shorter deadline.
	exchange = 5 * time.Second
	// idle is how long a connection stays for the next request.
	idle = time.Minute
	// maxHeader bounds a request's header, which carries nothing we need.
	maxHeader = 16 << 10
)

// Serve answers on the listener, which it closes, until the context ends.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler:        h,
		ReadTimeout:    exchange,
		WriteTimeout:   exchange,
		IdleTimeout:    idle,
		MaxHeaderBytes: maxHeader,
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metadata on %s: %w", l.Addr(), err)
	}
	return nil
}
