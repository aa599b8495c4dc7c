// Command runtime builds the programs that gantry carries inside itself, the
// runc shim, runc and a small init, from pinned modules, and compresses them
// into internal/agent/runtime/embedded.
//
// Run it from the top of the repository: go run ./build/runtime. It does
// nothing when what it would build is already there.
package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

const (
	source      = "build/runtime"
	destination = "internal/agent/runtime/embedded"
)

// manifest says what was built. internal/agent/runtime reads it back.
type manifest struct {
	// Inputs is the hash of everything that decides the result: module sums,
	// sources, compiler version, tags.
	Inputs string `json:"inputs"`
	// Seccomp is whether runc was linked with libseccomp.
	Seccomp  bool      `json:"seccomp"`
	Programs []program `json:"programs"`
}

type program struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// SHA256 is of the program itself, not of the compressed file; hexadecimal.
	SHA256 string `json:"sha256"`
	// Size is of the program itself, in bytes.
	Size int64 `json:"size"`
}

// A piece is a program and how it is built.
type piece struct {
	name, version string
	build         func(out string) error
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "build the container runtime: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	seccomp := hasSeccomp()
	inputs, err := hashInputs(seccomp)
	if err != nil {
		return err
	}
	if upToDate(inputs) {
		return nil
	}
	if !seccomp {
		fmt.Fprintln(os.Stderr, "libseccomp-dev is not installed: building runc without seccomp")
	}
	shimVersion, err := pinned("shim", containerdModule)
	if err != nil {
		return err
	}
	runcVersion, err := pinned("runc", "github.com/opencontainers/runc")
	if err != nil {
		return err
	}
	made := manifest{Inputs: inputs, Seccomp: seccomp}
	for _, p := range []piece{
		{"containerd-shim-runc-v2", shimVersion, func(out string) error { return buildShim(out, shimVersion) }},
		{"runc", runcVersion, func(out string) error { return buildRunc(out, runcVersion, seccomp) }},
		{"init", "1", buildInit},
	} {
		fmt.Fprintf(os.Stderr, "building %s %s\n", p.name, p.version)
		entry, err := produce(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		made.Programs = append(made.Programs, entry)
	}
	text, err := json.MarshalIndent(made, "", "  ")
	if err != nil {
		return err
	}
	// Last, so that a manifest always tells of complete files.
	return replace(filepath.Join(destination, "manifest.json"), append(text, '\n'))
}

// produce builds one program and writes it compressed.
func produce(p piece) (program, error) {
	dir, err := os.MkdirTemp("", "gantry-build-")
	if err != nil {
		return program{}, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, p.name)
	if err := p.build(out); err != nil {
		return program{}, err
	}
	data, err := os.ReadFile(out)
	if err != nil {
		return program{}, err
	}
	// The best level costs seconds once and saves megabytes in every download.
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return program{}, err
	}
	sum := sha256.Sum256(data)
	entry := program{Name: p.name, Version: p.version, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data))}
	return entry, replace(filepath.Join(destination, p.name+".zst"), encoder.EncodeAll(data, nil))
}

// buildShim leaves gRPC out: gantry talks ttrpc to its shims, and every container
// pays for the size of this program twice at its start.
func buildShim(out, version string) error {
	modfile, err := patchShim(filepath.Dir(out))
	if err != nil {
		return err
	}
	return goBuild("shim", out, "0",
		"-modfile", modfile, "-tags", "netgo,osusergo,no_grpc",
		"-ldflags", "-s -w -X github.com/containerd/containerd/v2/version.Version="+version,
		containerdModule+"/"+shimProgram)
}

func buildRunc(out, version string, seccomp bool) error {
	tags := "netgo,osusergo"
	if seccomp {
		tags += ",seccomp"
	}
	return goBuild("runc", out, "1",
		"-tags", tags,
		"-ldflags", "-s -w -linkmode external -extldflags -static -X main.version="+strings.TrimPrefix(version, "v"),
		"github.com/opencontainers/runc")
}

func buildInit(out string) error {
	return call("", nil, compiler(), "-static", "-Os", "-s", "-Wall", "-Werror", "-o", out, filepath.Join(source, "init", "init.c"))
}

func goBuild(module, out, cgo string, args ...string) error {
	args = append([]string{"build", "-trimpath", "-buildvcs=false", "-o", out}, args...)
	return call(filepath.Join(source, module), []string{"CGO_ENABLED=" + cgo, "GOFLAGS=-mod=readonly", "GOWORK=off"}, "go", args...)
}

func call(dir string, env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return nil
}

func compiler() string { return cmp.Or(os.Getenv("CC"), "gcc") }

// hasSeccomp asks the compiler, not a package manager, whether a static
// program can use libseccomp.
func hasSeccomp() bool {
	cmd := exec.Command(compiler(), "-static", "-x", "c", "-", "-o", os.DevNull, "-lseccomp")
	cmd.Stdin = strings.NewReader("#include <seccomp.h>\nint main(void) { return seccomp_init(SCMP_ACT_ALLOW) == 0; }\n")
	return cmd.Run() == nil
}

// pinned returns the version that a tool module requires of a module.
func pinned(tool, module string) (string, error) {
	text, err := os.ReadFile(filepath.Join(source, tool, "go.mod"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0] == module {
			return fields[1], nil
		}
	}
	return "", fmt.Errorf("%s/%s/go.mod does not require %s", source, tool, module)
}

func hashInputs(seccomp bool) (string, error) {
	sum := sha256.New()
	paths, err := addedFiles()
	if err != nil {
		return "", fmt.Errorf("%w (run this from the top of the repository)", err)
	}
	for _, name := range []string{"main.go", "patch.go", "shim/go.mod", "shim/go.sum", "runc/go.mod", "runc/go.sum", "init/init.c"} {
		paths = append(paths, filepath.Join(source, name))
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("%w (run this from the top of the repository)", err)
		}
		fmt.Fprintf(sum, "%s %d\n%s", path, len(text), text)
	}
	fmt.Fprintf(sum, "%s %s/%s seccomp=%t", runtime.Version(), runtime.GOOS, runtime.GOARCH, seccomp)
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func upToDate(inputs string) bool {
	text, err := os.ReadFile(filepath.Join(destination, "manifest.json"))
	if err != nil {
		return false
	}
	var made manifest
	if json.Unmarshal(text, &made) != nil || made.Inputs != inputs {
		return false
	}
	return !slices.ContainsFunc(made.Programs, func(p program) bool {
		_, err := os.Stat(filepath.Join(destination, p.Name+".zst"))
		return err != nil
	})
}

// replace writes a file so that a reader sees the old or the new, never half.
func replace(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	next := path + ".new"
	if err := os.WriteFile(next, data, 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}
