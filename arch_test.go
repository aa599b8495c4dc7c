package gantry_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers says which package of ours may import which others of ours, a line each
// with its reason. Imports point one way: words ← foundations ← engines ← doors ←
// cmd. A package that has no line may import nothing of ours but its own folder.
// If this test fails, the design is talking to you.
var layers = []struct {
	pkg    string // below the module; "…/" at the end takes its subfolders in
	may    []string
	reason string
}{
	// Words.
	{"", []string{"internal/wire", "internal/wire/ecsapi", "internal/wire/eventsapi"}, "what a user gives is kept in wire form"},
	{"internal/wire/ecsapi", []string{"internal/wire"}, "generated types use the wire's time and errors"},
	{"internal/wire/logsapi", []string{"internal/wire"}, "generated types use the wire's time and errors"},
	{"internal/wire/eventsapi", []string{"internal/wire"}, "generated types use the wire's time and errors"},
	{"internal/wire/acsapi", []string{"internal/wire/ecsapi"}, "reports of many tasks are the API's own calls"},
	{"internal/wire/awsjson", []string{"internal/wire"}, "a protocol carries any service"},

	// Foundations.
	{"internal/store", words, "the tables hold the words"},
	{"internal/store/storetest", join(words, "internal/store"), "the conformance test opens stores"},
	{"internal/placement/…", join(words, "internal/placement/…"), "placing a task needs the words and nothing else"},
	{"internal/events/schedule", nil, "when expressions fire, and nothing else"},
	{"internal/taskdef", join(words, "internal/placement/query"), "a definition's placement constraints are queries"},
	{"internal/extension", words, "gantry's own tags are read in one place, by whoever acts on them"},
	{"internal/ledger", join(words, "internal/store", "internal/placement", "internal/taskdef"), "keeps placement's index in step with the store, and starts tasks"},

	// Engines. They never import one another.
	{"internal/lifecycle", join(words, foundations...), "an engine"},
	{"internal/service", join(words, foundations...), "an engine"},
	{"internal/events", join(words, join(foundations, "internal/wire/eventsapi", "internal/wire/logsapi", "internal/events/…")...), "an engine; its targets come as functions"},
	{"internal/events/pattern", nil, "which events a pattern matches, and nothing else"},
	{"internal/events/record", nil, "files, and nothing else"},
	{"internal/provisioning", join(words, foundations...), "an engine"},
	{"internal/logs/…", join(words, "internal/wire/logsapi", "internal/logs/…"), "an engine with files of its own: it needs no store"},
	{"internal/heap", nil, "Go's garbage collector, and nothing else"},
	{"internal/pki", []string{"internal/wholefile"}, "a key and a certificate are files"},
	{"internal/images", []string{"internal/wholefile", "internal/wire/joinapi"}, "files and names: it needs no store and no containers"},

	// Doors.
	{"internal/api", join(words, "internal/wire/awsjson", "internal/wire/joinapi"), "routes and checks signatures for any service"},
	{"internal/ecs", join(words, join(foundations, "internal/api", "internal/service")...), "an ECS operation is a transaction, for the principal that signed it; how a deployment begins and shows is the service engine's"},
	{"internal/acs", join(words, join(foundations, "internal/wire/acsapi", "internal/api")...), "tells agents what the store wants"},
	{"internal/tcs", join(words, "internal/wire/acsapi", "internal/api"), "takes what agents measure"},
	{"internal/join", join(words, "internal/store", "internal/wire/joinapi"), "lets machines in: tokens and agents' keys are rows of the store"},

	// The other machine. It never imports the store: the wire protocol is its only tie.
	{"internal/agent", join(words, "internal/wire/awsjson", "internal/wire/acsapi", "internal/agent/engine", "internal/agent/metadata"), "speaks the protocol for the engine, whatever the machine"},
	{"internal/agent/engine", join(words, "internal/wire/acsapi"), "decides and carries on tasks; the machine comes through small interfaces"},
	{"internal/agent/parts", join(words, agents...), "joins the agent to the real machine"},
	{"internal/agent/enginetest", join(words, "internal/agent/engine", "internal/agent/metadata"), "a machine that pretends, for tests and simulations"},
	{"internal/agent/agenttest", join(words, "internal/wire/acsapi"), "a control plane that does what a test says"},
	{"internal/agent/logdriver", []string{"internal/wire", "internal/wire/awsjson", "internal/wire/logsapi"}, "ships lines to the CloudWatch Logs API"},
	{"internal/agent/home", []string{"internal/pki", "internal/wholefile", "internal/wire", "internal/wire/awsjson", "internal/wire/joinapi"}, "asks its server to let it join, and for images"},
	{"internal/agent/runtime", nil, "containers and nothing else"},
	{"internal/agent/network", nil, "links, addresses and ports and nothing else"},
	{"internal/agent/metadata", nil, "what a container may ask about itself"},
}

var (
	words       = []string{"", "internal/wire", "internal/wire/ecsapi"}
	foundations = []string{"internal/store", "internal/loop", "internal/placement/…", "internal/taskdef", "internal/extension", "internal/ledger"}
	agents      = []string{"internal/agent/…"}
)

