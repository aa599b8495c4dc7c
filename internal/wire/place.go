package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// A level is a list or an object that a walk over JSON is in.
type level struct {
	list bool
	next int    // of a list: the index of the next item
	name bool   // of an object: the next token is a member's name
	step string // the item or member that is being read: "[3]", ".name"
}

// placeAt says where in JSON the value is that is being read at an offset: containerDefinitions[1].portMappings[0].containerPort.
// The errors of encoding/json lack the indexes, so for an error the body is walked once more. It returns "" where there is none.
func placeAt(body []byte, offset int64) string {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var levels []level
	for dec.InputOffset() < offset {
		token, err := dec.Token()
		if err != nil {
			return ""
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			levels = levels[:len(levels)-1]
			continue
		}
		if len(levels) > 0 && !levels[len(levels)-1].value(token) {
			continue
		}
		if dec.InputOffset() >= offset {
			return path(levels)
		}
		if d, ok := token.(json.Delim); ok {
			levels = append(levels, level{list: d == '[', name: d == '{'})
		}
	}
	return ""
}

// value takes in a token that is not a closing bracket, and says whether it begins a value; else it is a member's name.
func (l *level) value(token json.Token) bool {
	switch {
	case l.list:
		l.step = "[" + strconv.Itoa(l.next) + "]"
		l.next++
	case l.name:
		l.step, l.name = "."+token.(string), false
		return false
	default:
		l.name = true
	}
	return true
}

// path joins the steps.
func path(levels []level) string {
	var b strings.Builder
	for _, l := range levels {
		b.WriteString(l.step)
	}
	return strings.TrimPrefix(b.String(), ".")
}
