package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gantry"
	"gantry/internal/agent"
	"gantry/internal/events"
	"gantry/internal/heap"
	"gantry/internal/lifecycle"
	"gantry/internal/service"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

const (
	defaultListen  = "127.0.0.1:4747"
	defaultRegion  = gantry.Region("us-east-1")
	defaultAccount = gantry.Account("123456789012")
)

// upOptions are the flags of gantry up.
type upOptions struct {
	dataDir        string
	listen         string
	region         string
	account        string
	anyCredentials bool
	plainHTTP      bool
	tls            bool
	names          []string // further ones of the server's certificate
	logLevel       string
	pullBehavior   string
	history        time.Duration
	stoppedFor     time.Duration
	taskWarmup     time.Duration
	taskStartDelay time.Duration
	loss           lifecycle.LossRule
}

func newUp() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the whole of gantry on this machine: control plane and container instance",
		Long: `Run the whole of gantry on this machine: the ECS API, its state, and this machine
as a container instance of every cluster. SIGTERM (or Ctrl-C) stops gantry and
leaves tasks running; starting again takes them up where they are. "gantry down"
stops the tasks too.`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return untilStopped(cmd, serve(cmd.Context(), o, withMachine, cmd.OutOrStdout(), cmd.ErrOrStderr()))
		},
	}
	addServerFlags(cmd, &o)
	addMachineFlags(cmd, &o.logLevel, &o.pullBehavior)
	return cmd
}

// newServer is gantry up without the machine.
func newServer() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run the control plane alone; machines join it with gantry agent",
		Long: `Run the control plane alone: the ECS API and its state, without a container instance
of its own. Machines join it with "gantry agent" and a token that "gantry token
create" prints. It needs no root.`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return untilStopped(cmd, serve(cmd.Context(), o, alone, cmd.OutOrStdout(), cmd.ErrOrStderr()))
		},
	}
	addServerFlags(cmd, &o)
	addLogLevel(cmd, &o.logLevel)
	o.pullBehavior = pullBehaviors[0]
	return cmd
}

// addServerFlags adds what every control plane is told.
func addServerFlags(cmd *cobra.Command, o *upOptions) {
	addDataDir(cmd, &o.dataDir)
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", defaultListen, "the address of the API; port 0 takes a free one, which gantry env tells")
	f.StringVar(&o.region, "region", "", "the AWS region to be, recorded in the data dir (default "+string(defaultRegion)+")")
	f.StringVar(&o.account, "account", "", "the AWS account id to be, recorded in the data dir (default "+string(defaultAccount)+")")
	f.BoolVar(&o.tls, "tls", false, "speak TLS on loopback, too; it is spoken wherever other machines can reach the endpoint")
	f.StringSliceVar(&o.names, "tls-names", nil, "further names and addresses by which clients reach the endpoint, for its certificate")
	f.BoolVar(&o.plainHTTP, "insecure-plain-http", false, "speak plain HTTP also where other machines can reach the endpoint; for trusted networks only")
	f.BoolVar(&o.anyCredentials, "insecure-any-credentials", false, "accept every access key that gantry does not know as the account's root; for CI only")
	f.DurationVar(&o.stoppedFor, "stopped-task-retention", lifecycle.DefaultLimits.Stopped, "how long DescribeTasks shows tasks that have stopped; AWS shows them for an hour at least")
	f.DurationVar(&o.history, "task-history", events.DefaultHistory, "how long stopped tasks stay readable by gantry tasks and gantry why")
	f.DurationVar(&o.taskWarmup, "task-warmup", service.DefaultSettings.Warmup, "how long a service's task without a health check has to run until it counts as healthy; as on AWS unless set")
	f.DurationVar(&o.taskStartDelay, "task-start-delay", service.DefaultSettings.MaxStartDelay, "how long a service whose tasks cannot start pauses at most between attempts; as on AWS unless set")
	addLossFlags(cmd, &o.loss)
}

func addLogLevel(cmd *cobra.Command, level *string) {
	cmd.Flags().StringVar(level, "log-level", "warn", "what goes to stderr: debug, info, warn or error; info and up are always in the data dir's "+logFile)
}

