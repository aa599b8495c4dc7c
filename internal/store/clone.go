package store

import (
	"reflect"
	"time"
)

// A cloneFunc makes dst a deep copy of src, both of one type.
type cloneFunc func(dst, src reflect.Value)

var timeType = reflect.TypeFor[time.Time]()

// cloner makes the function that copies values of a type so that nothing is
// shared with the original. Times come out in UTC and without their monotonic
// reading: as they will be read back from disk.
func cloner(t reflect.Type) cloneFunc {
	c := cloners{}
	if f := c.of(t); f != nil {
		return f
	}
	return func(dst, src reflect.Value) { dst.Set(src) }
}

// cloners are those made so far, by type: types may be recursive.
type cloners map[reflect.Type]*cloneFunc

// of is nil for types that assignment copies whole.
func (c cloners) of(t reflect.Type) cloneFunc {
	if f, ok := c[t]; ok {
		if f == nil {
			return nil
		}
		return func(dst, src reflect.Value) { (*f)(dst, src) }
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface, reflect.Struct, reflect.Array:
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		panic("store: a record cannot hold a " + t.String())
	default:
		return nil
	}
	f := new(cloneFunc)
	c[t] = f
	*f = c.make(t)
	if *f == nil {
		c[t] = nil
	}
	return *f
}

func (c cloners) make(t reflect.Type) cloneFunc {
	if t == timeType {
		return func(dst, src reflect.Value) {
			dst.Set(reflect.ValueOf(src.Interface().(time.Time).Round(0).UTC()))
		}
	}
	switch t.Kind() {
	case reflect.Struct:
		return c.structs(t)
	case reflect.Interface:
		return func(dst, src reflect.Value) {
			if src.IsNil() {
				dst.SetZero()
				return
			}
			v := reflect.New(src.Elem().Type()).Elem()
			cloner(v.Type())(v, src.Elem())
			dst.Set(v)
		}
	}
	item := c.of(t.Elem())
	if item == nil {
		item = func(dst, src reflect.Value) { dst.Set(src) }
	}
	switch t.Kind() {
	case reflect.Pointer:
		return unlessNil(func(dst, src reflect.Value) {
			dst.Set(reflect.New(t.Elem()))
			item(dst.Elem(), src.Elem())
		})
	case reflect.Slice:
		flat := c.of(t.Elem()) == nil
		return unlessNil(func(dst, src reflect.Value) {
			n := src.Len()
			dst.Set(reflect.MakeSlice(t, n, n))
			if flat {
				reflect.Copy(dst, src)
				return
			}
			for i := range n {
				item(dst.Index(i), src.Index(i))
			}
		})
	case reflect.Map:
		return unlessNil(func(dst, src reflect.Value) {
			dst.Set(reflect.MakeMapWithSize(t, src.Len()))
			for at := src.MapRange(); at.Next(); {
				v := reflect.New(t.Elem()).Elem()
				item(v, at.Value())
				dst.SetMapIndex(at.Key(), v)
			}
		})
	default: // an array
		if c.of(t.Elem()) == nil {
			return nil
		}
		return func(dst, src reflect.Value) {
			for i := range t.Len() {
				item(dst.Index(i), src.Index(i))
			}
		}
	}
}

func (c cloners) structs(t reflect.Type) cloneFunc {
	type field struct {
		at    int
		clone cloneFunc
	}
	var deep []field
	for i := range t.NumField() {
		if !t.Field(i).IsExported() {
			continue // not in the record's JSON either
		}
		if f := c.of(t.Field(i).Type); f != nil {
			deep = append(deep, field{i, f})
		}
	}
	if deep == nil {
		return nil
	}
	return func(dst, src reflect.Value) {
		dst.Set(src)
		for _, f := range deep {
			f.clone(dst.Field(f.at), src.Field(f.at))
		}
	}
}

func unlessNil(f cloneFunc) cloneFunc {
	return func(dst, src reflect.Value) {
		if src.IsNil() {
			dst.SetZero()
			return
		}
		f(dst, src)
	}
}
