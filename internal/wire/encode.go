package wire

import (
	"bytes"
	"encoding/json"
	"sync"
)

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
