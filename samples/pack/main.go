// Pack turns static programs into images without any registry: each program
// becomes the only layer of <out>/<name>.tar, named gantry/sample-<name>:latest.
//
//	pack -out build/samples web=build/cache/web worker=build/cache/worker
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	out := flag.String("out", "build/samples", "the folder that the images are written to")
	flag.Parse()
	for _, arg := range flag.Args() {
		sample, program, ok := strings.Cut(arg, "=")
		if !ok {
			fmt.Fprintf(os.Stderr, "pack: %q: want NAME=PROGRAM\n", arg)
			os.Exit(2)
		}
		if err := pack(*out, sample, program); err != nil {
			fmt.Fprintf(os.Stderr, "pack %s: %v\n", sample, err)
			os.Exit(1)
		}
	}
}

func pack(out, sample, program string) error {
	files, err := layer(sample, program)
	if err != nil {
		return err
	}
	rootfs, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files)), nil
	})
	if err != nil {
		return fmt.Errorf("make layer: %w", err)
	}
	image, err := mutate.AppendLayers(empty.Image, rootfs)
	if err != nil {
		return fmt.Errorf("append layer: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return fmt.Errorf("read config: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{
		Entrypoint: []string{"/" + sample},
		Env:        []string{"PATH=/"},
		Labels:     map[string]string{"org.opencontainers.image.title": "gantry sample " + sample},
	}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return fmt.Errorf("set config: %w", err)
	}
	tag, err := name.NewTag("gantry/sample-" + sample + ":latest")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	return tarball.WriteToFile(filepath.Join(out, sample+".tar"), tag, image)
}

// layer is the image's file system: the usual empty folders and the program.
// Its times are fixed, so that the same program makes the same image.
func layer(sample, program string) ([]byte, error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	epoch := time.Unix(0, 0)
	for _, dir := range []string{"dev", "etc", "proc", "run", "sys", "tmp"} {
		mode := int64(0o755)
		if dir == "tmp" {
			mode = 0o1777
		}
		if err := w.WriteHeader(&tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: mode, ModTime: epoch}); err != nil {
			return nil, err
		}
	}
	if err := w.WriteHeader(&tar.Header{Name: sample, Mode: 0o755, Size: int64(len(content)), ModTime: epoch}); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	return buf.Bytes(), w.Close()
}
