package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// The file format of bbolt (version 2), as far as it is needed to tell whether
// bbolt can be trusted with a file. Every offset is checked before it is used,
// so no file whatever makes the reader panic.
const (
	pageSize    = 4096
	pageHeader  = 16 // id 8, flags 2, count 2, overflow 4
	elementSize = 16 // branch: pos 4, key size 4, page 8; leaf: flags 4, pos 4, key size 4, value size 4
	metaSize    = 64 // magic 4, version 4, page size 4, flags 4, root 8, sequence 8, free list 8, pages 8, tx 8, checksum 8
	bucketSize  = 16 // root page 8, sequence 8; root 0: the bucket's only page follows inline

	pageBranch = 0x01
	pageLeaf   = 0x02
	leafBucket = 0x01 // a leaf element's flag

	metaMagic   = 0xED0CDAED
	metaVersion = 2
	noFreelist  = ^uint64(0)

	maxSpan  = 1 << 18 // pages of one element, 1 GB: what an int of a 32-bit board can count
	maxDepth = 100     // a tree of 4 KB pages this deep would not fit any disk
)

var (
	errForeign = errors.New("it is not a database of this program")
	errEmpty   = errors.New("the file is empty")
)

// meta is one of the two pages that say where the tree begins.
type meta struct {
	root  uint64
	pages uint64 // used so far, reachable or free
	tx    uint64
}

// readMeta finds the newest valid meta page and checks that the file is as
// long as it says. It may run while another process writes.
func readMeta(r io.ReaderAt, size int64) (meta, error) {
	if size == 0 {
		return meta{}, errEmpty
	}
	var best meta
	found, err := false, errForeign
	for i := range int64(2) {
		m, e := decodeMeta(r, i)
		switch {
		case e == nil && (!found || m.tx > best.tx):
			best, found = m, true
		case e != nil && !errors.Is(e, errForeign):
			err = e
		}
	}
	if !found {
		return meta{}, err
	}
	if best.pages > uint64(size)/pageSize {
		return meta{}, fmt.Errorf("the file is cut short: %d bytes instead of %d", size, best.pages*pageSize)
	}
	return best, nil
}

func decodeMeta(r io.ReaderAt, page int64) (meta, error) {
	var b [pageHeader + metaSize]byte
	if _, err := r.ReadAt(b[:], page*pageSize); err != nil {
		if errors.Is(err, io.EOF) {
			return meta{}, errForeign
		}
		return meta{}, err
	}
	le := binary.LittleEndian
	m := b[pageHeader:]
	if le.Uint32(m) != metaMagic || le.Uint32(m[4:]) != metaVersion {
		return meta{}, errForeign
	}
	sum := fnv.New64a()
	sum.Write(m[:56])
	if sum.Sum64() != le.Uint64(m[56:]) {
		return meta{}, errors.New("its first pages are damaged")
	}
	if le.Uint32(m[8:]) != pageSize || le.Uint64(m[32:]) != noFreelist {
		return meta{}, errForeign
	}
	return meta{root: le.Uint64(m[16:]), pages: le.Uint64(m[40:]), tx: le.Uint64(m[48:])}, nil
}

// walk reads every page that the tree reaches and returns how many there are.
// An error says what is wrong with the first bad one.
func walk(r io.ReaderAt, m meta) (used uint64, err error) {
	w := &walker{r: r, meta: m, seen: make([]uint64, m.pages/64+1)}
	if err := w.page(m.root, 0, nil, nil); err != nil {
		return 0, err
	}
	return w.used + 2, nil
}

// walker owns one buffer per depth: a page's keys bound those of its children.
type walker struct {
	r    io.ReaderAt
	meta meta
	seen []uint64 // bit set of pages
	used uint64
	bufs [maxDepth][]byte
}

