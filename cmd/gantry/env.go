package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func newEnv() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "env",
		Short: `Print what points aws and every AWS SDK at gantry: eval "$(gantry env)"`,
		Args:  takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printEnv(cmd.OutOrStdout(), dir)
		},
	}
	addDataDir(cmd, &dir)
	return cmd
}

// printEnv writes shell commands that export the endpoint and the keys.
func printEnv(out io.Writer, path string) error {
	d, err := openDataDir(path)
	if err != nil {
		return err
	}
	id, err := d.read()
	if err != nil {
		return err
	}
	endpoint, err := os.ReadFile(d.file(endpointFile))
	if id == nil || err != nil {
		return noServer(d, id)
	}
	key, err := readCredentials(d.file(credentialsFile))
	if err != nil {
		return fmt.Errorf("read the root key: %w", err)
	}
	at := strings.TrimSpace(string(endpoint))
	for _, v := range [][2]string{
		{"AWS_ENDPOINT_URL", at},
		{"AWS_REGION", string(id.Region)},
		{"AWS_DEFAULT_REGION", string(id.Region)},
		{"AWS_ACCESS_KEY_ID", key.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", key.SecretAccessKey},
		{"AWS_CONFIG_FILE", d.file(configFile)},
		{"AWS_SHARED_CREDENTIALS_FILE", d.file(credentialsFile)},
		{"AWS_PROFILE", profile},
	} {
		if _, err := fmt.Fprintf(out, "export %s=%s\n", v[0], quote(v[1])); err != nil {
			return err
		}
	}
	// A bundle left from elsewhere does not hold gantry's authority.
	bundle := "unset AWS_CA_BUNDLE"
	if file := bundleOf(d, at); file != "" {
		bundle = "export AWS_CA_BUNDLE=" + quote(file)
	}
	if _, err := fmt.Fprintln(out, bundle); err != nil {
		return err
	}
	// A session token left from another account would be sent along, and refused.
	_, err = fmt.Fprintln(out, "unset AWS_SESSION_TOKEN AWS_SECURITY_TOKEN")
	return err
}

// quote makes text one word of a shell.
func quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
