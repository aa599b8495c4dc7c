package pattern

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"
)

// A matcher is one item of a leaf's list.
type matcher interface{ match(v any) bool }

// exists is {"exists": true} or false; whether a field is there is for its object to say.
type exists bool

func (exists) match(any) bool { return false }

// An exact value: text, a number as it is written (300 is not 300.0), true, false or null.
type exact struct{ value any }

func (e exact) match(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return false
	}
	return v == e.value
}

// textual matches text by a function.
type textual func(string) bool

func (f textual) match(v any) bool {
	s, ok := v.(string)
	return ok && f(s)
}

// anythingBut matches values that none of what it lists matches.
type anythingBut []matcher

func (a anythingBut) match(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return false
	}
	return !slices.ContainsFunc(a, func(m matcher) bool { return m.match(v) })
}

// A bound is one comparison of {"numeric": […]}.
type bound struct {
	holds func(order int) bool
	value *big.Float
}

type numeric []bound

func (n numeric) match(v any) bool {
	number, ok := v.(json.Number)
	if !ok {
		return false
	}
	f, ok := parseNumber(number)
	return ok && !slices.ContainsFunc(n, func(b bound) bool { return !b.holds(f.Cmp(b.value)) })
}

// longestNumber bounds the digits of a number that is compared.
const longestNumber = 64

func parseNumber(n json.Number) (*big.Float, bool) {
	if len(n) > longestNumber {
		return nil, false
	}
	f, _, err := big.ParseFloat(string(n), 10, 128, big.ToNearestEven)
	return f, err == nil
}

var comparisons = map[string]func(order int) bool{
	"=": func(o int) bool { return o == 0 }, "!=": func(o int) bool { return o != 0 },
	"<": func(o int) bool { return o < 0 }, "<=": func(o int) bool { return o <= 0 },
	">": func(o int) bool { return o > 0 }, ">=": func(o int) bool { return o >= 0 },
}

func parseLeaf(path string, list []any) ([]matcher, error) {
	if len(list) == 0 {
		return nil, fmt.Errorf("%q is an empty array", path)
	}
	var out []matcher
	for _, item := range list {
		m, err := parseItem(path, item)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func parseItem(path string, item any) (matcher, error) {
	switch item := item.(type) {
	case []any:
		return nil, fmt.Errorf("%q has an array in its array", path)
	case map[string]any:
		if len(item) != 1 {
			return nil, fmt.Errorf("%q: an object in its array is one filter, such as {\"prefix\": \"…\"}", path)
		}
		for name, arg := range item {
			return parseFilter(path, name, arg)
		}
	}
	return exact{item}, nil
}

func parseFilter(path, name string, arg any) (matcher, error) {
	switch name {
	case "exists":
		if b, ok := arg.(bool); ok {
			return exists(b), nil
		}
		return nil, fmt.Errorf("%q: exists is true or false", path)
	case "anything-but":
		return parseAnythingBut(path, arg)
	case "numeric":
		return parseNumeric(path, arg)
	}
	return parseTextual(path, name, arg)
}

// parseTextual reads the filters that look at text.
func parseTextual(path, name string, arg any) (matcher, error) {
	folded := false
	if m, ok := arg.(map[string]any); ok && (name == "prefix" || name == "suffix") && len(m) == 1 {
		if within, there := m["equals-ignore-case"]; there {
			arg, folded = within, true
		}
	}
	text, ok := arg.(string)
	if !ok {
		return nil, fmt.Errorf("%q: %s takes text", path, quoted(name))
	}
	fold := func(s string) string {
		if folded {
			return strings.ToLower(s)
		}
		return s
	}
	text = fold(text)
	switch name {
	case "prefix":
		return textual(func(s string) bool { return strings.HasPrefix(fold(s), text) }), nil
	case "suffix":
		return textual(func(s string) bool { return strings.HasSuffix(fold(s), text) }), nil
	case "equals-ignore-case":
		return textual(func(s string) bool { return strings.EqualFold(s, text) }), nil
	case "wildcard":
		w, err := parseWildcard(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", path, err)
		}
		return textual(w.match), nil
	case "cidr":
		net, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q: cidr takes a block such as 10.0.0.0/24", path)
		}
		return textual(func(s string) bool {
			ip, err := netip.ParseAddr(s)
			return err == nil && net.Contains(ip.WithZone(""))
		}), nil
	}
	return nil, fmt.Errorf("%q: %s is no filter; there are prefix, suffix, anything-but, exists, numeric, equals-ignore-case, wildcard and cidr", path, quoted(name))
}

func parseAnythingBut(path string, arg any) (matcher, error) {
	one := func(v any) (matcher, error) {
		switch v.(type) {
		case string, json.Number:
			return exact{v}, nil
		}
		return nil, fmt.Errorf("%q: anything-but takes text and numbers", path)
	}
	if filters, ok := arg.(map[string]any); ok {
		if len(filters) != 1 {
			return nil, fmt.Errorf("%q: anything-but holds one filter", path)
		}
		for name, within := range filters {
			switch name {
			case "prefix", "suffix", "equals-ignore-case", "wildcard":
			default:
				return nil, fmt.Errorf("%q: anything-but takes values, prefix, suffix, equals-ignore-case or wildcard, not %s", path, quoted(name))
			}
			arg, one = within, func(text any) (matcher, error) { return parseTextual(path, name, text) }
		}
	}
	list, isList := arg.([]any)
	if !isList {
		list = []any{arg}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%q: anything-but has an empty array", path)
	}
	var out anythingBut
	for _, v := range list {
		m, err := one(v)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func parseNumeric(path string, arg any) (matcher, error) {
	wrong := fmt.Errorf(`%q: numeric takes comparisons and numbers in turn, such as [">", 0, "<=", 5]`, path)
	list, ok := arg.([]any)
	if !ok || len(list) != 2 && len(list) != 4 {
		return nil, wrong
	}
	var out numeric
	for i := 0; i < len(list); i += 2 {
		op, _ := list[i].(string)
		n, isNumber := list[i+1].(json.Number)
		holds, known := comparisons[op]
		if !isNumber || !known {
			return nil, wrong
		}
		value, ok := parseNumber(n)
		if !ok {
			return nil, fmt.Errorf("%q: numeric: %s has more than %d digits", path, quoted(string(n)), longestNumber)
		}
		out = append(out, bound{holds, value})
	}
	return out, nil
}

// A wildcard is text between stars.
type wildcard []string

// parseWildcard reads text in which "*" stands for any characters, and "\*" and "\\" for themselves.
func parseWildcard(text string) (wildcard, error) {
	out := wildcard{""}
	for i := 0; i < len(text); i++ {
		last := &out[len(out)-1]
		switch {
		case text[i] == '\\' && i+1 < len(text) && (text[i+1] == '*' || text[i+1] == '\\'):
			i++
			*last += text[i : i+1]
		case text[i] == '\\':
			return nil, fmt.Errorf(`wildcard: a \ stands before * or \ only`)
		case text[i] == '*' && i > 0 && text[i-1] == '*' && *last == "" && len(out) > 1:
			return nil, fmt.Errorf("wildcard: ** is not allowed")
		case text[i] == '*':
			out = append(out, "")
		default:
			*last += text[i : i+1]
		}
	}
	return out, nil
}

func (w wildcard) match(s string) bool {
	if len(w) == 1 {
		return s == w[0]
	}
	first, last := w[0], w[len(w)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range w[1 : len(w)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}

// quoted bounds what a user sent before it is quoted back.
func quoted(s string) string {
	const most = 60
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return `"` + s + `"`
}
