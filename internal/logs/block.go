package logs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

// An Event is one line of a log. Times are milliseconds since 1970.
type Event struct {
	Timestamp int64  // as the client said
	Ingested  int64  // as gantry received it
	Seq       uint64 // the event's number in its stream, from 1, in order of arrival
	Message   string
}

// before orders events as they are read: by timestamp, then by arrival.
func (e *Event) before(f *Event) bool {
	if e.Timestamp != f.Timestamp {
		return e.Timestamp < f.Timestamp
	}
	return e.Seq < f.Seq
}

// A block is what one PutLogEvents made durable, or several that were packed. On
// disk it is a header of headerSize bytes and a body:
//
//	offset size
//	     0    4  magic: "gLB1" for one batch, "gLB2" for a packed block
//	     4    4  length of the body as stored
//	     8    4  CRC-32C of header bytes 12 to 52 and the body as stored
//	    12    4  length of the body uncompressed; equal to the stored length if it is not compressed
//	    16    4  number of events
//	    20    8  first timestamp        28 8  last timestamp
//	    36    8  time of ingestion, the newest one      44 8  lowest number of an event
//
// and the body, per event: timestamp less the first as varint, in a packed block
// also the number less the lowest and the time of ingestion less the newest as
// varints, the length of the message as uvarint, the message. Events are ordered by
// timestamp, then number; the numbers of a block have no gap.
type block struct {
	offset      int64 // of the header in its segment
	stored, raw uint32
	count       uint32
	first, last int64
	ingested    int64
	seq         uint64
	packed      bool
}

const (
	headerSize = 52
	magicBatch = "gLB1"
	magicPack  = "gLB2"
	// maxBlock bounds what a damaged header can make us allocate: a batch of
	// PutLogEvents is at most 1 MiB, with at most 20 bytes more per event, and a
	// packed block is at most packedSize and one batch.
	maxBlock = 2 << 20
	// compressFrom is the body size from which compressing pays.
	compressFrom = 256
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errTorn = errors.New("the block is damaged or was not written to its end")

// codec compresses and expands bodies; both halves are safe for concurrent use.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlock))
	if err != nil {
		return nil, err
	}
	return &codec{enc: enc, dec: dec}, nil
}

// encode appends the block of one batch, which is sorted and not empty, to dst.
func (c *codec) encode(dst []byte, events []Event) ([]byte, block) {
	return c.write(dst, magicBatch, events, blockOf(events))
}

// pack appends a packed block of events of several batches, sorted and not empty, to dst.
func (c *codec) pack(dst []byte, events []Event) ([]byte, block) {
	return c.write(dst, magicPack, events, blockOf(events))
}

// blockOf is what the header says of these events.
func blockOf(events []Event) block {
	b := block{
		count: uint32(len(events)), first: events[0].Timestamp, last: events[len(events)-1].Timestamp,
		ingested: events[0].Ingested, seq: events[0].Seq,
	}
	for i := range events {
		b.ingested, b.seq = max(b.ingested, events[i].Ingested), min(b.seq, events[i].Seq)
	}
	return b
}

func (c *codec) write(dst []byte, magic string, events []Event, b block) ([]byte, block) {
	body := make([]byte, 0, 64*len(events))
	for i := range events {
		e := &events[i]
		body = binary.AppendVarint(body, e.Timestamp-b.first)
		if magic == magicPack {
			body = binary.AppendVarint(body, int64(e.Seq-b.seq))
			body = binary.AppendVarint(body, e.Ingested-b.ingested)
		}
		body = binary.AppendUvarint(body, uint64(len(e.Message)))
		body = append(body, e.Message...)
	}
	b.raw = uint32(len(body))
	if len(body) >= compressFrom {
		if small := c.enc.EncodeAll(body, nil); len(small) < len(body) {
			body = small
		}
	}
	b.stored = uint32(len(body))

	start := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint32(dst, b.stored)
	dst = append(dst, 0, 0, 0, 0) // the checksum
	dst = binary.LittleEndian.AppendUint32(dst, b.raw)
	dst = binary.LittleEndian.AppendUint32(dst, b.count)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(b.first))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(b.last))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(b.ingested))
	dst = binary.LittleEndian.AppendUint64(dst, b.seq)
	dst = append(dst, body...)
	sum := crc32.Checksum(dst[start+12:], castagnoli)
	binary.LittleEndian.PutUint32(dst[start+8:], sum)
	return dst, b
}

