package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gantry"
	"gantry/internal/events/pattern"
	"gantry/internal/wire"
	"gantry/internal/wire/eventsapi"
)

// checkInput says what is wrong with what a target is to be given.
func checkInput(t *eventsapi.Target) error {
	given := 0
	for _, set := range []bool{t.Input != nil, t.InputPath != nil, t.InputTransformer != nil} {
		if set {
			given++
		}
	}
	if given > 1 {
		return fmt.Errorf("Only one of Input, InputPath, or InputTransformer must be provided for target %s.", *t.Id)
	}
	if t.Input != nil {
		if !json.Valid([]byte(*t.Input)) {
			return fmt.Errorf("JSON syntax error in input for target %s.", *t.Id)
		}
	}
	if t.InputPath != nil {
		if _, err := parsePath(*t.InputPath); err != nil {
			return fmt.Errorf("InputPath for target %s is invalid: %w.", *t.Id, err)
		}
	}
	if t.InputTransformer == nil {
		return nil
	}
	for name, text := range t.InputTransformer.InputPathsMap {
		if strings.HasPrefix(name, "AWS") || name == "" || strings.ContainsAny(name, "<> ") {
			return fmt.Errorf("InputPathsMap for target %s: %q cannot be the name of a variable.", *t.Id, wire.Shorten(name))
		}
		if _, err := parsePath(text); err != nil {
			return fmt.Errorf("InputPathsMap for target %s is invalid: %s: %w.", *t.Id, wire.Shorten(name), err)
		}
	}
	for _, p := range parseTemplate(*t.InputTransformer.InputTemplate) {
		_, known := t.InputTransformer.InputPathsMap[p.variable]
		if p.variable != "" && !known && !slices.Contains(reserved, p.variable) {
			return fmt.Errorf("Invalid InputTemplate for target %s: the variable <%s> is not in the InputPathsMap.", *t.Id, wire.Shorten(p.variable))
		}
	}
	return nil
}

// The variables that every template knows.
const (
	variableRuleARN   = "aws.events.rule-arn"
	variableRuleName  = "aws.events.rule-name"
	variableIngestion = "aws.events.event.ingestion-time"
	variableEvent     = "aws.events.event"
	variableEventJSON = "aws.events.event.json"
)

var reserved = []string{variableRuleARN, variableRuleName, variableIngestion, variableEvent, variableEventJSON}

// inputOf is what a target is given for an event: the event itself, a constant, a part of it, or what its template makes
// of it. It is JSON, but for templates that make something else.
func inputOf(t *eventsapi.Target, rule string, place gantry.Place, event []byte, recorded time.Time) ([]byte, error) {
	if t.Input != nil {
		return []byte(*t.Input), nil
	}
	if t.InputPath == nil && t.InputTransformer == nil {
		return event, nil
	}
	v, err := pattern.Decode(event)
	if err != nil {
		return nil, fmt.Errorf("read the event: %w", err)
	}
	if t.InputPath != nil {
		return at(v, *t.InputPath), nil
	}
	values := map[string][]byte{}
	text := func(s string) []byte { return appendJSON(nil, s) }
	values[variableRuleARN] = text(string(place.EventRule(rule)))
	values[variableRuleName] = text(rule)
	values[variableIngestion] = text(recorded.UTC().Format("2006-01-02T15:04:05Z"))
	values[variableEventJSON] = event
	if m, ok := v.(map[string]any); ok {
		without := map[string]any{}
		for name, value := range m {
			if name != "detail" {
				without[name] = value
			}
		}
		values[variableEvent] = appendJSON(nil, without)
	}
	for name, path := range t.InputTransformer.InputPathsMap {
		values[name] = at(v, path)
	}
	return fill(parseTemplate(*t.InputTransformer.InputTemplate), values), nil
}

// A part of a template is text, or a variable.
type part struct {
	text     string
	variable string
	quoted   bool // the variable stands within a JSON string
}

// parseTemplate takes a template apart at its <variables>.
func parseTemplate(template string) (parts []part) {
	quoted := false
	begin := 0
	for i := 0; i < len(template); i++ {
		switch c := template[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '<':
			end := strings.IndexByte(template[i:], '>')
			if end < 0 {
				continue
			}
			name := template[i+1 : i+end]
			if strings.ContainsAny(name, "<\" \n") || name == "" {
				continue // text that happens to have a bracket
			}
			parts = append(parts, part{text: template[begin:i]}, part{variable: name, quoted: quoted})
			i += end
			begin = i + 1
		}
	}
	return append(parts, part{text: template[begin:]})
}

// fill puts values in their places: within a string without the quotes that they may have themselves. A value that the
// event lacks is null, and nothing within a string.
func fill(parts []part, values map[string][]byte) []byte {
	var out []byte
	for _, p := range parts {
		value := values[p.variable]
		switch {
		case p.variable == "":
			out = append(out, p.text...)
		case !p.quoted && value == nil:
			out = append(out, "null"...)
		case !p.quoted:
			out = append(out, value...)
		case len(value) > 0 && value[0] == '"':
			out = append(out, value[1:len(value)-1]...)
		default:
			escaped := appendJSON(nil, string(value))
			out = append(out, escaped[1:len(escaped)-1]...)
		}
	}
	return out
}

// at is the JSON of what lies at a path; nil where nothing does.
func at(v any, path string) []byte {
	steps, err := parsePath(path)
	if err != nil {
		return nil
	}
	for _, s := range steps {
		switch in := v.(type) {
		case map[string]any:
			var there bool
			if v, there = in[s]; !there {
				return nil
			}
		case []any:
			i, err := strconv.Atoi(s)
			if err != nil || i < 0 || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return appendJSON(nil, v)
}

// parsePath reads $.detail.containers[0].name; $ alone is the whole event.
func parsePath(path string) (steps []string, err error) {
	wrong := errors.New(`a path reads as $.detail.lastStatus or $.detail.containers[0].name`)
	rest, ok := strings.CutPrefix(path, "$")
	if !ok {
		return nil, wrong
	}
	for rest != "" {
		var step string
		switch {
		case strings.HasPrefix(rest, "['"):
			end := strings.Index(rest, "']")
			if end < 0 {
				return nil, wrong
			}
			step, rest = rest[2:end], rest[end+2:]
		case rest[0] == '[':
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return nil, wrong
			}
			step, rest = rest[1:end], rest[end+1:]
			if _, err := strconv.ParseUint(step, 10, 31); err != nil {
				return nil, wrong
			}
		case rest[0] == '.':
			end := strings.IndexAny(rest[1:], ".[")
			if end < 0 {
				end = len(rest) - 1
			}
			step, rest = rest[1:end+1], rest[end+1:]
		default:
			return nil, wrong
		}
		if step == "" || strings.ContainsAny(step, "*?@") {
			return nil, wrong
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// appendJSON writes a value that was decoded from JSON, without HTML's escapes.
func appendJSON(dst []byte, v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("encode JSON: " + err.Error()) // it came from JSON
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte{'\n'})...)
}
