package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// MaxDepth is how deeply lists and objects of a request may nest. The deepest structure of the ECS model needs nine levels;
// the rest is for documents that a user gives us.
const MaxDepth = 64

// DecodeJSON reads one JSON object into the structure that into points to. Members that the structure lacks are
// ignored; an empty body is an empty object. The error is a sentence for the person who asked, and names the member
// that is wrong.
func DecodeJSON(body []byte, into any) error {
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) == 0 {
		return nil
	}
	if body[0] != '{' {
		return errors.New("the body is not a JSON object")
	}
	if tooDeep(body) {
		return fmt.Errorf("the JSON of the body nests lists and objects more than %d deep", MaxDepth)
	}
	err := json.Unmarshal(body, into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: expected %s, got %s", pathOf(wrong, body), expected(wrong.Type), got(wrong.Value))
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("the body is not JSON: %w at byte %d", syntax, syntax.Offset)
	}
	return err
}

// tooDeep says whether JSON nests more than MaxDepth levels. It looks at brackets outside strings only; whether
// the rest is JSON is for the decoder to say.
func tooDeep(body []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// pathOf says where a value of the wrong type is: containerDefinitions[1].portMappings[0].containerPort. What
// encoding/json says lacks the indexes, so the body is walked once more, up to the value.
func pathOf(wrong *json.UnmarshalTypeError, body []byte) string {
	type level struct {
		step  string // the member or index that is being read
		index int    // of the next item of a list; -1 in an object
		name  bool   // the next token is a member's name
	}
	var levels []level
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	for dec.InputOffset() < wrong.Offset {
		token, err := dec.Token()
		if err != nil {
			break
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			levels = levels[:len(levels)-1]
			continue
		}
		if n := len(levels); n > 0 {
			top := &levels[n-1]
			switch {
			case top.index >= 0:
				top.step = "[" + strconv.Itoa(top.index) + "]"
				top.index++
			case top.name:
				top.step, top.name = "."+token.(string), false
				continue
			default:
				top.name = true
			}
		}
		if dec.InputOffset() >= wrong.Offset {
			var path strings.Builder
			for _, l := range levels {
				path.WriteString(l.step)
			}
			return Shorten(strings.TrimPrefix(path.String(), "."))
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{index: -1, name: true})
		case json.Delim('['):
			levels = append(levels, level{})
		}
	}
	return Shorten(wrong.Field)
}

// expected names the JSON that a Go type is read from.
func expected(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[Timestamp]():
		return "a time in seconds since 1970, as a number"
	case t == reflect.TypeFor[[]byte]():
		return "a string in base64"
	}
	switch t.Kind() {
	case reflect.Int32:
		return fmt.Sprintf("a whole number up to %d", math.MaxInt32)
	case reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a string"
}

// got names the JSON that was found, by the name that encoding/json gives it: "number 1.5", "array", …
func got(value string) string {
	switch value {
	case "array":
		return "a list"
	case "object":
		return "an object"
	case "bool":
		return "true or false"
	case "string", "number":
		return "a " + value
	}
	return "the " + Shorten(value)
}

// A JSONAppender writes itself as JSON in a way of its own, for speed.
type JSONAppender interface {
	AppendJSON(dst []byte) ([]byte, error)
}

// encoder is a buffer with an encoder into it, so that one answer does not cost both.
type encoder struct {
	buf bytes.Buffer
	enc *json.Encoder
}

var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.enc = json.NewEncoder(&e.buf)
	e.enc.SetEscapeHTML(false)
	return e
}}

// maxKept is the largest buffer that is kept for the next answer; a rare big one should not stay in memory.
const maxKept = 256 << 10

// AppendJSON appends v to dst as gantry writes JSON: by its AppendJSON where it has one, and without escaping <, > and &,
// as AWS answers. Fragments that are stored for later answers are made with it too.
func AppendJSON(dst []byte, v any) ([]byte, error) {
	if a, ok := v.(JSONAppender); ok {
		return a.AppendJSON(dst)
	}
	e := encoders.Get().(*encoder)
	defer func() {
		if e.buf.Cap() <= maxKept {
			encoders.Put(e)
		}
	}()
	e.buf.Reset()
	if err := e.enc.Encode(v); err != nil {
		return dst, err
	}
	return append(dst, bytes.TrimSuffix(e.buf.Bytes(), []byte("\n"))...), nil
}

// AppendEncoded appends an object whose first member is a list of items that are JSON already, and whose others are those of
// rest, which must be written as an object.
func AppendEncoded(dst []byte, member string, items []json.RawMessage, rest any) ([]byte, error) {
	dst = append(dst, `{"`...)
	dst = append(dst, member...)
	dst = append(dst, `":[`...)
	for i, item := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, item...)
	}
	dst = append(dst, ']')
	open := len(dst)
	dst, err := AppendJSON(dst, rest)
	if err != nil {
		return dst, err
	}
	if string(dst[open:]) == "{}" {
		return append(dst[:open], '}'), nil
	}
	dst[open] = ',' // was the brace that opens rest
	return dst, nil
}