// readHeader reads a block's header at an offset; io.EOF at the clean end of a segment.
func readHeader(r io.ReaderAt, offset int64) (b block, sum uint32, err error) {
	var h [headerSize]byte
	n, err := r.ReadAt(h[:], offset)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return b, 0, io.EOF
	case n < headerSize:
		return b, 0, errTorn
	}
	b = block{
		offset: offset,
		stored: binary.LittleEndian.Uint32(h[4:]), raw: binary.LittleEndian.Uint32(h[12:]),
		count: binary.LittleEndian.Uint32(h[16:]),
		first: int64(binary.LittleEndian.Uint64(h[20:])), last: int64(binary.LittleEndian.Uint64(h[28:])),
		ingested: int64(binary.LittleEndian.Uint64(h[36:])), seq: binary.LittleEndian.Uint64(h[44:]),
	}
	b.packed = string(h[:4]) == magicPack
	if !b.packed && string(h[:4]) != magicBatch || b.stored > maxBlock || b.raw > maxBlock || b.count == 0 || b.count > b.raw {
		return b, 0, errTorn
	}
	return b, binary.LittleEndian.Uint32(h[8:]), nil
}

// readBody reads and checks a block's stored bytes, header included.
func readBody(r io.ReaderAt, b block, sum uint32) ([]byte, error) {
	buf := make([]byte, headerSize+int(b.stored))
	if _, err := r.ReadAt(buf, b.offset); err != nil {
		return nil, errTorn
	}
	if crc32.Checksum(buf[12:], castagnoli) != sum {
		return nil, errTorn
	}
	return buf[headerSize:], nil
}

// decode reads back the events of the block at an offset.
func (c *codec) decode(r io.ReaderAt, offset int64) ([]Event, error) {
	b, sum, err := readHeader(r, offset)
	if err != nil {
		return nil, err
	}
	body, err := readBody(r, b, sum)
	if err != nil {
		return nil, err
	}
	if b.stored != b.raw {
		if body, err = c.dec.DecodeAll(body, make([]byte, 0, b.raw)); err != nil {
			return nil, fmt.Errorf("%w: %w", errTorn, err)
		}
	}
	return parse(body, b)
}

// parse reads the events of an uncompressed body.
func parse(body []byte, b block) ([]Event, error) {
	text := string(body) // one copy; every message is a part of it
	at := 0
	varint := func() int64 {
		v, n := binary.Varint(body[at:])
		if n <= 0 {
			at = len(body) + 1
			return 0
		}
		at += n
		return v
	}
	events := make([]Event, 0, b.count)
	for at < len(body) {
		e := Event{Timestamp: b.first + varint(), Ingested: b.ingested, Seq: b.seq + uint64(len(events))}
		if b.packed && at <= len(body) {
			e.Seq = b.seq + uint64(varint())
		}
		if b.packed && at <= len(body) {
			e.Ingested = b.ingested + varint()
		}
		if at > len(body) {
			return nil, errTorn
		}
		size, n := binary.Uvarint(body[at:])
		if n <= 0 || size > uint64(len(body)-at-n) {
			return nil, errTorn
		}
		at += n
		e.Message = text[at : at+int(size)]
		at += int(size)
		events = append(events, e)
	}
	if len(events) != int(b.count) {
		return nil, errTorn
	}
	return events, nil
}
