//go:build linux

package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"gantry/internal/events"
	"gantry/internal/wire/eventsapi"
)

// What is secret lies in the data dir and in backups as it is, so nobody but their owner may read it, whatever
// the umask is.
func TestSecretsAreTheOwnersAlone(t *testing.T) {
	umask := syscall.Umask(0)
	defer syscall.Umask(umask)
	c, _ := running(t)
	const password = "a-password-to-look-for"
	_, err := events.NewOperations(events.APIConfig{Place: c.identity.place(), Store: c.store}).CreateConnection(t.Context(), &eventsapi.CreateConnectionInput{
		Name: new("hook"), AuthorizationType: eventsapi.ConnectionAuthorizationTypeBasic,
		AuthParameters: &eventsapi.CreateConnectionAuthRequestParameters{
			BasicAuthParameters: &eventsapi.CreateConnectionBasicAuthRequestParameters{Username: new("me"), Password: new(password)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	places := filepath.Join(t.TempDir(), "backups")
	if err := os.Mkdir(places, 0o777); err != nil {
		t.Fatal(err)
	}
	file, into := filepath.Join(places, "backup"), filepath.Join(places, "restored")
	for _, args := range [][]string{{"backup", file, "--data-dir", c.dir.path}, {"restore", file, "--data-dir", into}} {
		if out, err := gantryCommand(t, args...); err != nil {
			t.Fatalf("%s, %v", out, err)
		}
	}
	for secret, name := range map[string]string{password: "a connection's password", c.root.SecretKey: "the root's key"} {
		for _, dir := range []string{c.dir.path, file, into} {
			if n := holding(t, dir, secret); n == 0 {
				t.Errorf("%s is nowhere in %s: this test and SECURITY.md say otherwise", name, dir)
			}
		}
	}
}

// holding counts the files below a folder that hold a secret, and wants none of them to be within reach of others.
func holding(t *testing.T, dir, secret string) (n int) {
	open := map[string]bool{} // folders that others may enter
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() && !d.IsDir() {
			return err
		}
		within := path == dir || open[filepath.Dir(path)]
		if d.IsDir() {
			open[path] = within && info.Mode().Perm()&0o011 != 0
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte(secret)) {
			return err
		}
		n++
		if within && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may read a secret in %s (%s)", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
