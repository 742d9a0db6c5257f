package p2p

import (
	"encoding/binary"

	"nudge/msnserver/wire"
)

// contentType is that of a MSG with a frame in it.
const contentType = "application/x-msnmsgrp2p"

const (
	headerSize = 48
	footerSize = 4
	maxData    = 1202 // of one frame, in bytes
)

// Flags of a frame.
const (
	flagAck    = 0x02
	flagError  = 0x08
	flagFile   = 0x10 // data of a file; 0x20 stands beside it
	flagObject = 0x20 // data of an MSNObject
	flagCancel = 0x40
	flagEnding = 0x80
	flagCompat = 0x01000000 // Live Messenger 2009 sets it beside others
)

// frame is a part of a logical message, or all of it, or the word that one has
// arrived (MSNP.md D.5).
type frame struct {
	session       uint32 // 0: MSNSLP
	id            uint32 // of the logical message
	offset, total uint64 // of data in it, and its size
	flags         uint32
	ack           uint32 // random; in an acknowledgement the id of what arrived
	ackUnique     uint32 // in an acknowledgement the ack of that, else 0
	ackSize       uint64 // and its total
	data          []byte
	app           uint32 // what the data is for
}

// parseFrame reads the body of a MSG. data shares its memory.
func parseFrame(b []byte) (f frame, ok bool) {
	if len(b) < headerSize+footerSize {
		return f, false
	}
	var w [headerSize / 4]uint32
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	f = frame{
		session: w[0], id: w[1], offset: long(w[2], w[3]), total: long(w[4], w[5]), flags: w[7], ack: w[8], ackUnique: w[9], ackSize: long(w[10], w[11]),
		app: binary.BigEndian.Uint32(b[len(b)-footerSize:]),
	}
	f.data = b[headerSize : len(b)-footerSize]
	length := uint64(w[6])
	if length > uint64(len(f.data)) || f.offset > f.total || length > f.total-f.offset {
		return f, false
	}
	f.data = f.data[:length]
	return f, true
}

func long(low, high uint32) uint64 { return uint64(high)<<32 | uint64(low) }

// payload is the MSG that carries the frame to a client.
func (f frame) payload(to string) []byte {
	b := make([]byte, 0, headerSize+len(f.data)+footerSize)
	for _, w := range [headerSize / 4]uint32{
		f.session, f.id, uint32(f.offset), uint32(f.offset >> 32), uint32(f.total), uint32(f.total >> 32), uint32(len(f.data)), f.flags,
		f.ack, f.ackUnique, uint32(f.ackSize), uint32(f.ackSize >> 32),
	} {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	b = append(b, f.data...)
	m := wire.NewMessage(contentType)
	m.Add("P2P-Dest", to)
	m.Body = binary.BigEndian.AppendUint32(b, f.app)
	return m.Bytes()
}

// last tells whether the frame ends its logical message.
func (f frame) last() bool { return f.offset+uint64(len(f.data)) == f.total }

// acknowledgement says that the logical message that f ends has arrived.
func (f frame) acknowledgement(id uint32) frame {
	return frame{session: f.session, id: id, total: f.total, flags: flagAck, ack: f.id, ackUnique: f.ack, ackSize: f.total}
}
