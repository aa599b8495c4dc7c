package store

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRecordsSurvive: what is put into a table is what is read after a restart, every
// field of it; and a copy shares nothing with its original.
func TestRecordsSurvive(t *testing.T) {
	for _, table := range Tables() {
		s := table.table()
		t.Run(s.name, func(t *testing.T) {
			empty, err := s.decode([]byte("{}"))
			if err != nil {
				t.Fatal(err)
			}
			v := reflect.New(reflect.TypeOf(empty).Elem())
			n := 0
			fill(t, v.Elem(), &n, 0, s.name)
			kept := s.clone(v.Interface())
			b, err := encode(kept)
			if err != nil {
				t.Fatal(err)
			}
			back, err := s.read(b)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(kept, back); d != "" {
				t.Errorf("what was kept and what is read differ (-kept +read):\n%s", d)
			}
			if n < 2 {
				t.Errorf("only %d values were filled in: the test proves nothing", n)
			}
			before := string(b)
			spoil(v.Elem())
			if after, _ := encode(kept); string(after) != before {
				t.Errorf("the copy changed with its original:\n%s\n%s", before, after)
			}
		})
	}
}

// fill gives every field a value of its own.
func fill(t *testing.T, v reflect.Value, n *int, depth int, path string) {
	if depth > 12 {
		return // recursive types
	}
	*n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 11, 23, 12, 0, *n%60, 0, time.FixedZone("here", 3600))))
		return
	case json.RawMessage:
		v.Set(reflect.ValueOf(json.RawMessage(fmt.Sprintf(`{"n":%d}`, *n))))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprint("<s&", *n, ">"))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(*n%100 + 1))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n%100 + 1))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(*n) + 0.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n, depth+1, path)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(t, v.Index(i), n, depth+1, path)
		}
	case reflect.Map:
		key, item := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, key, n, depth+1, path)
		fill(t, item, n, depth+1, path)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, item)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				fill(t, v.Field(i), n, depth+1, path+"."+f.Name)
			}
		}
	default:
		t.Fatalf("%s is a %s: no test knows how to fill it", path, v.Type())
	}
}

// spoil changes everything that is reached through pointers, slices and maps.
func spoil(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			spoil(v.Elem())
			v.Elem().SetZero()
		}
	case reflect.Slice:
		for i := range v.Len() {
			spoil(v.Index(i))
			v.Index(i).SetZero()
		}
	case reflect.Map:
		v.Clear()
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				spoil(v.Field(i))
			}
		}
	}
}

func TestLimits(t *testing.T) {
	l := newLimits(defaultOps, defaultBytes)
	if l.writes != 127 || l.batchWrites != 127 {
		t.Errorf("of 128 operations an update may have %d and a group %d: one is the head's", l.writes, l.batchWrites)
	}
	if l := newLimits(embeddedOps, embeddedBytes); l.writes != maxWrites || l.batchWrites != batchWrites {
		t.Errorf("the embedded etcd's limits are %+v", l)
	}
}
