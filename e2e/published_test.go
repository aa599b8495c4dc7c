package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A published example is one of those that AWS ships with its CLI: a command, and
// the output of the real service.
type published struct {
	name    string            // "create-cluster 2": the file and which one in it
	command string            // on one line
	files   map[string]string // that the command reads
	output  string            // "" where there is none
}

// publishedExamples reads the examples for ECS of the CLI that is installed with
// Python, whose version it tells too. The official build of version 2 has none.
func publishedExamples(t *testing.T) (all []published, version string) {
	t.Helper()
	const ask = "import awscli, os; print(awscli.__version__, os.path.join(os.path.dirname(awscli.__file__), 'examples', 'ecs'))"
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		out, err := exec.Command(python, "-c", ask).Output()
		version, folder, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
		if err != nil || folder == "" {
			continue
		}
		files, _ := filepath.Glob(filepath.Join(folder, "*.rst"))
		more, _ := filepath.Glob(filepath.Join(folder, "wait", "*.rst"))
		for _, file := range append(files, more...) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, _ := filepath.Rel(folder, strings.TrimSuffix(file, ".rst"))
			all = append(all, parsePublished(name, string(text))...)
		}
		if len(all) > 0 {
			return all, version
		}
	}
	t.Skip("no Python here has the aws CLI with its examples (python3 -c 'import awscli')")
	return nil, ""
}

var contentsOf = regexp.MustCompile("Contents of ``([^`]+)``")

// parsePublished reads the literal blocks of a file: a command, files that it
// reads, and its output, in this order.
func parsePublished(name, text string) []published {
	var all []published
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		if !strings.HasSuffix(strings.TrimSpace(lines[i]), "::") {
			continue
		}
		intro := lines[i]
		var block []string
		for i+1 < len(lines) && (strings.TrimSpace(lines[i+1]) == "" || strings.HasPrefix(lines[i+1], " ") || strings.HasPrefix(lines[i+1], "\t")) {
			i++
			block = append(block, lines[i])
		}
		body := strings.TrimSpace(strings.Join(block, "\n"))
		file := contentsOf.FindStringSubmatch(intro)
		switch {
		case strings.HasPrefix(body, "aws ecs "):
			all = append(all, published{name: fmt.Sprintf("%s %d", name, len(all)+1), command: oneLine(body), files: map[string]string{}})
		case len(all) == 0:
		case file != nil:
			all[len(all)-1].files[file[1]] = body
		default:
			all[len(all)-1].output = body
		}
	}
	return all
}

var lineEnd = regexp.MustCompile(`\s*\\?\s*\n\s*`)

func oneLine(command string) string { return lineEnd.ReplaceAllString(command, " ") }

// A shape is the members of a JSON document by their path, with their types:
// "tasks[].containers[].name" is a string.
type shape map[string]string

func shapeOf(document string) (shape, error) {
	var v any
	if err := json.Unmarshal([]byte(document), &v); err != nil {
		return nil, err
	}
	s := shape{}
	s.add("", v)
	return s, nil
}

func (s shape) add(path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		s[path] = "structure"
		for name, member := range v {
			s.add(strings.TrimPrefix(path+"."+name, "."), member)
		}
	case []any:
		s[path] = "list"
		for _, item := range v {
			s.add(path+"[]", item)
		}
	case string:
		s[path] = "string"
	case float64:
		s[path] = "number"
	case bool:
		s[path] = "boolean"
	}
	// The CLI prints times as text, and earlier it printed them as numbers.
	if strings.HasSuffix(path, "At") {
		s[path] = "time"
	}
}

// lacks are the members of s that other has not, or has with another type.
func (s shape) lacks(other shape) []string {
	var out []string
	for _, path := range slices.Sorted(maps.Keys(s)) {
		if s[path] != other[path] {
			out = append(out, path)
		}
	}
	return out
}

var (
	missingComma = regexp.MustCompile(`([0-9"\]}])(\s*\n\s*")`)
	endComma     = regexp.MustCompile(`,(\s*[\]}])`)
	elision      = regexp.MustCompile(`(?m)^\s*\.\.\.\s*$`)
	bareMembers  = regexp.MustCompile(`\[\s*((?:"\w+": (?:"[^"]*"|\d+),?\s*)+)\]`)
)

// mended is a published output as JSON: some lack a comma or have one too many, lack
// their braces, or what the author left out with three dots.
func mended(output string) string {
	output = missingComma.ReplaceAllString(elision.ReplaceAllString(output, ""), "$1,$2")
	output = endComma.ReplaceAllString(output, "$1")
	output = bareMembers.ReplaceAllString(output, "[{$1}]")
	output += strings.Repeat("}", max(0, strings.Count(output, "{")-strings.Count(output, "}")))
	if strings.HasPrefix(output, `"`) {
		output = "{" + output + "}"
	}
	return output
}

// A difference is a member that AWS publishes in an example and gantry does not answer.
type difference struct{ example, member string }

// knownDifferences reads the table of docs/differences.md, which gives each its reason.
func knownDifferences(t *testing.T) map[difference]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository(), "docs", "differences.md"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[difference]bool{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		if strings.TrimSpace(cells[3]) == "" {
			t.Errorf("docs/differences.md gives no reason: %s", line)
		}
		out[difference{strings.Trim(cells[1], " `"), strings.Trim(cells[2], " `")}] = false
	}
	return out
}
