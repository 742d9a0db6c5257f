package msnclient

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"unicode/utf16"
)

// ErrNotTaken says that the contact did not confirm that he has the file.
var ErrNotTaken = errors.New("the contact ended it before he had the file")

// p2pFile are the flags of data of a file.
const p2pFile = 0x01000030

// GiveFile gives a contact in the conversation a file, as MSN 6 does (MSNP.md D.9): it
// asks, offers to talk without the server, sends, and waits until it has arrived.
// ErrDeclined when the contact does not want it.
func (ch *Chat) GiveFile(ctx context.Context, handle, name string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, ch.client.cfg.Timeout)
	defer cancel()
	f := &fetch{ch: ch, handle: handle, from: ch.client.Log.Len(), session: 0x4b4b0000 + uint32(ch.client.Log.Len()), next: 0x3000_0000}
	f.call = fmt.Sprintf("{9D79AE57-1BD5-444B-B14E-%012X}", f.session)
	about := make([]byte, 574)
	binary.LittleEndian.PutUint32(about, 574)
	binary.LittleEndian.PutUint32(about[4:], 2)
	binary.LittleEndian.PutUint64(about[8:], uint64(len(data)))
	binary.LittleEndian.PutUint32(about[16:], 1)
	for i, u := range utf16.Encode([]rune(name)) {
		binary.LittleEndian.PutUint16(about[20+2*i:], u)
	}
	copy(about[570:], "\xff\xff\xff\xff")
	body := fmt.Sprintf("EUF-GUID: {5D3E02AB-6190-11D3-BBBB-00C04F795683}\r\nSessionID: %d\r\nAppID: 2\r\nContext: %s\r\n\r\n\x00", f.session, base64.StdEncoding.EncodeToString(about))
	if err := f.ask(ctx, "application/x-msnmsgr-sessionreqbody", body, fmt.Sprintf("\r\n\r\nSessionID: %d\r\n\r\n\x00", f.session)); err != nil {
		return err
	}
	const direct = "Bridges: TRUDPv1 TCPv1\r\nNetID: 0\r\nConn-Type: Firewall\r\nUPnPNat: false\r\nICF: false\r\n\r\n\x00"
	if err := f.ask(ctx, "application/x-msnmsgr-transreqbody", direct, "\r\n\r\nBridge: TCPv1\r\nListening: false\r\nNonce: {00000000-0000-0000-0000-000000000000}\r\n\r\n\x00"); err != nil {
		return err
	}
	id, err := f.whole(ctx, f.session, p2pFile, string(data))
	if err != nil {
		return err
	}
	if err := f.acked(ctx, id); err != nil {
		return fmt.Errorf("%w: %w", ErrNotTaken, err)
	}
	bye, _, err := f.message(ctx, 0, 0)
	if err == nil && (!bytes.HasPrefix(bye, []byte("BYE MSNMSGR:"+ch.client.cfg.Handle+" MSNSLP/1.0\r\n")) || !bytes.Contains(bye, []byte("Call-ID: "+f.call+"\r\n"))) {
		err = fmt.Errorf("instead of an end came %q", bye)
	}
	return err
}

// ask sends an INVITE and wants an answer with that end.
func (f *fetch) ask(ctx context.Context, kind, body, end string) error {
	id, err := f.slp(ctx, "INVITE", kind, body)
	if err != nil {
		return err
	}
	if err := f.acked(ctx, id); err != nil {
		return err
	}
	answer, _, err := f.message(ctx, 0, 0)
	switch {
	case err != nil:
		return err
	case bytes.HasPrefix(answer, []byte("MSNSLP/1.0 603 ")):
		return ErrDeclined
	case !bytes.HasPrefix(answer, []byte("MSNSLP/1.0 200 OK\r\n")), !bytes.Contains(answer, []byte("Call-ID: "+f.call+"\r\n")), !bytes.HasSuffix(answer, []byte(end)):
		return fmt.Errorf("no answer: %q", answer)
	}
	return nil
}

// GiveFileOld gives the contact, alone in the conversation, a file as MSN 1 to 5 do
// (MSNP.md D.4). It waits for the other side on loopback, but says that it is elsewhere.
func (ch *Chat) GiveFileOld(ctx context.Context, handle, name string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, ch.client.cfg.Timeout)
	defer cancel()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	const cookie, auth = "33267", "93301"
	say := func(fields ...string) error {
		return ch.SendRaw(ctx, "MIME-Version: 1.0\r\nContent-Type: text/x-msmsgsinvite; charset=UTF-8\r\n\r\n"+strings.Join(fields, "\r\n")+"\r\n\r\n")
	}
	from := ch.client.Log.Len()
	err = say("Application-Name: File Transfer", "Application-GUID: {5D3E02AB-6190-11d3-BBBB-00C04F795683}", "Invitation-Command: INVITE", "Invitation-Cookie: "+cookie,
		"Application-File: "+name, fmt.Sprint("Application-FileSize: ", len(data)))
	if err != nil {
		return err
	}
	e, err := ch.client.Log.Wait(ctx, from, func(e Event) bool {
		h, _ := e.mime()
		return e.Chat == ch && (e.Cmd == Closed || e.From() == strings.ToLower(handle) && strings.HasPrefix(h["content-type"], "text/x-msmsgsinvite"))
	})
	if err != nil {
		return err
	}
	_, rest := e.mime()
	answer, _ := Event{Body: []byte(rest + "\r\n\r\n")}.mime()
	switch {
	case answer["invitation-cookie"] != cookie:
		return fmt.Errorf("no answer to an invitation: %v", e)
	case answer["invitation-command"] == "CANCEL":
		return ErrDeclined
	case answer["invitation-command"] != "ACCEPT" || answer["request-data"] != "IP-Address:" || answer["launch-application"] != "FALSE":
		return fmt.Errorf("what does the contact want: %v", e)
	}
	if err := say("Invitation-Command: ACCEPT", "Invitation-Cookie: "+cookie, "IP-Address: 192.0.2.99", "Port: "+port, "AuthCookie: "+auth, "Launch-Application: FALSE", "Request-Data: IP-Address:"); err != nil {
		return err
	}
	line, err := l.Accept()
	if err != nil {
		return err
	}
	defer line.Close()
	if at, ok := ctx.Deadline(); ok {
		line.SetDeadline(at)
	}
	return sendFTP(line, handle, auth, data)
}

// sendFTP is who has the file, in MSNFTP.
func sendFTP(line net.Conn, handle, auth string, data []byte) error {
	r := bufio.NewReader(line)
	for _, step := range []struct{ hears, says string }{
		{"VER MSNFTP\r\n", "VER MSNFTP\r\n"}, {"USR " + handle + " " + auth + "\r\n", fmt.Sprintf("FIL %d\r\n", len(data))}, {"TFR\r\n", ""},
	} {
		heard, err := r.ReadString('\n')
		if err != nil || heard != step.hears {
			return fmt.Errorf("instead of %q comes %q, %w", step.hears, heard, err)
		}
		if _, err := line.Write([]byte(step.says)); err != nil {
			return err
		}
	}
	const most = 2045
	for at := 0; at < len(data); at += most {
		part := data[at:min(len(data), at+most)]
		if _, err := line.Write(append([]byte{0, byte(len(part)), byte(len(part) >> 8)}, part...)); err != nil {
			return err
		}
	}
	if _, err := line.Write([]byte{1, 0, 0}); err != nil {
		return err
	}
	if bye, err := r.ReadString('\n'); err != nil || bye != "BYE 16777989\r\n" {
		return fmt.Errorf("%w: %q, %v", ErrNotTaken, bye, err)
	}
	return nil
}
