package p2p

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"nudge/msnserver/wire"
)

// How files went before Messenger 6: by an invitation in words, and then over a
// connection of their own, MSNFTP (MSNP.md D.4).

// inviteType is the content type of a MSG with an invitation in it.
const inviteType = "text/x-msmsgsinvite"

// Invitation is one step of an invitation of the old kind.
type Invitation struct {
	Command string // INVITE, ACCEPT or CANCEL
	Cookie  string // names what is offered
	Offer   Offer  // of an INVITE; To is empty
	Here    bool   // of an INVITE: it is for a file, and who makes it can be connected to

	// Of an ACCEPT: where to connect, on the machine of who made the offer, and what
	// to say there.
	Port uint16
	Auth string
}

// ParseInvitation reads the payload of a MSG. Where to connect is only ever a port.
func ParseInvitation(payload []byte) (i Invitation, ok bool) {
	m, _ := wire.ParseMessage(payload)
	if m.Type() != inviteType {
		return i, false
	}
	b, _ := wire.ParseMessage(m.Body)
	size, err := strconv.ParseInt(b.Get("Application-FileSize"), 10, 64)
	port, none := strconv.ParseUint(b.Get("Port"), 10, 16)
	if none != nil {
		port = 0
	}
	i = Invitation{
		Command: strings.ToUpper(b.Get("Invitation-Command")), Cookie: b.Get("Invitation-Cookie"),
		Offer: Offer{Name: b.Get("Application-File"), Size: size},
		Here:  err == nil && size >= 0 && strings.EqualFold(b.Get("Application-GUID"), filesGUID) && !strings.EqualFold(b.Get("Connectivity"), "N"),
		Port:  uint16(port), Auth: b.Get("AuthCookie"),
	}
	return i, number(i.Cookie)
}

// number tells whether text is one, as cookies are.
func number(text string) bool {
	_, err := strconv.ParseUint(text, 10, 64)
	return err == nil
}

// Accept is the payload that says yes to an INVITE and asks where to connect.
func (i Invitation) Accept() []byte {
	return i.reply("ACCEPT", "Launch-Application: FALSE\r\nRequest-Data: IP-Address:\r\n")
}

// Cancel is the payload that ends what is offered.
func (i Invitation) Cancel() []byte { return i.reply("CANCEL", "Cancel-Code: REJECT\r\n") }

func (i Invitation) reply(command, more string) []byte {
	m := wire.NewMessage(inviteType + "; charset=UTF-8")
	m.Body = []byte("Invitation-Command: " + command + "\r\nInvitation-Cookie: " + i.Cookie + "\r\n" + more + "\r\n")
	return m.Bytes()
}

// Words of MSNFTP that end it.
const (
	ftpArrived   = "BYE 16777989\r\n"
	ftpCancelled = "BYE 2164261682\r\n"
)

// longestLine is in bytes; honest ones have an address and a number.
const longestLine = 512

var errFTP = errors.New("the client does not keep to MSNFTP")

// Fetch gets a file of so many bytes from the client over line, for the contact me.
func Fetch(line io.ReadWriter, me, auth string, size int64, to io.Writer) error {
	if !number(auth) {
		return errFTP
	}
	r := bufio.NewReaderSize(line, longestLine)
	for _, step := range []struct{ say, want string }{
		{"VER MSNFTP\r\n", "VER MSNFTP"}, {"USR " + me + " " + auth + "\r\n", fmt.Sprint("FIL ", size)},
	} {
		if _, err := io.WriteString(line, step.say); err != nil {
			return err
		}
		answer, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(answer)) != step.want {
			return fmt.Errorf("%w: it says %q", errFTP, answer)
		}
	}
	if _, err := io.WriteString(line, "TFR\r\n"); err != nil {
		return err
	}
	for size > 0 {
		var head [3]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		n := int64(binary.LittleEndian.Uint16(head[1:]))
		switch {
		case head[0] != 0:
			return io.EOF
		case n > size:
			return fmt.Errorf("%w: it sends more than it promised", errFTP)
		}
		if _, err := io.CopyN(to, r, n); err != nil {
			return err
		}
		size -= n
	}
	return nil
}

// Bye ends what Fetch got.
func Bye(line io.Writer, arrived bool) error {
	word := ftpCancelled
	if arrived {
		word = ftpArrived
	}
	_, err := io.WriteString(line, word)
	return err
}