// doors of third-party code: each enters through the folders named here, and a
// new direct dependency is a line with its reason.
var dependencies = []struct {
	module string
	in     []string
	reason string
}{
	{"go.etcd.io/etcd/", []string{"internal/store"}, "the state: transactions, watches, snapshots"},
	{"go.uber.org/zap", []string{"internal/store"}, "what etcd logs with, bridged to slog"},
	{"github.com/tidwall/btree", []string{"internal/store"}, "copy-on-write maps for the replica"},
	{"go.etcd.io/bbolt", []string{"internal/agent"}, "the agent's own state"},
	{"github.com/containerd/", []string{"internal/agent/runtime"}, "containers"},
	{"github.com/opencontainers/", []string{"internal/agent/runtime"}, "the container's specification"},
	{"github.com/distribution/reference", []string{"internal/agent/runtime"}, "image names, completed as Docker does"},
	{"github.com/sirupsen/logrus", []string{"internal/agent/runtime"}, "what containerd logs with, bridged to slog"},
	{"google.golang.org/protobuf", []string{"internal/agent/runtime"}, "gantry's own record within containerd's"},
	{"github.com/vishvananda/", []string{"internal/agent/network"}, "links and namespaces"},
	{"github.com/google/nftables", []string{"internal/agent/network"}, "port maps in the kernel"},
	{"github.com/coder/websocket", []string{"internal/acs", "internal/tcs", "internal/agent"}, "ACS and TCS"},
	{"github.com/aws/smithy-go/aws-http-auth", []string{"internal/api", "internal/agent", "cmd/gantry"}, "SigV4, made and checked"},
	{"github.com/klauspost/compress", []string{"internal/logs", "internal/agent/runtime", "build/runtime"}, "zstd: log segments, embedded programs"},
	{"github.com/google/go-containerregistry", []string{"samples/pack"}, "images without a registry"},
	{"github.com/spf13/cobra", []string{"cmd/gantry"}, "the command line"},
	{"github.com/google/uuid", []string{"internal", "cmd/gantry"}, "message, container and event ids"},
	{"golang.org/x/", []string{"internal", "cmd/gantry", "samples/probe"}, "system calls; waiting for several goroutines"},
}

func join(a []string, b ...string) []string { return slices.Concat(a, b) }

// A goPackage is what go list says of one of our packages.
type goPackage struct {
	ImportPath string
	Dir        string
	Imports    []string
	GoFiles    []string
}

const module = "gantry"

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,GoFiles", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// ours strips the module's name; ok is false for the code of others.
func ours(path string) (rest string, ok bool) {
	if path == module {
		return "", true
	}
	return strings.CutPrefix(path, module+"/")
}

// under reports whether pkg is what a line of the table means.
func under(pkg, line string) bool {
	prefix, sub := strings.CutSuffix(line, "/…")
	return pkg == prefix || sub && strings.HasPrefix(pkg, prefix+"/")
}

func TestImportsPointOneWay(t *testing.T) {
	free := []string{"cmd/", "e2e", "bench/", "samples/", "build/", "internal/sim"} // they wire or drive the rest
	for _, p := range packages(t) {
		pkg, _ := ours(p.ImportPath)
		if slices.ContainsFunc(free, func(f string) bool { return strings.HasPrefix(pkg+"/", f) }) {
			continue
		}
		var may []string
		for _, l := range layers {
			if under(pkg, l.pkg) {
				may = append(may, l.may...)
			}
		}
		for _, imported := range p.Imports {
			target, ok := ours(imported)
			if !ok || slices.ContainsFunc(may, func(m string) bool { return under(target, m) }) {
				continue
			}
			t.Errorf("%s imports %s: the table of layers has no line for it", p.ImportPath, imported)
		}
	}
}

func TestThirdPartyCodeHasADoor(t *testing.T) {
	for _, p := range packages(t) {
		pkg, _ := ours(p.ImportPath)
		for _, imported := range p.Imports {
			if _, ok := ours(imported); ok || !strings.Contains(strings.Split(imported, "/")[0], ".") {
				continue
			}
			if strings.HasPrefix(pkg, "bench/") || strings.HasPrefix(pkg, "e2e") || strings.HasSuffix(pkg, "test") {
				continue
			}
			if !mayDepend(pkg, imported) {
				t.Errorf("%s imports %s: the table of dependencies has no line for it", p.ImportPath, imported)
			}
		}
	}
}

func mayDepend(pkg, imported string) bool {
	for _, d := range dependencies {
		if !strings.HasPrefix(imported, d.module) {
			continue
		}
		for _, in := range d.in {
			if pkg == in || strings.HasPrefix(pkg, in+"/") {
				return true
			}
		}
	}
	return false
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		comments := 0
		for _, f := range p.GoFiles {
			file := parseFile(t, filepath.Join(p.Dir, f), parser.PackageClauseOnly|parser.ParseComments)
			if file.Doc != nil {
				comments++
			}
		}
		if comments != 1 {
			t.Errorf("%s has %d package comments, want one", p.ImportPath, comments)
		}
	}
}

// TestPureFilesHaveNoClock: a decision takes the time as an argument.
func TestPureFilesHaveNoClock(t *testing.T) {
	for _, p := range packages(t) {
		pkg, _ := ours(p.ImportPath)
		for _, f := range p.GoFiles {
			pure := f == "plan.go" || pkg == "" || strings.HasPrefix(pkg, "internal/placement") || pkg == "internal/events/schedule"
			if !pure {
				continue
			}
			path := filepath.Join(p.Dir, f)
			ast.Inspect(parseFile(t, path, 0), func(n ast.Node) bool {
				call, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if x, ok := call.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After"}, call.Sel.Name) {
					t.Errorf("%s calls time.%s: it is pure, and the time is an argument", path, call.Sel.Name)
				}
				return true
			})
		}
	}
}

func parseFile(t *testing.T, path string, mode parser.Mode) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, mode)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
