package logs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// checksumSize is how much of a checksum a token carries, in bytes: enough to tell
// a mangled token, or one of another list, from ours.
const checksumSize = 6

// A token says where a list goes on. It holds the place itself, so that nothing is
// kept between calls. It is bound to a list: an operation and what it was asked, in
// any form that encodes to JSON.
type tokens struct{ list []byte }

func tokensOf(operation string, asked ...any) (tokens, error) {
	list, err := json.Marshal([]any{operation, asked})
	return tokens{list}, err
}

// write makes the token of a place, in any form that encodes to JSON.
func (t tokens) write(place any) (string, error) {
	payload, err := json.Marshal(place)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(t.sum(payload), payload...)), nil
}

// read fills place from a token that write made for the same list.
func (t tokens) read(token string, place any) error {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < checksumSize || string(t.sum(raw[checksumSize:])) != string(raw[:checksumSize]) {
		return invalid("The specified nextToken is invalid.")
	}
	if err := json.Unmarshal(raw[checksumSize:], place); err != nil {
		return invalid("The specified nextToken is invalid.")
	}
	return nil
}

func (t tokens) sum(payload []byte) []byte {
	h := sha256.New()
	h.Write(t.list)
	h.Write([]byte{0})
	h.Write(payload)
	return h.Sum(nil)[:checksumSize:checksumSize]
}

// page cuts a page out of items that are in the order of the list. A token holds
// the key of the last item that was answered; after reports whether an item comes
// behind a key, so that items that come or go meanwhile hide no others.
func page[T, K any](t tokens, token *string, limit int, items []T, key func(T) K, after func(T, K) bool) ([]T, *string, error) {
	if token != nil {
		var last K
		if err := t.read(*token, &last); err != nil {
			return nil, nil, err
		}
		first := len(items)
		for i := range items {
			if after(items[i], last) {
				first = i
				break
			}
		}
		items = items[first:]
	}
	if len(items) <= limit {
		return items, nil, nil
	}
	items = items[:limit]
	next, err := t.write(key(items[limit-1]))
	return items, &next, err
}
