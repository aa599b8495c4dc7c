package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gantry/internal/join"

	"github.com/spf13/cobra"
)

func newToken() *cobra.Command {
	return newGroup("token", "Let machines join as container instances", newTokenCreate(), newTokenLs(), newTokenRevoke())
}

// newActivation is gantry token in the words of AWS Systems Manager.
func newActivation() *cobra.Command {
	return newGroup("activation", "Let machines join as container instances of launch type EXTERNAL", newActivationCreate())
}

// addTokenFlags adds what every token is made with.
func addTokenFlags(cmd *cobra.Command, dir *string, in *join.TokenRequest) {
	addDataDir(cmd, dir)
	f := cmd.Flags()
	f.StringVar(&in.Cluster, "cluster", "", "the only cluster that it lets join (default any)")
	f.DurationVar(&in.TTL, "ttl", join.DefaultTTL, "for how long it lets machines join; up to 720h")
	f.IntVar(&in.Uses, "uses", 1, "how many machines may join by it; up to 1000")
}

func newTokenCreate() *cobra.Command {
	return newCreate("Make a join token, and print how a machine joins by it", join.TokenRequest{},
		func(made *join.NewToken) any { return made },
		func(out io.Writer, made *join.NewToken, endpoint string) {
			fmt.Fprintf(out, "%s\n\n", made.Token)
			tellHow(out, made, endpoint, "--token", made.Token)
		})
}

func newActivationCreate() *cobra.Command {
	return newCreate("Make an activation id and code, and print how a machine joins by them", join.TokenRequest{External: true},
		func(made *join.NewToken) any {
			return map[string]string{"ActivationId": made.ID, "ActivationCode": made.Secret, "Region": made.Region, "Fingerprint": made.Fingerprint}
		},
		func(out io.Writer, made *join.NewToken, endpoint string) {
			fmt.Fprintf(out, "ActivationId    %s\nActivationCode  %s\n\n", made.ID, made.Secret)
			flags := []string{"--activation-id", made.ID, "--activation-code", made.Secret, "--region", made.Region}
			if made.Fingerprint != "" {
				flags = append(flags, "--ca-fingerprint", made.Fingerprint)
			}
			tellHow(out, made, endpoint, flags...)
		})
}

// newCreate makes a command that lets machines join: asked is what all that it makes have in common,
// shown what it is as JSON, and tell says it to a person.
func newCreate(short string, asked join.TokenRequest, shown func(*join.NewToken) any, tell func(out io.Writer, made *join.NewToken, endpoint string)) *cobra.Command {
	var dir string
	in := asked
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create",
		Short: short,
		Args:  takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, made, err := createToken(cmd, dir, in)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, shown(made))
			}
			tell(out, made, c.endpoint)
			return c.warnLoopback(out)
		},
	}
	addTokenFlags(cmd, &dir, &in)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// tellHow prints the command by which a machine joins.
func tellHow(out io.Writer, made *join.NewToken, endpoint string, flags ...string) {
	fmt.Fprintf(out, "It lets %s join until %s. On the other machine, as root:\n\n    gantry agent --server %s %s\n",
		machines(made.Limit), made.ExpiresAt.Format(time.RFC3339), endpoint, strings.Join(flags, " "))
}

func machines(n int) string {
	if n == 1 {
		return "one machine"
	}
	return fmt.Sprintf("%d machines", n)
}

func createToken(cmd *cobra.Command, dir string, in join.TokenRequest) (*client, *join.NewToken, error) {
	for name, given := range map[string]bool{"ttl": in.TTL != 0, "uses": in.Uses != 0} {
		if !given { // the server would take its default
			return nil, nil, fmt.Errorf("--%s 0: such a token would let nobody join", name)
		}
	}
	c, err := findClient(cmd, dir)
	if err != nil {
		return nil, nil, err
	}
	text, err := json.Marshal(in)
	if err != nil {
		return nil, nil, err
	}
	var made join.NewToken
	return c, &made, c.send(cmd.Context(), http.MethodPost, "/tokens", nil, bytes.NewReader(text), &made)
}

// warnLoopback says that other machines cannot reach the endpoint that was printed.
func (c *client) warnLoopback(out io.Writer) error {
	u, err := url.Parse(c.endpoint)
	if err != nil || !isLoopback(u.Hostname()) {
		return err
	}
	_, err = fmt.Fprintf(out, "\n%s is this machine's own: put in its place where the other one finds this one, and listen there (--listen).\n", u.Host)
	return err
}

func newTokenLs() *cobra.Command {
	return newLs("List the tokens and activations", "/tokens", "TOKEN\tCLUSTER\tLAUNCH TYPE\tJOINED\tEXPIRES", func(k join.TokenReport) string {
		cluster, launch, expires := k.Cluster, "EC2, EXTERNAL", k.ExpiresAt.Format(time.RFC3339)
		if cluster == "" {
			cluster = "any"
		}
		if k.External {
			launch = "EXTERNAL"
		}
		if k.Expired {
			expires = "expired"
		}
		return fmt.Sprintf("%s\t%s\t%s\t%d of %d\t%s", k.ID, cluster, launch, k.Uses, k.Limit, expires)
	})
}

func newTokenRevoke() *cobra.Command {
	return newRemoval("revoke TOKEN", "Take a token or an activation back; machines that have joined by it stay", "/tokens", "token",
		func(_ string, gone join.TokenReport) string { return "revoked " + gone.ID })
}

func newAgentLs() *cobra.Command {
	return newLs("List the agents that may speak for container instances (at the server)", "/agents",
		"INSTANCE\tCLUSTER\tSTATUS\tCONNECTED\tHOST\tKEY\tJOINED BY", func(a join.AgentReport) string {
			instance, host, by := a.Instance, a.Host, a.Token
			if instance == "" {
				instance = "-"
			}
			if by == "" {
				host, by = "this machine", "-"
			}
			return fmt.Sprintf("%s\t%s\t%s\t%t\t%s\t%s\t%s", instance, a.Cluster, a.Status, a.Connected, host, a.Key, by)
		})
}

func newAgentRevoke() *cobra.Command {
	cmd := newRemoval("revoke INSTANCE|KEY", "Take an agent's key back: its sessions end at once, and its calls are refused (at the server)", "/agents", "agent",
		func(_ string, gone join.AgentReport) string {
			return strings.TrimSpace("revoked " + gone.Key + " " + gone.Instance)
		})
	cmd.Long = `Take an agent's key back, named by its container instance or by the key's id. Its
sessions end at once, and its calls are refused. What runs on its machine runs on,
and nobody hears of it: deregister the container instance to give its tasks up.`
	return cmd
}

func printJSON(out io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, string(text))
	return err
}
