package engine

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// A file of environment variables is limited as a task definition is: larger ones are a mistake, not a configuration.
const (
	maxEnvironmentFile = 4 << 20 // bytes
	maxEnvironmentLine = 1 << 20 // bytes
)

// environmentFilePath is the file of this machine that an environmentFile names: an absolute path or file:///path.
func environmentFilePath(value string) (string, bool) {
	path := strings.TrimPrefix(value, "file://")
	return filepath.Clean(path), filepath.IsAbs(path)
}

// readEnvironmentFile reads NAME=VALUE lines as ECS does: no quotes, no expansion, lines that begin with # are comments,
// lines without = are skipped. Spaces count.
func readEnvironmentFile(value string) ([]string, error) {
	path, ok := environmentFilePath(value)
	if !ok {
		return nil, fmt.Errorf("environment file %q is not an absolute path", value)
	}
	if !strings.HasSuffix(path, ".env") {
		return nil, fmt.Errorf("environment file %s: its name must end in .env", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("environment file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("environment file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxEnvironmentFile {
		return nil, fmt.Errorf("environment file %s is not a regular file of at most %d bytes", path, maxEnvironmentFile)
	}
	return parseEnvironment(f)
}

func parseEnvironment(r io.Reader) ([]string, error) {
	var env []string
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEnvironmentLine)
	for lines.Scan() {
		line := strings.TrimSuffix(lines.Text(), "\r")
		name, _, ok := strings.Cut(line, "=")
		if strings.HasPrefix(line, "#") || !ok || name == "" {
			continue
		}
		env = append(env, line)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("environment file: %w", err)
	}
	return env, nil
}
