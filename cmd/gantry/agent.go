package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"gantry"
	"gantry/internal/agent/home"
	"gantry/internal/pki"
	"gantry/internal/wire"
	"gantry/internal/wire/joinapi"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// homeFile, in the data dir of a machine that has joined a server, is what it keeps of it.
const homeFile = "home.json"

// agentOptions are the flags of gantry agent.
type agentOptions struct {
	dataDir      string
	server       string
	token        string
	cluster      string
	launchType   string
	zone         string
	activationID string
	activation   string // its code
	region       string
	fingerprint  string
	attributes   map[string]string
	logLevel     string
	pullBehavior string
}

func newAgent() *cobra.Command {
	var o agentOptions
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Make this machine a container instance of a server elsewhere",
		Long: `Make this machine a container instance of a server elsewhere. It joins with a token
that "gantry token create" prints at the server, and needs none once it has joined.
SIGTERM (or Ctrl-C) stops the agent and leaves tasks running; starting again takes
them up where they are. "gantry down" stops the tasks too.`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.token = cmp.Or(o.token, os.Getenv("GANTRY_TOKEN"))
			o.activation = cmp.Or(o.activation, os.Getenv("GANTRY_ACTIVATION_CODE"))
			if o.activationID != "" && cmd.Flags().Changed("launch-type") && o.launchType != "EXTERNAL" {
				return fmt.Errorf("--launch-type %s: what joins by an activation is EXTERNAL: leave it out, or join by a token", o.launchType)
			}
			return untilStopped(cmd, runAgent(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr()))
		},
	}
	addDataDir(cmd, &o.dataDir)
	f := cmd.Flags()
	f.StringVar(&o.server, "server", "", "where the server is: its endpoint, as https://10.0.0.1:4747")
	f.StringVar(&o.token, "token", "", "the join token; the variable GANTRY_TOKEN does as well")
	f.StringVar(&o.activationID, "activation-id", "", "in place of a token: the id that gantry activation create prints")
	f.StringVar(&o.activation, "activation-code", "", "and the code; the variable GANTRY_ACTIVATION_CODE does as well")
	f.StringVar(&o.region, "region", string(defaultRegion), "with an activation: the server's region")
	f.StringVar(&o.fingerprint, "ca-fingerprint", "", "with an activation: the SHA-256 of the certificate of the server's CA")
	f.StringVar(&o.cluster, "cluster", "", "the cluster to join (default the token's, or else default)")
	f.StringVar(&o.launchType, "launch-type", "EC2", "what kind of container instance to be: EC2 or EXTERNAL")
	f.StringVar(&o.zone, "zone", "", "the availability zone to be in (default that of earlier starts, or else the server's)")
	f.StringToStringVar(&o.attributes, "attributes", nil, "custom attributes, as stack=prod,disk=ssd: they count when the machine registers for the first time")
	addMachineFlags(cmd, &o.logLevel, &o.pullBehavior)
	cmd.AddCommand(newAgentLs(), newAgentRevoke(), newAgentKey())
	return cmd
}

// A remoteMachine is this machine as the container instance of a server elsewhere.
type remoteMachine interface {
	// String says what runs the containers.
	String() string
	// run is the agent and what its containers need, until ctx ends. Tasks then run on.
	run(ctx context.Context) error
	// registered waits until the machine is a container instance, and is its id.
	registered(ctx context.Context) (gantry.InstanceID, error)
	close()
}

