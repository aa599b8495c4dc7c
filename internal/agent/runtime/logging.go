package runtime

import (
	"context"
	"io"
	"log/slog"
	"slices"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// bridge carries what containerd logs into a slog.Logger: its warnings and
// errors as warnings (they are about containers, not about gantry), the rest
// as debugging. containerd also logs through a global; that is bridged too,
// and the last runtime opened in a process hears it.
func bridge(to *slog.Logger) *logrus.Entry {
	logger := logrus.New()
	tame(logger, to)
	tame(log.L.Logger, to)
	return logrus.NewEntry(logger)
}

func tame(logger *logrus.Logger, to *slog.Logger) {
	logger.SetOutput(io.Discard)
	logger.SetLevel(logrus.WarnLevel)
	if to.Enabled(context.Background(), slog.LevelDebug) {
		logger.SetLevel(logrus.InfoLevel)
	}
	logger.ReplaceHooks(logrus.LevelHooks{})
	logger.AddHook(hook{to})
}

// harmless are warnings about what is as it should be.
var harmless = []string{
	"failed check for fsverity support", // an optional feature of the file system
	"copy shim log",                     // the shim ended, and its log with it
	"failed to delete task",             // deleting what is gone already
	"garbage collection failed",         // only at Close: the database is closed under it
	"failed sending message on channel", // likewise, and its sender tries again
}

// A hook hands logrus entries to slog.
type hook struct{ to *slog.Logger }

func (hook) Levels() []logrus.Level { return logrus.AllLevels }

func (h hook) Fire(entry *logrus.Entry) error {
	level := slog.LevelDebug
	if entry.Level <= logrus.WarnLevel && !slices.Contains(harmless, entry.Message) {
		level = slog.LevelWarn
	}
	attrs := make([]slog.Attr, 0, len(entry.Data))
	for k, v := range entry.Data {
		attrs = append(attrs, slog.Any(k, v))
	}
	h.to.LogAttrs(context.Background(), level, "containerd: "+entry.Message, attrs...)
	return nil
}
