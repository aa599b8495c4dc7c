package taskdef

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry/internal/wire/ecsapi"
)

// FuzzRegister: no request panics, and what was registered registers again as the
// same. Deploy tools do just that: describe, change the image, register.
func FuzzRegister(f *testing.F) {
	for _, path := range []string{"testdata/registered.txt", "testdata/refused.txt", "testdata/notyet.txt"} {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for block := range strings.SplitSeq(string(text), "\n\n") {
			_, want, _ := strings.Cut(block, "=>")
			f.Add([]byte(want))
			_, given, _ := strings.Cut(block, "{")
			given, _, _ = strings.Cut(given, "\n=>")
			f.Add([]byte(`{"family": "f", "containerDefinitions": [{"name": "web", "image": "i", "memory": 64}], ` + given))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		first := registerJSON(text)
		if first == nil {
			return
		}
		NotYet(first, nil)
		DemandOf(first, nil)
		described, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		again := registerJSON(described)
		if again == nil {
			t.Fatalf("registered once, and not again: %s", described)
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Errorf("registered again (-first +again)\n%s", diff)
		}
	})
}

// registerJSON is nil where the request is refused, or is none.
func registerJSON(text []byte) *ecsapi.TaskDefinition {
	in := new(ecsapi.RegisterTaskDefinitionInput)
	if json.Unmarshal(text, in) != nil {
		return nil
	}
	def, err := register(in)
	if err != nil {
		return nil
	}
	return def
}
