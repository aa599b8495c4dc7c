package logs

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// words are the places in scenarios that stand for times and tokens.
type words struct {
	now    *time.Time
	tokens map[string]string // by word: those of the newest answer that had them
}

var word = regexp.MustCompile(`\{\{(\w+)([-+ ]\d+)?\}\}`)

// concrete fills in what words stand for.
func (w *words) concrete(t *testing.T, input string) string {
	return word.ReplaceAllStringFunc(input, func(found string) string {
		parts := word.FindStringSubmatch(found)
		number, _ := strconv.ParseInt(strings.TrimSpace(parts[2]), 10, 64)
		switch parts[1] {
		case "now":
			return fmt.Sprint(w.now.Add(time.Duration(number) * time.Second).UnixMilli())
		case "big":
			return strings.Repeat("x", int(number))
		}
		token, ok := w.tokens[parts[1]]
		if !ok {
			t.Fatalf("nothing answered a %s before", found)
		}
		return token
	})
}

var (
	tokenMembers = map[string]string{"nextToken": "token", "nextForwardToken": "forward", "nextBackwardToken": "backward"}
	timeMember   = regexp.MustCompile(`"(\w*[tT]ime|\w*Timestamp|timestamp)":(\d+)`)
)

// abstract writes words for the times and tokens of an answer. A token that is the
// same as in the answer before says so.
func (w *words) abstract(answer string) string {
	var members map[string]any
	if json.Unmarshal([]byte(answer), &members) == nil {
		for member, name := range tokenMembers {
			if token, ok := members[member].(string); ok {
				stands := "(" + name + ")"
				if w.tokens[name] == token {
					stands = "(same " + name + ")"
				}
				w.tokens[name] = token
				answer = strings.ReplaceAll(answer, `"`+token+`"`, stands)
			}
		}
	}
	return timeMember.ReplaceAllStringFunc(answer, func(found string) string {
		parts := timeMember.FindStringSubmatch(found)
		ms, _ := strconv.ParseInt(parts[2], 10, 64)
		away := (ms - w.now.UnixMilli()) / 1000
		if away == 0 {
			return `"` + parts[1] + `":now`
		}
		return fmt.Sprintf(`"%s":now%+d`, parts[1], away)
	})
}
