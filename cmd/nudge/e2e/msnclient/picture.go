package msnclient

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Object returns whose picture an ILN or NLN announces, and its MSNObject; "" when it
// is none.
func (e Event) Object() (handle, object string) {
	handle, state, _ := e.Presence()
	if state == "" || len(e.Args) < 5 {
		return handle, ""
	}
	object = decode(e.Args[len(e.Args)-1])
	if !strings.HasPrefix(object, "<msnobj Creator=") {
		return handle, ""
	}
	return handle, object
}

// p2p is one frame (MSNP.md D.5).
type p2p struct {
	Session, ID   uint32
	Offset, Total uint64
	Length, Flags uint32
	Ack, Unique   uint32
	AckSize       uint64
}

// Flags of frames, and the longest data of one.
const (
	p2pAck    = 2
	p2pObject = 0x20
	p2pMost   = 1202
)

// ErrDeclined says that the contact does not give the picture away.
var ErrDeclined = errors.New("declined")

// Picture asks a contact in the conversation for the data of his MSNObject, as MSN
// 6 does (MSNP.md D.7), and checks every step of the answer.
func (ch *Chat) Picture(ctx context.Context, handle, object string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, ch.client.cfg.Timeout)
	defer cancel()
	f := &fetch{ch: ch, handle: handle, from: ch.client.Log.Len(), session: 0x5a5a0000 + uint32(ch.client.Log.Len()), next: 0x1000_0000}
	f.call = fmt.Sprintf("{9D79AE57-1BD5-444B-B14E-%012X}", f.session)
	context := base64.StdEncoding.EncodeToString([]byte(object + "\x00"))
	body := fmt.Sprintf("EUF-GUID: {A4268EEC-FEC5-49E5-95C3-F126696BDBF6}\r\nSessionID: %d\r\nAppID: 12\r\nContext: %s\r\n\r\n\x00", f.session, context)
	invite, err := f.slp(ctx, "INVITE", "application/x-msnmsgr-sessionreqbody", body)
	if err != nil {
		return nil, err
	}
	if err := f.acked(ctx, invite); err != nil {
		return nil, err
	}
	answer, _, err := f.message(ctx, 0, 0)
	switch {
	case err != nil:
		return nil, err
	case bytes.HasPrefix(answer, []byte("MSNSLP/1.0 603 ")):
		return nil, ErrDeclined
	case !bytes.HasPrefix(answer, []byte("MSNSLP/1.0 200 OK\r\n")), !bytes.Contains(answer, []byte("Call-ID: "+f.call+"\r\n")),
		!bytes.HasSuffix(answer, fmt.Appendf(nil, "\r\n\r\nSessionID: %d\r\n\r\n\x00", f.session)):
		return nil, fmt.Errorf("no answer: %q", answer)
	}
	if prepared, app, err := f.message(ctx, f.session, 0); err != nil || !bytes.Equal(prepared, make([]byte, 4)) || app != 12 {
		return nil, fmt.Errorf("no preparation: %q for %d, %w", prepared, app, err)
	}
	data, app, err := f.message(ctx, f.session, p2pObject)
	if err != nil || app != 12 {
		return nil, fmt.Errorf("no picture: for %d, %w", app, err)
	}
	sum := sha1.Sum(data)
	if want := `SHA1D="` + base64.StdEncoding.EncodeToString(sum[:]) + `"`; !strings.Contains(object, want) || !strings.Contains(object, fmt.Sprintf(`Size="%d"`, len(data))) {
		return nil, fmt.Errorf("%d bytes came that are not what %s promised", len(data), object)
	}
	bye, err := f.slp(ctx, "BYE", "application/x-msnmsgr-sessionclosebody", "\r\n\x00")
	if err != nil {
		return nil, err
	}
	return data, f.acked(ctx, bye)
}

// fetch is a picture on its way.
type fetch struct {
	ch      *Chat
	handle  string
	from    int // in the log
	session uint32
	call    string
	next    uint32
}

// slp sends a message of MSNSLP and returns its id.
func (f *fetch) slp(ctx context.Context, method, kind, body string) (id uint32, err error) {
	me := f.ch.client.cfg.Handle
	text := fmt.Sprintf("%s MSNMSGR:%s MSNSLP/1.0\r\nTo: <msnmsgr:%s>\r\nFrom: <msnmsgr:%s>\r\nVia: MSNSLP/1.0/TLP ;branch={33517CE4-02FC-4428-B6F4-39927229B722}\r\nCSeq: 0 \r\nCall-ID: %s\r\n"+
		"Max-Forwards: 0\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", method, f.handle, f.handle, me, f.call, kind, len(body), body)
	return f.whole(ctx, 0, 0, text)
}

// send sends a frame and waits for the switchboard to have it.
func (f *fetch) send(ctx context.Context, head p2p, data string) error {
	b, err := binary.Append([]byte("MIME-Version: 1.0\r\nContent-Type: application/x-msnmsgrp2p\r\nP2P-Dest: "+f.handle+"\r\n\r\n"), binary.LittleEndian, head)
	if err != nil {
		return err
	}
	log, id := f.ch.client.Log, f.ch.client.nextID()
	from := log.Len()
	if err := f.ch.k.sendBody(string(b)+data+"\x00\x00\x00\x00", "MSG", id, "D"); err != nil {
		return err
	}
	e, err := log.Wait(ctx, from, func(e Event) bool { return e.Chat == f.ch && (e.Cmd == Closed || len(e.Args) > 0 && e.Args[0] == id) })
	if err == nil && e.Cmd != "ACK" {
		err = fmt.Errorf("a frame was not taken: %v", e)
	}
	return err
}

