package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	containerdModule = "github.com/containerd/containerd/v2"
	// shimProgram is the package that is built as the shim. Below it lie the
	// packages that are changed.
	shimProgram = "cmd/containerd-shim-runc-v2"
	// addedFolder holds the files that are added to them, which say why.
	addedFolder = source + "/shim/added"
)

// A change replaces a piece of a file of the shim's; it must be there once.
type change struct{ file, old, new string }

var shimChanges = []change{
	{"task/service.go", "\tp.SetExited(e.Status)\n\t_, isInit := p.(*process.Init)\n", noteExit},
	{"task/service.go", startShim, startShim + "\tctx, end := uncut(ctx)\n\tdefer end()\n"},
	{"runc/platform.go", "io.CopyBuffer(outw, epollConsole, *buf)", "copyOutput(outw, epollConsole, *buf)"},
	// Else the end of stdout closes the file while stderr, which goes into the same one, has more to say.
	{"process/io.go", "sameFile = newCountingWriteCloser(fw, 1)\n", "sameFile = newCountingWriteCloser(fw, 1)\n\t\t\t\tfw = sameFile\n"},
	{"process/io.go", "io.CopyBuffer(wc, rio.Stdout(), *p)", "CopyOutput(wc, rio.Stdout(), *p)"},
	{"process/io.go", "io.CopyBuffer(wc, rio.Stderr(), *p)", "CopyOutput(wc, rio.Stderr(), *p)"},
}

const startShim = "func (s *service) Start(ctx context.Context, r *taskAPI.StartRequest) (*taskAPI.StartResponse, error) {\n"

const noteExit = `	_, isInit := p.(*process.Init)
	if isInit {
		if err := runc.NoteExit(e); err != nil {
			log.G(s.context).WithError(err).Error("failed to store exit status")
		}
	}
	p.SetExited(e.Status)
`

// patchShim copies containerd's sources into dir, changes them, and returns the
// go.mod with which the shim is built of them: that of the tool module, with
// containerd replaced.
func patchShim(dir string) (modfile string, err error) {
	tool := filepath.Join(source, "shim")
	find := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", containerdModule)
	find.Dir, find.Env, find.Stderr = tool, append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off"), os.Stderr
	if err := call(tool, []string{"GOWORK=off"}, "go", "mod", "download", containerdModule); err != nil {
		return "", err
	}
	out, err := find.Output()
	if err != nil {
		return "", fmt.Errorf("find containerd's sources: %w", err)
	}
	copied, err := filepath.Abs(filepath.Join(dir, "containerd"))
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(copied, os.DirFS(strings.TrimSpace(string(out)))); err != nil {
		return "", fmt.Errorf("copy containerd's sources: %w", err)
	}
	shim := filepath.Join(copied, shimProgram)
	for _, c := range shimChanges {
		if err := c.apply(shim); err != nil {
			return "", err
		}
	}
	added, err := addedFiles()
	if err != nil {
		return "", err
	}
	for _, path := range added {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		name := strings.TrimPrefix(path, addedFolder)
		to := filepath.Join(shim, filepath.Dir(name), "gantry_"+filepath.Base(name))
		if err := os.WriteFile(to, text, 0o600); err != nil {
			return "", err
		}
	}
	return replaceModule(tool, dir, copied)
}

func (c change) apply(shim string) error {
	path := filepath.Join(shim, c.file)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), c.old); n != 1 {
		return fmt.Errorf("%s has %q %d times, want once: this containerd is not the one that shimChanges were made for", c.file, c.old, n)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.Replace(string(text), c.old, c.new, 1)), 0o600)
}

// replaceModule writes a copy of the tool module's go.mod and go.sum in which
// containerd is the copy.
func replaceModule(tool, dir, copied string) (modfile string, err error) {
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(tool, name))
		if err != nil {
			return "", err
		}
		if name == "go.mod" {
			text = fmt.Appendf(text, "\nreplace %s => %s\n", containerdModule, copied)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "go.mod"), nil
}

// addedFiles are the paths of the files that are added, in order.
func addedFiles() (paths []string, err error) {
	err = filepath.WalkDir(addedFolder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	return paths, err
}
