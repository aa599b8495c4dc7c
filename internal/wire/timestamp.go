package wire

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"time"
)

// A Timestamp is a moment as AWS JSON writes it: seconds since 1970 as a number, with milliseconds as its fraction
// where there are any (1466801808.595). Reading accepts any JSON number, also with an exponent, and keeps milliseconds.
type Timestamp struct{ time.Time }

// At returns t as a Timestamp, in UTC and cut to the milliseconds that the wire carries, so that what is
// stored equals what is read back.
func At(t time.Time) *Timestamp { return &Timestamp{time.UnixMilli(t.UnixMilli()).UTC()} }

// maxSeconds is the last second of the year 9999, the largest that AWS's SDKs and RFC 3339 can write.
const maxSeconds = 253402300799

// MarshalJSON writes a number: 946684800 or 1466801808.595.
func (t Timestamp) MarshalJSON() ([]byte, error) {
	ms := t.UnixMilli()
	var b []byte
	if ms < 0 {
		b, ms = append(b, '-'), -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	frac := ms % 1000
	if frac == 0 {
		return b, nil
	}
	b = append(b, '.', byte('0'+frac/100), byte('0'+frac/10%10), byte('0'+frac%10))
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b, nil
}

// UnmarshalJSON reads a number of seconds; null leaves t alone, as encoding/json asks.
func (t *Timestamp) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	s, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.Abs(s) > maxSeconds {
		return &json.UnmarshalTypeError{Value: kindOf(b), Type: reflect.TypeFor[Timestamp]()}
	}
	t.Time = time.UnixMilli(int64(math.Round(s * 1000))).UTC()
	return nil
}

// kindOf names a JSON value as encoding/json does in its errors.
func kindOf(b []byte) string {
	switch b[0] {
	case '"':
		return "string"
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "bool"
	}
	return "number " + string(b)
}
