package logs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A logger that writes a line at a time costs few blocks and little disk once packed,
// and each event keeps its number and its time of ingestion.
func TestPackingManySmallBatches(t *testing.T) {
	dir := t.TempDir()
	e := openLimited(t, dir, limits{size: 8 << 20, blocks: 50, span: 24 * time.Hour})
	if err := e.createGroup(groupMeta{Name: "g"}); err != nil {
		t.Fatal(err)
	}
	if err := e.createStream("g", "s", time.UnixMilli(1)); err != nil {
		t.Fatal(err)
	}
	const n = 501
	for i := range n {
		message := fmt.Sprintf(`10.0.0.%d - - "GET /items/%d HTTP/1.1" 200 512 "-" "curl/8.5"`, i%8, i)
		if err := put(e, "s", []Event{{Timestamp: int64(1000 + i), Ingested: int64(2000 + i), Message: message}}); err != nil {
			t.Fatal(err)
		}
		if i%100 == 99 {
			e.removeFiles(e.packAll()) // as time passes: merged segments grow
		}
	}
	s, err := e.stream("g", "s")
	if err != nil {
		t.Fatal(err)
	}
	before := s.state()
	e.removeFiles(e.packAll())
	check := func(e *Engine) {
		t.Helper()
		s, err := e.stream("g", "s")
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(s.dir, "*.log*"))
		if err != nil || len(files) > 5 {
			t.Errorf("files: %v, %v", files, err)
		}
		if after := s.state(); after.Bytes*3 > n*100 || after.Next != before.Next || after.First != before.First || after.Last != before.Last || after.LastIngested != before.LastIngested {
			t.Errorf("before %+v, after %+v", before, after)
		}
		for m, i := read([]*stream{s}, Forward, 0, forever, nil), 0; ; i++ {
			f, ok, err := m.next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				if i != n {
					t.Errorf("%d events", i)
				}
				break
			}
			if f.Timestamp != int64(1000+i) || f.Ingested != int64(2000+i) || f.Seq != uint64(i+1) {
				t.Fatalf("event %d is %+v", i, f)
			}
		}
	}
	check(e)
	e.Close()
	check(open(t, dir))
}

// One who began to read before segments were packed reads to the end.
func TestReadingWhilePacking(t *testing.T) {
	e := openLimited(t, t.TempDir(), limits{size: 8 << 20, blocks: 2, span: 24 * time.Hour})
	if err := e.createGroup(groupMeta{Name: "g"}); err != nil {
		t.Fatal(err)
	}
	if err := e.createStream("g", "s", time.UnixMilli(1)); err != nil {
		t.Fatal(err)
	}
	for i := range 9 {
		if err := put(e, "s", []Event{{Timestamp: int64(i), Message: fmt.Sprint(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := e.stream("g", "s")
	if err != nil {
		t.Fatal(err)
	}
	m := read([]*stream{s}, Forward, 0, forever, nil)
	obsolete := e.packAll()
	if len(obsolete) == 0 {
		t.Fatal("nothing was packed")
	}
	var got []string
	for {
		f, ok, err := m.next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		got = append(got, f.Message)
	}
	if want := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// What is encoded is decoded, and damage is found.
func TestBlocksSurviveOrSaySo(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		body := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "body")
		b := block{count: rapid.Uint32Range(1, 50).Draw(rt, "count"), raw: uint32(len(body)), packed: rapid.Bool().Draw(rt, "packed")}
		// Any bytes are an error or so many events, and never a panic.
		if events, err := parse(body, b); err == nil && len(events) != int(b.count) {
			rt.Fatalf("%d events without an error", len(events))
		}
		var events []Event
		for i := range rapid.IntRange(1, 20).Draw(rt, "n") {
			events = append(events, Event{Timestamp: int64(i), Seq: uint64(20 - i), Ingested: rapid.Int64Range(0, 1<<45).Draw(rt, "in"), Message: rapid.String().Draw(rt, "m")})
		}
		data, _ := c.pack(nil, events)
		got, err := c.decode(bytes.NewReader(data), 0)
		if err != nil || !slices.Equal(got, events) {
			rt.Fatalf("got %v, %v; want %v", got, err, events)
		}
		data[rapid.IntRange(0, len(data)-1).Draw(rt, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		if _, err := c.decode(bytes.NewReader(data), 0); err == nil {
			rt.Fatal("a flipped bit was not found")
		}
	})
}

// A block that the disk damaged is told in the log and left out; the others are read
// and nothing is cut off.
func TestDamagedBlock(t *testing.T) {
	dir := t.TempDir()
	e := openLimited(t, dir, limits{size: 8 << 20, blocks: 3, span: 24 * time.Hour})
	if err := e.createGroup(groupMeta{Name: "g"}); err != nil {
		t.Fatal(err)
	}
	if err := e.createStream("g", "s", time.UnixMilli(1)); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := put(e, "s", []Event{{Timestamp: int64(i), Message: fmt.Sprint("message ", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := e.stream("g", "s")
	if err != nil {
		t.Fatal(err)
	}
	sealed := s.segments[0]
	data, err := os.ReadFile(sealed.path)
	if err != nil {
		t.Fatal(err)
	}
	data[sealed.blocks[1].offset+headerSize+5] ^= 1
	if err := os.WriteFile(sealed.path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	e.Close()
	e = open(t, dir)
	want := []string{"message 0", "message 2", "message 3", "message 4"}
	if got := readAll(t, e, "g", Forward, 0, forever, nil); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if obsolete := e.packAll(); len(obsolete) != 0 {
		t.Errorf("a damaged segment was packed: %v would go", obsolete)
	}
}
