package store

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapTo makes the logger that etcd wants out of the one we have. What etcd tells
// at info level is of interest to nobody but etcd's authors: it becomes debug.
// What etcd finds fatal goes to fatal and ends the goroutine, not the process.
func zapTo(log *slog.Logger, fatal chan<- error) *zap.Logger {
	return zap.New(bridge{log}, zap.WithFatalHook(fatalHook{fatal}))
}

// A hush turns into debug all that etcd tells from some moment on: when it is
// asked to stop it reports as errors that it did.
type hush struct {
	slog.Handler
	on *atomic.Bool
}

func (h hush) Enabled(ctx context.Context, l slog.Level) bool {
	if h.on.Load() {
		l = slog.LevelDebug
	}
	return h.Handler.Enabled(ctx, l)
}

func (h hush) Handle(ctx context.Context, r slog.Record) error {
	if h.on.Load() {
		r.Level = slog.LevelDebug
		if !h.Handler.Enabled(ctx, r.Level) {
			return nil
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h hush) WithAttrs(a []slog.Attr) slog.Handler { return hush{h.Handler.WithAttrs(a), h.on} }
func (h hush) WithGroup(g string) slog.Handler      { return hush{h.Handler.WithGroup(g), h.on} }

// harmless are warnings and errors that tell a user of gantry nothing.
var harmless = []string{
	"Running http and grpc server on single port", // or on none
	"exceeded recommended request limit",          // on purpose, see embeddedBytes
	"simple token is not cryptographically signed",
	"Failed to detect schema version", // a new etcd has none yet
	"Failed to detect storage schema version",
	"failed to update storage version", // and gets it with its first raft snapshot
	"cannot campaign at term",          // its election timeout came before its first entry: it campaigns a moment later
}

// bridge is a zapcore.Core that writes to slog.
type bridge struct{ log *slog.Logger }

func level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}

func (b bridge) Enabled(l zapcore.Level) bool {
	return b.log.Enabled(context.Background(), level(l))
}

func (b bridge) With(fields []zapcore.Field) zapcore.Core {
	return bridge{b.log.With(args(fields)...)}
}

func (b bridge) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return c.AddCore(e, b)
	}
	return c
}

func (b bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	l := level(e.Level)
	if slices.ContainsFunc(harmless, func(s string) bool { return strings.Contains(e.Message, s) }) {
		l = slog.LevelDebug
	}
	if !b.log.Enabled(context.Background(), l) {
		return nil
	}
	b.log.Log(context.Background(), l, "etcd: "+e.Message, args(fields)...)
	return nil
}

func (bridge) Sync() error { return nil }

// mostField bounds a field in the log: etcd tells whole transactions when one is slow.
const mostField = 200

// args are zap's fields as slog wants them.
func args(fields []zapcore.Field) []any {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	var all []any
	for _, k := range slices.Sorted(maps.Keys(enc.Fields)) {
		v := enc.Fields[k]
		if long, ok := v.(string); ok && len(long) > mostField {
			v = long[:mostField] + "…"
		}
		all = append(all, k, v)
	}
	return all
}

// fatalHook is what happens instead of os.Exit.
type fatalHook struct{ fatal chan<- error }

func (h fatalHook) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	err := errors.New("etcd gave up: " + e.Message)
	for _, f := range fields {
		if cause, ok := f.Interface.(error); ok {
			err = errors.Join(err, cause)
		}
	}
	select {
	case h.fatal <- err:
	default: // the first one counts; nobody listens on a nil channel
	}
	runtime.Goexit()
}