// addMachineFlags adds what every container instance is told.
func addMachineFlags(cmd *cobra.Command, level, pullBehavior *string) {
	addLogLevel(cmd, level)
	cmd.Flags().StringVar(pullBehavior, "image-pull-behavior", pullBehaviors[0], "when registries are asked for images, as the ECS agent's ECS_IMAGE_PULL_BEHAVIOR: "+strings.Join(pullBehaviors, ", "))
}

// checkMachineFlags refuses what addMachineFlags cannot mean.
func checkMachineFlags(level, pullBehavior string) error {
	if _, err := levelOf(level); err != nil {
		return err
	}
	if !slices.Contains(pullBehaviors, pullBehavior) {
		return fmt.Errorf("--image-pull-behavior %s: choose one of %s", pullBehavior, strings.Join(pullBehaviors, ", "))
	}
	return nil
}

// pullBehaviors are ECS's: ask, and take the image that is here if that fails; ask;
// ask for an image that was never pulled here; ask for one that is not here.
var pullBehaviors = []string{"default", "always", "once", "prefer-cached"}

// serve is the table of contents: open what is needed in the order data flows, then run until ctx ends.
func serve(ctx context.Context, o upOptions, beside companion, out, errOut io.Writer) error {
	if err := checkMachineFlags(o.logLevel, o.pullBehavior); err != nil {
		return err
	}
	if o.taskWarmup < 0 {
		return fmt.Errorf("--task-warmup %s: a time cannot be negative", o.taskWarmup)
	}
	if o.taskStartDelay < service.DefaultSettings.StartDelay {
		return fmt.Errorf("--task-start-delay %s: the first pause is %s already", o.taskStartDelay, service.DefaultSettings.StartDelay)
	}
	mib, _ := agent.HostMemory() // 0 where it is not known
	heap.Tune(ctx, mib<<20)
	if err := checkLoss(o.loss); err != nil {
		return err
	}
	if o.tls && o.plainHTTP {
		return errors.New("--tls and --insecure-plain-http are both given: choose one")
	}
	d, err := openDataDir(o.dataDir)
	if err != nil {
		return err
	}
	asked, err := placeAsked(o)
	if err != nil {
		return err
	}
	if err := beside.check(); err != nil {
		return err
	}
	id, unlock, err := takeDir(d, serverRole, beside.enter, func() (gantry.Place, error) { return asked, tryListen(o.listen) })
	if err != nil {
		return err
	}
	defer unlock()
	log, file, err := openLogs(d, o.logLevel, errOut)
	if err != nil {
		return err
	}
	defer file.Close()
	p := newProgress(out)
	ln, err := openGate(d, o)
	if err != nil {
		return err
	}
	defer ln.Close()
	p.step("data dir %s, region %s, account %s", d.path, id.Region, id.Account)

	scheduling := service.DefaultSettings
	scheduling.Warmup, scheduling.MaxStartDelay = o.taskWarmup, o.taskStartDelay
	c, err := openControl(ctx, controlConfig{dir: d, identity: id, gate: ln, endpoint: ln.endpoint, anyCredentials: o.anyCredentials, scheduling: scheduling, loss: o.loss, history: o.history, stoppedFor: o.stoppedFor, log: log})
	if err != nil {
		return err
	}
	defer c.close()
	p.step("state at revision %d", c.store.View().Revision())

	http, err := ln.client()
	if err != nil {
		return err
	}
	m, err := beside.open(ctx, hostConfig{dir: d, identity: id, endpoint: ln.endpoint, http: http, pulls: newPullPrinter(out, log), pullBehavior: o.pullBehavior, log: log}, c)
	if err != nil {
		return err
	}
	defer m.close()
	p.step("%s", m)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.run(ctx, ln, m) })
	g.Go(func() error { return m.run(ctx) })
	g.Go(func() error { return announce(ctx, o, out, p, c, m) })
	return g.Wait()
}

// untilStopped makes a good end of a run that ended, also while it was still starting, because
// it was told to.
func untilStopped(cmd *cobra.Command, err error) error {
	if err != nil && (cmd.Context().Err() == nil || !errors.Is(err, context.Canceled)) {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), "stopped; tasks go on running (gantry down stops them too)")
	return nil
}