// runAgent is the table of contents of gantry agent: join, open the host, run until ctx ends.
func runAgent(ctx context.Context, o agentOptions, out, errOut io.Writer) error {
	if err := checkMachineFlags(o.logLevel, o.pullBehavior); err != nil {
		return err
	}
	offer, err := o.offer()
	if err != nil {
		return err
	}
	d, err := openDataDir(o.dataDir)
	if err != nil {
		return err
	}
	if err := checkMachine(); err != nil {
		return err
	}
	h, id, unlock, err := o.join(ctx, d)
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
	p.step("data dir %s, server %s, cluster %s", d.path, h.Server, h.Cluster)
	offer.external = h.External
	known, err := h.Know(d.file(homeFile), home.Machine{Zone: offer.zone, InstanceType: offer.instanceType, ImageID: offer.imageID, Attributes: offer.attributes})
	if err != nil {
		return fmt.Errorf("remember what was told of this machine: %w", err)
	}
	offer.zone, offer.instanceType, offer.imageID, offer.attributes = known.Zone, known.InstanceType, known.ImageID, known.Attributes
	http, err := clientOf(h)
	if err != nil {
		return err
	}
	m, err := openRemote(ctx, hostConfig{
		dir: d, identity: id, endpoint: h.Server, http: http, pulls: newPullPrinter(out, log), pullBehavior: o.pullBehavior, offer: offer, log: log,
	}, h)
	if err != nil {
		return err
	}
	defer m.close()
	p.step("%s", m)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.run(ctx) })
	g.Go(func() error {
		instance, err := m.registered(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "ready in %s: container instance %s of cluster %s\n\nwhat happens from now on is told in %s\n",
			p.total(), instance, h.Cluster, d.file(logFile))
		return nil
	})
	return g.Wait()
}

// join makes the data dir that of a machine which has joined a server.
func (o agentOptions) join(ctx context.Context, d dataDir) (h *home.Home, id *identity, unlock func(), err error) {
	file := d.file(homeFile)
	first := func() (place gantry.Place, err error) {
		if h, err = o.arrive(ctx, file); err != nil {
			return place, err
		}
		return gantry.Place{Region: gantry.Region(h.Region), Account: gantry.Account(h.Account)}, nil
	}
	id, unlock, err = takeDir(d, agentRole, enterMachine, first)
	if err != nil {
		return nil, nil, nil, err
	}
	if h, err = home.Read(file); err != nil {
		unlock()
		return nil, nil, nil, err
	}
	return h, id, unlock, nil
}

// arrive joins the server, or finds that the machine has.
func (o agentOptions) arrive(ctx context.Context, file string) (*home.Home, error) {
	server, err := serverURL(o.server)
	if err != nil {
		return nil, err
	}
	token, err := o.credential()
	if err != nil {
		return nil, err
	}
	if token.ID == "" {
		h, err := home.Read(file)
		if errors.Is(err, home.ErrNotJoined) {
			return nil, errors.New(`this machine has joined no server yet: give --server and --token, as "gantry token create" at the server prints them`)
		}
		if err != nil {
			return nil, err
		}
		return h, o.fits(h, file, server)
	}
	if server == "" {
		return nil, errors.New("--server is missing: the server's endpoint, as https://10.0.0.1:4747")
	}
	if token.Fingerprint != "" && !strings.HasPrefix(server, "https://") {
		return nil, fmt.Errorf("--server %s: the server that made the token speaks TLS: https:// is expected", o.server)
	}
	name, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	want := home.Request{Server: server, Token: token, Cluster: o.cluster, External: o.launchType == "EXTERNAL", Host: name}
	switch known, err := home.Read(file); {
	case errors.Is(err, home.ErrNotJoined):
	case err != nil:
		return nil, err
	default:
		if good, err := o.knows(ctx, known, server, token); err != nil {
			return nil, err
		} else if good {
			return known, o.fits(known, file, server)
		}
		want.Cluster = known.Cluster
	}
	h, err := home.Join(ctx, file, want)
	if err != nil {
		return nil, err
	}
	return h, o.fits(h, file, server)
}

// knows says whether the server knows the key of a machine that has joined, which needs no
// other one then. Where it cannot be asked the machine goes on with what it has. Another
// server, and another cluster, know nothing of what was started here: nobody would look after it.
func (o agentOptions) knows(ctx context.Context, known *home.Home, server string, token joinapi.Token) (bool, error) {
	if err := o.fits(known, "", ""); err != nil {
		return false, err
	}
	if known.Authority != "" && token.Fingerprint != "" {
		cert, err := pki.ParseCertificate([]byte(known.Authority))
		if err != nil {
			return false, fmt.Errorf("read the server's certificate authority: %w", err)
		}
		if pki.Fingerprint(cert) != token.Fingerprint {
			return false, fmt.Errorf(`this machine has joined the server at %s, and the token is another server's: choose another --data-dir for that, and end what runs here by "gantry down"`, known.Server)
		}
	}
	c := known.Client()
	c.Server = server
	var err error
	if c.HTTP, err = clientOf(known); err != nil {
		return false, err
	}
	_, err = c.Self(ctx)
	no, refused := errors.AsType[*wire.Error](err)
	return !refused || no.Code != "UnrecognizedClientException", nil
}

