package wire

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
)

// MaxDepth is how deeply lists and objects of a request may nest. The deepest request of the ECS API has nine levels;
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
		place := cmp.Or(placeAt(body, wrong.Offset), wrong.Field)
		return fmt.Errorf("%s: expected %s, got %s", Shorten(place), expected(wrong.Type), got(wrong.Value))
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
