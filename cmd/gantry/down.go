package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"gantry"
	"gantry/internal/agent/home"
	"gantry/internal/lifecycle"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"

	"github.com/spf13/cobra"
)

const (
	// stopWithin is how long a running gantry may take to stop when it is asked to.
	stopWithin = 20 * time.Second
	// killWithin is how long it may take once it was killed: what it has under way at the
	// disk the kernel lets finish first.
	killWithin = time.Minute
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
data dir, and "gantry up" goes on from there. It is about one machine: what others
run that have joined the same server runs on.`,
		Args: takes(0, 0),
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
	hasHost := usedMachine(d)
	if hasHost {
		if err := checkMachine(); err != nil {
			return err
		}
	}
	stopped, err := stopRunning(ctx, d)
	if err != nil {
		return err
	}
	if stopped > 0 {
		fmt.Fprintf(out, "stopped gantry (pid %d)\n", stopped)
	}
	if !hasHost {
		fmt.Fprintf(out, "no containers of gantry were ever on this machine; machines that have joined run theirs on\n")
		return nil
	}
	id, unlock, err := takeDir(d, id.Role, enterMachine, func() (gantry.Place, error) { return id.place(), nil })
	if err != nil {
		return err
	}
	defer unlock()
	if id.Role == agentRole {
		return emptyAgent(ctx, d, id, out, log)
	}
	ended, err := emptyInOrder(ctx, d, id, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "stopped %d tasks; nothing of gantry is left on this machine but %s\n", ended, d.path)
	return nil
}

// usedMachine says whether a gantry of this data dir has made anything on the machine beside
// it. The mount namespace is the first that it makes, long before it has an agent.
func usedMachine(d dataDir) bool {
	for _, made := range []string{mountsFolder, agentFolder} {
		if _, err := os.Stat(d.file(made)); !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

// emptyAgent takes everything off a machine that has joined a server.
func emptyAgent(ctx context.Context, d dataDir, id *identity, out io.Writer, log *slog.Logger) error {
	h, err := home.Read(d.file(homeFile))
	if err != nil {
		return err
	}
	http, err := clientOf(h)
	if err != nil {
		return err
	}
	stopped, err := emptyRemote(ctx, hostConfig{dir: d, identity: id, endpoint: h.Server, http: http, log: log}, h)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "stopped %d tasks; nothing of gantry is left on this machine but %s\n", stopped, d.path)
	return nil
}

// emptyInOrder takes everything off this machine, while a control plane of its own
// takes in what is said last: the tasks' ends, and their last output. Where the
// state cannot be opened the machine is emptied all the same.
func emptyInOrder(ctx context.Context, d dataDir, id *identity, log *slog.Logger) (ended int, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	c, err := openControl(ctx, controlConfig{dir: d, identity: id, endpoint: endpointOf(ln.Addr()), leaving: true, log: log})
	if err != nil {
		if emptied := emptyMachine(ctx, d, id, nil, nil, log); emptied != nil {
			return 0, errors.Join(emptied, err)
		}
		return 0, fmt.Errorf("nothing of gantry is left on this machine but %s; that its tasks have ended cannot be written down: %w", d.path, err)
	}
	defer c.close()
	here := tasksHere(c.store.View())
	ended, asked := askToStop(ctx, c, here)
	if err := emptyMachine(ctx, d, id, c, ln, log); err != nil {
		return 0, errors.Join(err, asked)
	}
	return ended, errors.Join(asked, endTasks(ctx, c.store, here))
}

// tasksHere are the tasks that have not ended, but for those on other machines.
func tasksHere(r store.Reader) (here []*gantry.Task) {
	for t := range store.Tasks.All(r, "") {
		if t.LastStatus == gantry.Stopped {
			continue
		}
		if i, ok := store.Instances.Get(r, string(t.Cluster)+"/"+string(t.Instance)); ok {
			key, known := store.Principals.Get(r, i.Principal)
			if !known || key.Kind != gantry.AgentPrincipal || key.Joined != nil {
				continue
			}
		}
		here = append(here, t)
	}
	return here
}

// askToStop is StopTask for each of the tasks. A full disk may refuse it.
func askToStop(ctx context.Context, c *control, tasks []*gantry.Task) (asked int, err error) {
	stop := c.ecs.Operations().StopTask
	for _, t := range tasks {
		if _, err := stop(ctx, &ecsapi.StopTaskInput{Cluster: new(string(t.Cluster)), Task: new(string(t.ID)), Reason: new(reasonDown)}); err != nil {
			return asked, fmt.Errorf("stop task %s: %w", t.ID, err)
		}
		asked++
	}
	return asked, nil
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

// endTasks writes down that the tasks have ended: what no agent has told of them
// nobody will tell any more.
func endTasks(ctx context.Context, st *store.Store, tasks []*gantry.Task) error {
	for _, t := range tasks {
		_, err := st.Update(ctx, func(tx *store.Tx) error {
			if now, ok := store.Tasks.Get(tx, t.Key()); ok && now.LastStatus != gantry.Stopped {
				lifecycle.Stop(tx, now, lifecycle.Ending{Code: ecsapi.TaskStopCodeUserInitiated, Reason: reasonDown}, time.Now())
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("write down that task %s has ended: %w", t.ID, err)
		}
	}
	return nil
}