// announce does what is left to do once everything runs, and says how to use it.
func announce(ctx context.Context, o upOptions, out io.Writer, p *progress, c *control, m machine) error {
	if err := c.makeDefault(ctx); err != nil {
		return err
	}
	if err := c.writeFiles(); err != nil {
		return err
	}
	p.step("API at %s", c.endpoint)
	if err := errors.Join(m.ready(ctx), ctx.Err()); err != nil {
		return err
	}
	p.step("%s", m.role())
	if c.gate.open && c.gate.authority == nil {
		fmt.Fprintln(out, "warning: the endpoint is reachable from other machines and speaks plain HTTP: requests are signed, but not secret")
	}
	if o.anyCredentials {
		fmt.Fprintln(out, "warning: --insecure-any-credentials lets everyone in who can reach the endpoint")
	}
	fmt.Fprintf(out, "ready in %s: %s\n\n    eval \"$(gantry env --data-dir %s)\"\n    aws ecs list-clusters\n\nwhat happens from now on is told in %s\n", p.total(), c.endpoint, c.dir.path, c.dir.file(logFile))
	return nil
}

// takeDir makes the data dir gantry's and this process its only user, inside the
// mount namespace that belongs to it. Entering that starts the program anew, which
// lets go of the lock: so it is taken twice. First says where a new data dir shall
// be; what it says no to leaves no more behind than the file of the lock.
func takeDir(d dataDir, r role, enter func(dataDir) error, first func() (gantry.Place, error)) (id *identity, unlock func(), err error) {
	if have, err := d.read(); err != nil { // before anything is written there
		return nil, nil, err
	} else if have != nil && have.Role != r {
		return nil, nil, have.Role.refuse(d)
	}
	if unlock, err = d.lock(); err != nil {
		return nil, nil, err
	}
	asked, err := first()
	if err == nil {
		id, err = d.create(r, asked, time.Now())
	}
	unlock()
	if err != nil {
		return nil, nil, err
	}
	if err := enter(d); err != nil {
		return nil, nil, err
	}
	unlock, err = d.lock()
	return id, unlock, err
}

// validRegion is what a region's name may be: it is a part of ARNs, of credential scopes and of
// the shell's variables.
var validRegion = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9])*$`)

// placeAsked reads --region and --account; what was not given stays empty.
func placeAsked(o upOptions) (gantry.Place, error) {
	if o.account != "" {
		if _, err := strconv.ParseUint(o.account, 10, 64); err != nil || len(o.account) != 12 {
			return gantry.Place{}, fmt.Errorf("--account %s: an AWS account id has 12 digits", o.account)
		}
	}
	if o.region != "" && !validRegion.MatchString(o.region) {
		return gantry.Place{}, fmt.Errorf("--region %s: a region is lower-case letters, digits and hyphens, such as %s", o.region, defaultRegion)
	}
	return gantry.Place{Region: gantry.Region(o.region), Account: gantry.Account(o.account)}, nil
}

// openLogs opens the log, which goes to a file in the data dir and in part to errOut.
func openLogs(d dataDir, level string, errOut io.Writer) (*slog.Logger, io.Closer, error) {
	file, err := openLog(d.file(logFile), maxLogFile)
	if err != nil {
		return nil, nil, err
	}
	log, err := newFileLogger(level, errOut, file)
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return log, file, nil
}

// listen opens the API's port.
func listen(address string) (net.Listener, error) {
	ln, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use: stop what listens there, or choose another address with --listen (port 0 takes a free one)", address)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s may not be listened on: choose a port above 1023 with --listen, or start gantry as root", address)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w; choose another address with --listen", address, err)
	}
	return ln, nil
}

// tryListen says whether the API's port can be opened, before anything is made on
// this machine that a refusal would leave behind.
func tryListen(address string) error {
	ln, err := listen(address)
	if err != nil {
		return err
	}
	return ln.Close()
}

// endpointOf is the URL by which clients on this machine reach a listener.
func endpointOf(addr net.Addr) string {
	tcp := addr.(*net.TCPAddr)
	return "http://" + net.JoinHostPort(reachable(tcp.IP), strconv.Itoa(tcp.Port))
}

// reachable is an address by which this machine reaches a listener.
func reachable(ip net.IP) string {
	if ip.IsUnspecified() {
		return "127.0.0.1"
	}
	return ip.String()
}

// isOpen reports whether other machines can reach a listener.
func isOpen(addr net.Addr) bool { return !addr.(*net.TCPAddr).IP.IsLoopback() }

// isLoopback reports whether a host is this machine alone.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
