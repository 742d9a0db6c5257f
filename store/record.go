package store

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"
)

// Records are written as fields: tag, length, value, the first two as uvarint.
// Zero values are left out and unknown tags are skipped, so a field may be
// added without a migration; a tag is never given a second meaning. Contacts
// are read by the thousand on a Pi Zero, where JSON would be ten times as slow
// and twice as big.

var errRecord = errors.New("the record is malformed")

// encoder builds a record.
type encoder []byte

func (e *encoder) bytes(tag uint64, v []byte) {
	if len(v) > 0 {
		e.field(tag, v)
	}
}

func (e *encoder) field(tag uint64, v []byte) {
	*e = binary.AppendUvarint(*e, tag)
	*e = binary.AppendUvarint(*e, uint64(len(v)))
	*e = append(*e, v...)
}

func (e *encoder) str(tag uint64, v string) { e.bytes(tag, []byte(v)) }

func (e *encoder) uint(tag uint64, v uint64) {
	if v != 0 {
		e.field(tag, binary.AppendUvarint(nil, v))
	}
}

func (e *encoder) bool(tag uint64, v bool) {
	if v {
		e.uint(tag, 1)
	}
}

// time keeps the instant to the nanosecond and forgets the zone.
func (e *encoder) time(tag uint64, t time.Time) {
	if !t.IsZero() {
		e.field(tag, binary.AppendVarint(binary.AppendVarint(nil, t.Unix()), int64(t.Nanosecond())))
	}
}

// pairs writes a map, in key order so that equal maps are equal bytes.
func pairs[V string | []byte](e *encoder, tag uint64, m map[string]V) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		var p encoder
		p.str(1, k)
		p.bytes(2, []byte(m[k]))
		e.field(tag, p)
	}
}

// decoder reads a record: next moves to a field, the readers below give its
// value. Values that are not copied are only valid in the transaction.
type decoder struct {
	rest []byte
	tag  uint64
	val  []byte
	err  error
}

func (d *decoder) next() bool {
	if d.err != nil || len(d.rest) == 0 {
		return false
	}
	tag, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.err = errRecord
		return false
	}
	size, m := binary.Uvarint(d.rest[n:])
	if m <= 0 || size > uint64(len(d.rest)-n-m) {
		d.err = errRecord
		return false
	}
	d.tag, d.val, d.rest = tag, d.rest[n+m:n+m+int(size)], d.rest[n+m+int(size):]
	return true
}

func (d *decoder) str() string   { return string(d.val) }
func (d *decoder) bytes() []byte { return append([]byte(nil), d.val...) } // nil when empty

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.val)
	if n != len(d.val) {
		d.err = errRecord
	}
	return v
}

func (d *decoder) bool() bool { return d.uint() != 0 }

func (d *decoder) time() time.Time {
	sec, n := binary.Varint(d.val)
	if n <= 0 {
		d.err = errRecord
		return time.Time{}
	}
	nsec, m := binary.Varint(d.val[n:])
	if m != len(d.val)-n || nsec < 0 || nsec >= 1e9 {
		d.err = errRecord
		return time.Time{}
	}
	return time.Unix(sec, nsec).UTC()
}

// pair adds one entry to a map, making it when needed.
func pair[V string | []byte](d *decoder, m *map[string]V) {
	if *m == nil {
		*m = map[string]V{}
	}
	var k string
	var v V
	p := decoder{rest: d.val}
	for p.next() {
		switch p.tag {
		case 1:
			k = p.str()
		case 2:
			v = V(p.bytes())
		}
	}
	if p.err != nil {
		d.err = p.err
	}
	(*m)[k] = v
}
