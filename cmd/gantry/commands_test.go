package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gantry"
	"gantry/internal/store"
	"gantry/internal/wire/ecsapi"
)

// aMachine is a machine without containers, for the control plane's tests.
type aMachine struct{ loaded string }

func (*aMachine) String() string                                   { return "no containers" }
func (*aMachine) role() string                                     { return "no instance" }
func (*aMachine) run(ctx context.Context) error                    { <-ctx.Done(); return ctx.Err() }
func (*aMachine) ready(context.Context) error                      { return nil }
func (*aMachine) joined(context.Context, gantry.ClusterName) error { return nil }
func (*aMachine) instances() map[gantry.ClusterName]gantry.InstanceID {
	return map[gantry.ClusterName]gantry.InstanceID{"default": "here"}
}
func (*aMachine) images(context.Context) ([]image, error) {
	return []image{{Name: "web:1", Digest: "sha256:0123456789abcdef", Size: 3 << 20}}, nil
}
func (*aMachine) close() {}
func (m *aMachine) output(_ context.Context, w io.Writer, r outputRequest) error {
	_, err := fmt.Fprintf(w, "%s of %s, follow %t\n", r.container, r.task.ID, r.follow)
	return err
}

func (m *aMachine) load(_ context.Context, tar io.Reader) ([]image, error) {
	text, err := io.ReadAll(tar)
	if err != nil {
		return nil, err
	}
	if m.loaded = string(text); strings.Contains(m.loaded, "broken") {
		return nil, errors.New("load an image: broken does not unpack")
	}
	return []image{{Name: "web:1"}}, nil
}