// receive waits for the contact's next frame.
func (f *fetch) receive(ctx context.Context) (head p2p, data []byte, app uint32, err error) {
	e, err := f.ch.client.Log.Wait(ctx, f.from, func(e Event) bool {
		h, _ := e.mime()
		return e.Chat == f.ch && (e.Cmd == Closed || e.From() == strings.ToLower(f.handle) && h["content-type"] == "application/x-msnmsgrp2p")
	})
	if err != nil || e.Cmd == Closed {
		return head, nil, 0, fmt.Errorf("the contact's program says nothing: %v, %w", e, err)
	}
	f.from = e.N + 1
	h, rest := e.mime()
	n, err := binary.Decode([]byte(rest), binary.LittleEndian, &head)
	if data = []byte(rest); err == nil {
		data = data[n:]
	}
	if err != nil || len(data) != int(head.Length)+4 || head.Length > p2pMost || !strings.EqualFold(h["p2p-dest"], f.ch.client.cfg.Handle) || len(e.Body) > 1664 || head.ID == 0 {
		return head, nil, 0, fmt.Errorf("no frame: %v", e)
	}
	return head, data[:head.Length], binary.BigEndian.Uint32(data[head.Length:]), nil
}

// acked waits for the acknowledgement of what has that id.
func (f *fetch) acked(ctx context.Context, id uint32) error {
	head, _, app, err := f.receive(ctx)
	if err == nil && (head.Flags != p2pAck || head.Ack != id || head.Unique != 0xabcd || head.AckSize != head.Total || head.Length != 0 || app != 0) {
		err = fmt.Errorf("instead of an acknowledgement came %+v", head)
	}
	return err
}

// message puts the next logical message together and acknowledges it.
func (f *fetch) message(ctx context.Context, session, flags uint32) (all []byte, app uint32, err error) {
	var first p2p
	for {
		head, data, of, err := f.receive(ctx)
		if err != nil {
			return nil, 0, err
		}
		if len(all) == 0 {
			first = head
		}
		if head.Session != session || head.Flags != flags || head.Offset != uint64(len(all)) || head.Total != first.Total || head.ID != first.ID || head.Ack != first.Ack {
			return nil, 0, fmt.Errorf("after %d bytes of %+v came %+v", len(all), first, head)
		}
		all, app = append(all, data...), of
		if uint64(len(all)) >= head.Total {
			break
		}
	}
	f.next++
	return all, app, f.send(ctx, p2p{Session: session, ID: f.next, Total: first.Total, Flags: p2pAck, Ack: first.ID, Unique: first.Ack, AckSize: first.Total}, "")
}

// Give answers a contact in the conversation who asks, from a position of the log on,
// for the client's own picture: object, whose data is given.
func (ch *Chat) Give(ctx context.Context, from int, handle, object string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, ch.client.cfg.Timeout)
	defer cancel()
	f := &fetch{ch: ch, handle: handle, from: from, next: 0x2000_0000}
	invite, _, err := f.message(ctx, 0, 0)
	if err != nil {
		return err
	}
	h, body := Event{Body: invite}.mime()
	b, _ := Event{Body: []byte(body)}.mime()
	asked, err := base64.StdEncoding.DecodeString(b["context"])
	session, err2 := strconv.ParseUint(b["sessionid"], 10, 32)
	if err != nil || err2 != nil || string(asked) != object+"\x00" || b["euf-guid"] != "{A4268EEC-FEC5-49E5-95C3-F126696BDBF6}" || !bytes.HasPrefix(invite, []byte("INVITE MSNMSGR:"+ch.client.cfg.Handle+" MSNSLP/1.0\r\n")) {
		return fmt.Errorf("no question for %s: %q", object, invite)
	}
	f.session, f.call = uint32(session), h["call-id"]
	body = fmt.Sprintf("SessionID: %d\r\n\r\n\x00", session)
	text := fmt.Sprintf("MSNSLP/1.0 200 OK\r\nTo: <msnmsgr:%s>\r\nFrom: <msnmsgr:%s>\r\nVia: %s\r\nCSeq: 1 \r\nCall-ID: %s\r\nMax-Forwards: 0\r\n"+
		"Content-Type: application/x-msnmsgr-sessionreqbody\r\nContent-Length: %d\r\n\r\n%s", handle, ch.client.cfg.Handle, h["via"], f.call, len(body), body)
	for _, m := range []struct {
		session, flags uint32
		data           string
	}{{0, 0, text}, {f.session, 0, "\x00\x00\x00\x00"}, {f.session, p2pObject, string(data)}} {
		id, err := f.whole(ctx, m.session, m.flags, m.data)
		if err == nil {
			err = f.acked(ctx, id)
		}
		if err != nil {
			return err
		}
	}
	bye, _, err := f.message(ctx, 0, 0)
	if err == nil && !bytes.HasPrefix(bye, []byte("BYE ")) {
		err = fmt.Errorf("instead of an end came %q", bye)
	}
	return err
}

// whole sends a logical message and returns its id.
func (f *fetch) whole(ctx context.Context, session, flags uint32, data string) (id uint32, err error) {
	f.next++
	id = f.next
	for at := 0; at < len(data) && err == nil; at += p2pMost {
		part := data[at:min(len(data), at+p2pMost)]
		err = f.send(ctx, p2p{Session: session, ID: id, Offset: uint64(at), Total: uint64(len(data)), Length: uint32(len(part)), Flags: flags, Ack: 0xabcd}, part)
	}
	return id, err
}