// page checks page id and all below it. Its keys must be at least low and, when
// high is not nil, less than high.
func (w *walker) page(id uint64, depth int, low, high []byte) error {
	if depth >= maxDepth {
		return fmt.Errorf("page %d lies too deep", id)
	}
	b, err := w.read(id, depth)
	if err != nil {
		return err
	}
	if err := w.elements(b, depth, low, high); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// read loads a page with its overflow pages and marks them as used.
func (w *walker) read(id uint64, depth int) ([]byte, error) {
	if id < 2 || id >= w.meta.pages {
		return nil, fmt.Errorf("page %d is out of bounds", id)
	}
	b := w.bufs[depth]
	if b == nil {
		b = make([]byte, pageSize)
	}
	if _, err := w.r.ReadAt(b[:pageSize], int64(id)*pageSize); err != nil {
		return nil, fmt.Errorf("page %d can't be read: %w", id, err)
	}
	le := binary.LittleEndian
	if self := le.Uint64(b); self != id {
		return nil, fmt.Errorf("page %d says that it is %d", id, self)
	}
	count := uint64(le.Uint32(b[12:])) + 1
	if count > w.meta.pages-id || count > maxSpan {
		return nil, fmt.Errorf("page %d is out of bounds", id+count-1)
	}
	need := int(count) * pageSize
	if need > len(b) {
		b = append(make([]byte, 0, need), b[:pageSize]...)[:need]
	}
	if _, err := w.r.ReadAt(b[pageSize:need], int64(id+1)*pageSize); need > pageSize && err != nil {
		return nil, fmt.Errorf("page %d can't be read: %w", id, err)
	}
	w.bufs[depth] = b
	for i := id; i < id+count; i++ {
		if w.seen[i/64]&(1<<(i%64)) != 0 {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		w.seen[i/64] |= 1 << (i % 64)
	}
	w.used += count
	return b[:need], nil
}

// elements checks one page, inline or not, and descends.
func (w *walker) elements(b []byte, depth int, low, high []byte) error {
	if len(b) < pageHeader {
		return errors.New("too short")
	}
	le := binary.LittleEndian
	flags, count := le.Uint16(b[8:]), int(le.Uint16(b[10:]))
	if flags != pageBranch && flags != pageLeaf {
		return fmt.Errorf("unknown type %#x", flags)
	}
	if pageHeader+count*elementSize > len(b) || count == 0 && flags == pageBranch {
		return fmt.Errorf("impossible number of elements %d", count)
	}
	var last []byte
	for i := range count {
		e, err := decodeElement(b, i, flags == pageLeaf)
		if err != nil {
			return err
		}
		if i > 0 && bytes.Compare(e.key, last) <= 0 || bytes.Compare(e.key, low) < 0 || high != nil && bytes.Compare(e.key, high) >= 0 {
			return errors.New("keys are out of order")
		}
		last = e.key
		switch {
		case flags == pageBranch:
			next := high
			if i+1 < count {
				n, err := decodeElement(b, i+1, false)
				if err != nil {
					return err
				}
				next = n.key
			}
			err = w.page(e.page, depth+1, e.key, next)
		case e.bucket:
			err = w.bucket(e.value, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) bucket(v []byte, depth int) error {
	if len(v) < bucketSize {
		return errors.New("a bucket is cut short")
	}
	if root := binary.LittleEndian.Uint64(v); root != 0 {
		return w.page(root, depth, nil, nil)
	}
	inline := v[bucketSize:]
	if len(inline) < pageHeader || binary.LittleEndian.Uint16(inline[8:]) != pageLeaf || depth >= maxDepth {
		return errors.New("a bucket is malformed")
	}
	return w.elements(inline, depth, nil, nil)
}

// element is one entry of a page; its slices point into the page.
type element struct {
	key, value []byte
	page       uint64 // of a branch
	bucket     bool   // of a leaf: value is a bucket
}

func decodeElement(b []byte, i int, leaf bool) (element, error) {
	le := binary.LittleEndian
	at := pageHeader + i*elementSize
	h := b[at : at+elementSize]
	var e element
	var pos, ksize, vsize uint32
	if leaf {
		e.bucket = le.Uint32(h)&leafBucket != 0
		pos, ksize, vsize = le.Uint32(h[4:]), le.Uint32(h[8:]), le.Uint32(h[12:])
	} else {
		pos, ksize, e.page = le.Uint32(h), le.Uint32(h[4:]), le.Uint64(h[8:])
	}
	start := uint64(at) + uint64(pos)
	end := start + uint64(ksize) + uint64(vsize)
	if ksize == 0 || end > uint64(len(b)) {
		return e, fmt.Errorf("element %d is out of bounds", i)
	}
	e.key = b[start : start+uint64(ksize)]
	e.value = b[start+uint64(ksize) : end]
	return e, nil
}