// opened is a control plane on a fresh data dir, and a listener for it.
func opened(t *testing.T) (*control, net.Listener) {
	d := dataDir{t.TempDir()}
	id, err := d.create(serverRole, gantry.Place{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := openControl(t.Context(), controlConfig{dir: d, identity: id, endpoint: endpointOf(ln.Addr()), log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return c, ln
}

// running serves a control plane on a fresh data dir until the test ends.
func running(t *testing.T) (*control, *aMachine) {
	c, ln := opened(t)
	m := &aMachine{}
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- c.run(ctx, ln, m) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
		c.close()
	})
	if err := errors.Join(c.makeDefault(t.Context()), c.writeFiles()); err != nil {
		t.Fatal(err)
	}
	return c, m
}

// gantryCommand runs a command line and returns what it printed, or its error.
func gantryCommand(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestCommands(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "")
	c, m := running(t)
	dir := c.dir.path
	_, err := c.store.Update(t.Context(), func(tx *store.Tx) error {
		store.Definitions.Put(tx, &gantry.Definition{Name: "web:1", Wire: &ecsapi.TaskDefinition{}})
		for _, task := range []*gantry.Task{
			{ID: "aa11", Instance: "here", Containers: []gantry.Container{{Name: "web", RuntimeID: "r1"}}},
			{ID: "aa22", Instance: "here", Containers: []gantry.Container{{Name: "web", RuntimeID: "r2"}, {Name: "side", RuntimeID: "r3"}}},
			{ID: "bb11", Instance: "elsewhere", Containers: []gantry.Container{{Name: "web", RuntimeID: "r4"}}},
			{ID: "cc11", Instance: "here", Containers: []gantry.Container{{Name: "web"}}},
		} {
			task.Cluster, task.Definition, task.LastStatus, task.DesiredStatus = "default", "web:1", gantry.Running, gantry.Running
			store.Tasks.Put(tx, task)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "image.tar")
	broken := archive + ".broken"
	text := archiveOf(t, "web:1", "layer")
	if err := errors.Join(os.WriteFile(archive, text, 0o600), os.WriteFile(broken, archiveOf(t, "web:1", "broken"), 0o600)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args string
		want string // in the output
		err  string // in the error
	}{
		{args: "status", want: "default   ACTIVE   0           0           4"},
		{args: "status --json", want: `"account": "123456789012"`},
		{args: "image ls", want: "web:1   sha256:0123456789ab   3.0 MiB"},
		{args: "image load " + archive, want: "loaded web:1"},
		{args: "image load " + broken, err: "load an image: broken does not unpack"},
		{args: "image load /nowhere", err: "no such file"},
		{args: "logs aa1", want: "web of aa11, follow false"},
		{args: "logs aa22 web", want: "web of aa22, follow false"},
		{args: "logs -f arn:aws:ecs:us-east-1:123456789012:task/default/aa22 side", want: "side of aa22, follow true"},
		{args: "logs aa22", err: "task aa22 has several containers, name one: web, side"},
		{args: "logs aa22 db", err: "task aa22 has no container db, but: web, side"},
		{args: "logs aa web", err: "2 tasks begin with aa: give more of the id"},
		{args: "logs zz", err: "there is no task zz"},
		{args: "logs bb11", err: "the task is on container instance elsewhere, which this machine is not, or no more"},
		{args: "logs cc11", err: "container web has not been started"},
		{args: "logs --cluster other aa22 web", err: "there is no task aa22"},
		{args: "env", want: "export AWS_ENDPOINT_URL='" + c.endpoint + "'"},
		{args: "image load /proc/self/exe", err: "it is no whole archive of images"},
		{args: "image rm web:1", want: "removed web:1"},
		{args: "image rm web:1", err: "no such image was loaded here"},
		{args: "token create --uses -1", err: "uses -1"},
		{args: "token create --ttl 1s", err: "ttl 1s: between a minute and"},
		{args: "token create --cluster none", err: "there is no cluster none"},
		{args: "token create --uses 3", want: "It lets 3 machines join until"},
		{args: "token ls", want: "any       EC2, EXTERNAL   0 of 3"},
		{args: "activation create", want: "ActivationCode  "},
		{args: "token revoke GJT", want: "revoked GJT"},
		{args: "token revoke GJT", err: "there is no token GJT"},
		{args: "agent key --cluster none", err: "there is no cluster none: make it with aws ecs create-cluster"},
		{args: "agent key --host rack7", want: "ECS_CLUSTER=default\nECS_EXTERNAL=true\nAWS_DEFAULT_REGION=us-east-1\nAWS_ACCESS_KEY_ID=AKIA"},
		{args: "agent ls", want: "gantry agent key"},
		{args: "agent ls", want: "INSTANCE   CLUSTER"},
		{args: "agent revoke AKIA", err: "there is no agent AKIA"},
		{args: "version", want: "gantry " + version},
		{args: "docs coverage", want: "| RunTask | offered |"},
		{args: "dance", err: `unknown command "dance"`},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			args := strings.Fields(tt.args)
			if name := args[0]; name != "version" && name != "docs" && name != "dance" {
				args = append(args, "--data-dir", dir)
			}
			out, err := gantryCommand(t, args...)
			switch {
			case tt.err == "" && err != nil, tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("error %v, want %q", err, tt.err)
			case !strings.Contains(out, tt.want):
				t.Errorf("printed:\n%s\nwant %q in it", out, tt.want)
			}
		})
	}
	if !strings.Contains(m.loaded, "broken") {
		t.Errorf("the machine was given %q last", m.loaded)
	}
}

// archiveOf is an archive of one image, as docker save writes it, as far as its name goes.
func archiveOf(t *testing.T, name, content string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, text := range map[string]string{"layer": content, "manifest.json": `[{"RepoTags":["` + name + `"]}]`} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// The environment that gantry env prints is as good as --data-dir.
func TestCommandsByEnvironment(t *testing.T) {
	c, _ := running(t)
	t.Setenv("AWS_ENDPOINT_URL", c.endpoint)
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", c.root.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", c.root.SecretKey)
	if out, err := gantryCommand(t, "status"); err != nil || !strings.Contains(out, c.dir.path) {
		t.Errorf("%s, %v", out, err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "guess")
	if _, err := gantryCommand(t, "status"); err == nil || !strings.Contains(err.Error(), "InvalidSignatureException") {
		t.Errorf("a wrong secret: %v", err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, err := gantryCommand(t, "status"); err == nil || !strings.Contains(err.Error(), "eval") {
		t.Errorf("half an environment: %v", err)
	}
}

func TestCommandsWithoutGantry(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "")
	dir := t.TempDir()
	if _, err := gantryCommand(t, "status", "--data-dir", dir); err == nil || !strings.Contains(err.Error(), "no gantry was ever started on "+dir) {
		t.Errorf("never started: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close() // so that nobody listens there
	t.Setenv("AWS_ENDPOINT_URL", endpointOf(ln.Addr()))
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	if _, err := gantryCommand(t, "status"); err == nil || !strings.Contains(err.Error(), "nothing answers at") {
		t.Errorf("not running: %v", err)
	}
}

// TestAgentFlags: what a machine cannot be is said before it joins.
func TestAgentFlags(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "")
	for _, test := range []struct{ flags, want string }{
		{"--attributes=a,b", "must be formatted as key=value"},
		{"--attributes==x", "is no attribute"},
		{"--attributes=disk=", "is no attribute"},
		{"--attributes=a b=c", `--attributes: the name "a b"`},
		{"--attributes=disk=fast;big", `--attributes disk: the value "fast;big"`},
		{"--attributes=ecs.os-type=linux", "--attributes ecs.os-type: names that begin so are ECS's own"},
		{"--zone=us east;1", `--zone "us east;1"`},
		{"--launch-type=FARGATE", "--launch-type FARGATE: choose EC2 or EXTERNAL"},
		{"--launch-type=EC2 --activation-id=a --activation-code=b", "--launch-type EC2: what joins by an activation is EXTERNAL"},
		{"--server=10.0.0.1:4747", "--server 10.0.0.1:4747: the server's endpoint is expected"},
	} {
		args := []string{"agent", "--data-dir", t.TempDir()}
		for _, flag := range strings.Split(test.flags, " --") {
			args = append(args, "--"+strings.TrimPrefix(flag, "--"))
		}
		if _, err := gantryCommand(t, args...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want %s", test.flags, err, test.want)
		}
	}
	for _, flag := range []string{"--uses=0", "--ttl=0s"} {
		if _, err := gantryCommand(t, "token", "create", flag); err == nil || !strings.Contains(err.Error(), "would let nobody join") {
			t.Errorf("token create %s: %v", flag, err)
		}
	}
}

// TestCommandsAtAnAgent: a machine that has joined a server is not taken for one where nothing was started.
func TestCommandsAtAnAgent(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "")
	dir := t.TempDir()
	text := `{"format":1,"id":"a1","region":"us-east-1","account":"123456789012","role":"agent"}`
	if err := os.WriteFile(filepath.Join(dir, identityFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"status", "env"} {
		if _, err := gantryCommand(t, command, "--data-dir", dir); err == nil || !strings.Contains(err.Error(), "has joined a server elsewhere: ask there") {
			t.Errorf("%s: %v", command, err)
		}
	}
}

func TestBackupAndRestore(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "")
	c, _ := running(t)
	file := filepath.Join(t.TempDir(), "backup")
	if out, err := gantryCommand(t, "backup", file, "--data-dir", c.dir.path); err != nil || !strings.Contains(out, "wrote "+file) {
		t.Fatalf("%s, %v", out, err)
	}
	if _, err := gantryCommand(t, "restore", file, "--data-dir", c.dir.path); err == nil || !strings.Contains(err.Error(), "move ") {
		t.Errorf("over a state that is there: %v", err)
	}
	into := filepath.Join(t.TempDir(), "restored")
	if out, err := gantryCommand(t, "restore", file, "--data-dir", into); err != nil || !strings.Contains(out, "restored what was known") {
		t.Fatalf("%s, %v", out, err)
	}
	d := dataDir{into}
	id, err := d.read()
	if err != nil {
		t.Fatal(err)
	}
	again, err := openControl(t.Context(), controlConfig{dir: d, identity: id, endpoint: "http://127.0.0.1:1", log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer again.close()
	if _, ok := store.Clusters.Get(again.store.View(), "default"); !ok || again.root.AccessKeyID != c.root.AccessKeyID || !again.restored || !again.acs.KeepUnknown {
		t.Error("the restored state is not the one that was backed up")
	}
	if _, err := gantryCommand(t, "restore", "/proc/self/exe", "--data-dir", filepath.Join(t.TempDir(), "x")); !errors.Is(err, store.ErrNoBackup) || !strings.HasPrefix(err.Error(), "restore /proc/self/exe: ") {
		t.Errorf("not a backup: %v", err)
	}
}

func TestUpRefusesFlagsThatMakeNoSense(t *testing.T) {
	for flag, want := range map[string]string{
		"--image-pull-behavior=sometimes": "--image-pull-behavior sometimes: choose one of default, always, once, prefer-cached",
		"--log-level=loud":                "--log-level loud: choose debug, info, warn or error",
		"--replace-lost-after=-1s":        "--replace-lost-after -1s: choose a time such as 5m, or 0 for never",
	} {
		if _, err := gantryCommand(t, "up", flag, "--data-dir", t.TempDir()); err == nil || err.Error() != want {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

// A gantry that has lost its state ends, so that whoever watches over it starts it again.
func TestGantryEndsWhenItsStateIsLost(t *testing.T) {
	c, ln := opened(t)
	ran := make(chan error, 1)
	go func() { ran <- c.run(t.Context(), ln, &aMachine{}) }()
	if err := c.store.Close(); err != nil {
		t.Fatal(err)
	}
	err := <-ran
	if want := "the state in " + c.dir.file(storeFolder) + " is lost to this process, tasks go on running: the store is closed; start gantry again"; err == nil || err.Error() != want {
		t.Errorf("it ended with %v, want %s", err, want)
	}
	c.close()
}

func TestListenSaysWhatToDo(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := listen(ln.Addr().String()); err == nil || !strings.Contains(err.Error(), "is in use: stop what listens there, or choose another address with --listen") {
		t.Errorf("got %v", err)
	}
	if _, err := listen("nonsense"); err == nil || !strings.Contains(err.Error(), "choose another address with --listen") {
		t.Errorf("got %v", err)
	}
}
