package msnclient

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// SetStatus shows a state of MSNP.md B.10 (NLN, AWY, HDN …).
func (c *Client) SetStatus(ctx context.Context, state string) error {
	return c.Show(ctx, state, 0, "")
}

// Show shows a state, what the client can do and its picture (an MSNObject,
// not escaped), as far as the version has them.
func (c *Client) Show(ctx context.Context, state string, caps uint32, picture string) error {
	v, args := c.cfg.Version, []string{state}
	if v.Caps() {
		args = append(args, strconv.FormatUint(uint64(caps), 10))
	}
	if v.Picture() && picture != "" {
		args = append(args, escape(picture))
	}
	e, err := c.do(ctx, c.ns, "CHG", args...)
	if err == nil && strings.Join(e.Args[1:], " ") != strings.Join(args, " ") {
		err = fmt.Errorf("CHG is not echoed: %q", e.Line)
	}
	return err
}

// SetNote shows a personal message and what is playing, in the versions that
// have them.
func (c *Client) SetNote(ctx context.Context, note, media string) error {
	if !c.cfg.Version.Note() {
		return fmt.Errorf("%s has no personal message", c.cfg.Version.Name)
	}
	var b strings.Builder
	b.WriteString("<Data><PSM>")
	xml.EscapeText(&b, []byte(note))
	b.WriteString("</PSM><CurrentMedia>")
	xml.EscapeText(&b, []byte(media))
	b.WriteString("</CurrentMedia></Data>")
	_, err := c.doBody(ctx, c.ns, b.String(), "UUX")
	return err
}

// Ping returns when the server has answered everything sent before. Through the
// gateway PNG has no answer, so a page's address is asked for.
func (c *Client) Ping(ctx context.Context) error {
	if c.cfg.Polls {
		_, err := c.do(ctx, c.ns, "URL", "INBOX")
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	from := c.Log.Len()
	if err := c.ns.send("PNG"); err != nil {
		return err
	}
	e, err := c.Log.Wait(ctx, from, func(e Event) bool {
		return e.Chat == nil && (e.Cmd == "QNG" || e.Cmd == Closed)
	})
	if err == nil && e.Cmd == Closed {
		err = fmt.Errorf("the connection ended before PNG was answered: %s", e.Args[0])
	}
	return err
}

// Status is the state last announced for a contact, "" when there was none.
func (c *Client) Status(handle string) string {
	state := ""
	for _, e := range c.Log.Since(0) {
		if h, s, _ := e.Presence(); s != "" && strings.EqualFold(h, handle) {
			state = s
		}
	}
	return state
}

// Presence returns who shows which state in an ILN, NLN or FLN event.
func (e Event) Presence() (handle, state, name string) {
	a := e.Args
	switch {
	case e.Chat != nil:
	case e.Cmd == "ILN" && len(a) >= 4:
		handle, state, name = a[2], a[1], a[3]
	case e.Cmd == "NLN" && len(a) >= 3:
		handle, state, name = a[1], a[0], a[2]
	case e.Cmd == "FLN" && len(a) >= 1:
		handle, state = a[0], "FLN"
	}
	return strings.ToLower(handle), state, decode(name)
}

// Note returns whose personal message and media an UBX event tells.
func (e Event) Note() (handle, note, media string, ok bool) {
	if e.Cmd != "UBX" || len(e.Args) < 1 {
		return "", "", "", false
	}
	var data struct {
		PSM          string
		CurrentMedia string
	}
	if len(e.Body) > 0 && xml.Unmarshal(e.Body, &data) != nil {
		return "", "", "", false
	}
	return strings.ToLower(e.Args[0]), data.PSM, data.CurrentMedia, true
}

// escape encodes everything but letters, digits and -_.~ as %XX.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