// clientOf is how a machine calls its server; nil is plainly, or trusting whom the machine trusts.
func clientOf(h *home.Home) (*http.Client, error) {
	if h.Authority == "" {
		return nil, nil
	}
	return trusting([]byte(h.Authority))
}

// credential is the token or the activation that was given; the zero Token where neither was.
func (o agentOptions) credential() (joinapi.Token, error) {
	switch {
	case o.token != "" && o.activationID != "":
		return joinapi.Token{}, errors.New("--token and --activation-id are both given: one of them is enough")
	case o.token != "":
		return joinapi.ParseToken(o.token)
	case o.activationID == "":
		return joinapi.Token{}, nil
	case o.activation == "":
		return joinapi.Token{}, errors.New("--activation-id and --activation-code belong together: give both")
	}
	token := joinapi.Token{ID: o.activationID, Secret: o.activation, Region: o.region}
	if o.fingerprint != "" {
		fingerprint, err := joinapi.ParseFingerprint(o.fingerprint)
		if err != nil {
			return token, fmt.Errorf("--ca-fingerprint: %w", err)
		}
		token.Fingerprint = fingerprint
	}
	return token, nil
}

// fits says whether a machine that has joined may be started with these flags.
func (o agentOptions) fits(h *home.Home, file, server string) error {
	if o.cluster != "" && o.cluster != h.Cluster {
		return fmt.Errorf("this machine has joined cluster %s, and --cluster says %s: leave it out, or choose another --data-dir", h.Cluster, o.cluster)
	}
	if server != "" && server != h.Server {
		return h.Move(file, server)
	}
	return nil
}

// serverURL reads --server; "" stays so.
func serverURL(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return "", fmt.Errorf("--server %s: the server's endpoint is expected, as https://10.0.0.1:4747", text)
	}
	return u.Scheme + "://" + u.Host, nil
}

// The attributes that ECS puts on an instance of EC2, where the operator tells them.
const (
	attributeInstanceType = "ecs.instance-type"
	attributeImageID      = "ecs.ami-id"
)

// offer is what the flags say of the machine.
func (o agentOptions) offer() (offer, error) {
	if o.launchType != "EC2" && o.launchType != "EXTERNAL" {
		return offer{}, fmt.Errorf("--launch-type %s: choose EC2 or EXTERNAL", o.launchType)
	}
	if o.zone != "" && !gantry.IsAttributeValue(o.zone) {
		return offer{}, fmt.Errorf("--zone %q: 1 to %d letters, digits and - _ . / \\ @ : are expected, as us-east-1a", o.zone, gantry.MaxAttribute)
	}
	out := offer{zone: o.zone, attributes: map[string]string{}}
	for name, value := range o.attributes {
		switch {
		case name == attributeInstanceType:
			out.instanceType = value
		case name == attributeImageID:
			out.imageID = value
		case strings.HasPrefix(name, "ecs.") || strings.HasPrefix(name, "com.amazonaws."):
			return offer{}, fmt.Errorf("--attributes %s: names that begin so are ECS's own; of these only %s and %s may be given, and --zone", name, attributeInstanceType, attributeImageID)
		case name == "" || value == "":
			return offer{}, fmt.Errorf("--attributes: %q is no attribute: give name=value", name+"="+value)
		case !gantry.IsAttributeName(name):
			return offer{}, fmt.Errorf("--attributes: the name %q: 1 to %d letters, digits and - _ . / \\ are expected", name, gantry.MaxAttribute)
		case !gantry.IsAttributeValue(value):
			return offer{}, fmt.Errorf("--attributes %s: the value %q: 1 to %d letters, digits and - _ . / \\ @ : are expected, with spaces between them", name, value, gantry.MaxAttribute)
		default:
			out.attributes[name] = value
		}
	}
	return out, nil
}
