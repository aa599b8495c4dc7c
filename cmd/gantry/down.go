package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"syscall"
	"time"

	"gantry"
	"gantry/internal/lifecycle"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"

	"github.com/spf13/cobra"
)

const (
	// stopWithin is how long a running gantry may take to stop when it is asked to.
	stopWithin = 20 * time.Second
	// killWithin is how long it may take once it was killed.
	killWithin = 5 * time.Second
	// reasonDown is the stoppedReason of the tasks that gantry down ends.
	reasonDown = "Stopped by gantry down"
)

func newDown() *cobra.Command {
	var dir, level string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop gantry and its tasks, also when gantry itself is dead",
		Long: `Stop gantry and its tasks, also when gantry itself is dead, and take back what it
made on this machine: containers, networks, mounts. What gantry knows stays in the
data dir, and "gantry up" goes on from there.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(level, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return down(cmd.Context(), dir, cmd.OutOrStdout(), log)
		},
	}
	addDataDir(cmd, &dir)
	cmd.Flags().StringVar(&level, "log-level", "error", "what goes to stderr: debug, info, warn or error")
	return cmd
}

func down(ctx context.Context, path string, out io.Writer, log *slog.Logger) error {
	d, err := openDataDir(path)
	if err != nil {
		return err
	}
	id, err := d.read()
	if err != nil {
		return err
	}
	if id == nil {
		return fmt.Errorf("no gantry was ever started on %s", d.path)
	}
	if err := checkMachine(); err != nil {
		return err
	}
	stopped, err := stopRunning(ctx, d)
	if err != nil {
		return err
	}
	if stopped > 0 {
		fmt.Fprintf(out, "stopped gantry (pid %d)\n", stopped)
	}
	id, unlock, err := takeDir(d, id.place(), func() error { return nil })
	if err != nil {
		return err
	}
	defer unlock()
	if err := emptyMachine(ctx, d, id, log); err != nil {
		return err
	}
	ended, err := endTasks(ctx, d, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "stopped %d tasks; nothing of gantry is left on this machine but %s\n", ended, d.path)
	return nil
}

// stopRunning stops the gantry that runs on a data dir, and returns its pid; 0 where none runs.
func stopRunning(ctx context.Context, d dataDir) (pid int, err error) {
	for _, step := range []struct {
		signal syscall.Signal
		within time.Duration
	}{{syscall.SIGTERM, stopWithin}, {syscall.SIGKILL, killWithin}} {
		held, err := d.holder()
		if err != nil || held == 0 {
			return pid, err
		}
		pid = held
		if err := syscall.Kill(pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return pid, fmt.Errorf("stop gantry (pid %d): %w", pid, err)
		}
		if err := d.waitFree(ctx, step.within); err == nil || ctx.Err() != nil {
			return pid, ctx.Err()
		}
	}
	return pid, fmt.Errorf("gantry (pid %d) does not stop", pid)
}

// endTasks writes down that every task has ended: nobody will report it any more.
func endTasks(ctx context.Context, d dataDir, log *slog.Logger) (ended int, err error) {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	st, err := store.OpenEtcd(opening, store.EtcdConfig{Dir: d.file(storeFolder), Log: log})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for t := range store.Tasks.All(st.View(), "") {
		if t.LastStatus == gantry.Stopped {
			continue
		}
		_, err := st.Update(ctx, func(tx *store.Tx) error {
			if now, ok := store.Tasks.Get(tx, t.Key()); ok && now.LastStatus != gantry.Stopped {
				lifecycle.Stop(tx, now, lifecycle.Ending{Code: ecsapi.TaskStopCodeUserInitiated, Reason: reasonDown}, time.Now())
			}
			return nil
		})
		if err != nil {
			return ended, fmt.Errorf("write down that task %s has ended: %w", t.ID, err)
		}
		ended++
	}
	return ended, nil
}
