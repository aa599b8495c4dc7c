package ecs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"gantry/internal/wire"
)

const (
	maxPage = 100 // what most lists answer at most, and by default
	// checksumSize is how much of a checksum a token carries, in bytes: enough to
	// tell a mangled token, or one of another list, from ours.
	checksumSize = 6
)

// A page is where a list goes on and how much of it is wanted. Its token holds
// the last item that was answered, so that nothing has to be kept between calls,
// and items that come or go meanwhile neither hide others nor show them twice.
type page struct {
	list  string // operation and filters: a token of one list is refused by another
	after string // "" at the beginning
	limit int
}

// newPage reads the paging members of a request; filters are the request's other
// members, in any form that encodes to JSON.
func newPage(operation string, token *string, maxResults *int32, limit int, filters any) (page, error) {
	f, err := json.Marshal(filters)
	if err != nil {
		return page{}, err
	}
	p := page{list: operation + string(f), limit: limit}
	if maxResults != nil {
		p.limit = min(int(*maxResults), limit)
	}
	if text := wire.Value(token); text != "" {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(raw) < checksumSize {
			return page{}, invalid("Invalid token.")
		}
		p.after = string(raw[checksumSize:])
		if p.token(p.after) != text {
			return page{}, invalid("Invalid token.")
		}
	}
	return p, nil
}

func (p page) token(after string) string {
	sum := sha256.Sum256([]byte(p.list + "\x00" + after))
	return base64.RawURLEncoding.EncodeToString(append(sum[:checksumSize:checksumSize], after...))
}

// cut returns the part of items that belongs on the page, and the token of the
// next page; nil on the last. key tells the position of an item; items are
// sorted by order, which compares keys (nil means as text).
func cut[T any](p page, items []T, key func(T) string, order func(a, b string) int) ([]T, *string) {
	if order == nil {
		order = strings.Compare
	}
	if p.after != "" {
		i, found := slices.BinarySearchFunc(items, p.after, func(item T, after string) int { return order(key(item), after) })
		if found {
			i++
		}
		items = items[i:]
	}
	if len(items) <= p.limit {
		return items, nil
	}
	items = items[:p.limit]
	return items, new(p.token(key(items[p.limit-1])))
}

// itself is the key of a list of text.
func itself(s string) string { return s }
