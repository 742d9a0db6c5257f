package xmpp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"gosrc.io/xmpp/stanza"

	"nudge/bridge/im"
	"nudge/bridge/xmpp/fetch"
	"nudge/bridge/xmpp/stream"
)

// Files of the account are put on a web server that its own server names, and their
// address is told to the contact (XEP-0363, XEP-0066).

const nsUpload = "urn:xmpp:http:upload:0"

// maxServices is how many services of a server are looked at.
const maxServices = 20

// uploads is where the server takes files; no address: nobody knows yet.
type uploads struct {
	service string
	most    int64 // bytes of one file, 0 unknown
}

// findUploads asks the server which of its services takes files.
func (l *link) findUploads(ctx context.Context) (uploads, error) {
	l.mu.Lock()
	u := l.uploads
	l.mu.Unlock()
	if u.service != "" {
		return u, nil
	}
	places := []string{l.me.Domain}
	services, err := l.about(ctx, l.me.Domain, stanza.NSDiscoItems)
	for i := range services[:min(len(services), maxServices)] {
		places = append(places, stream.Attr(&services[i], "jid"))
	}
	for _, at := range places {
		if fatal(err) {
			return u, err
		}
		var says []stanza.Node
		if says, err = l.about(ctx, at, stanza.NSDiscoInfo); err != nil {
			continue
		}
		if most, takes := takesFiles(says); takes {
			u = uploads{at, most}
			l.mu.Lock()
			l.uploads = u
			l.mu.Unlock()
			return u, nil
		}
	}
	if fatal(err) {
		return u, err
	}
	return u, im.ErrUnsupported
}

// about is what a service says of itself (XEP-0030).
func (l *link) about(ctx context.Context, at, what string) ([]stanza.Node, error) {
	n, err := l.s.Do(ctx, query(stanza.IQTypeGet, at, element(what, "query")))
	if q := stream.Child(n, what, "query"); err == nil && q != nil {
		return q.Nodes, nil
	}
	return nil, err
}

// takesFiles reads what a service says of itself (XEP-0363 §4).
func takesFiles(says []stanza.Node) (most int64, takes bool) {
	for i := range says {
		c := &says[i]
		takes = takes || stream.Attr(c, "var") == nsUpload
		for j := range c.Nodes { // of a form
			if f := &c.Nodes[j]; stream.Attr(f, "var") == "max-file-size" {
				n, _ := strconv.ParseUint(strings.TrimSpace(stream.Text(f, nsForm, "value")), 10, 63)
				most = int64(n)
			}
		}
	}
	return most, takes
}

// slot is where a file is to be put, and where others get it.
type slot struct {
	put, get string
	header   http.Header
}

// readSlot reads a service's answer (XEP-0363 §5). Both addresses must be of the kind
// that keeps a secret.
func readSlot(n *stanza.Node) (s slot, ok bool) {
	c := stream.Child(n, nsUpload, "slot")
	if c == nil {
		return s, false
	}
	s.header = http.Header{}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		at := stream.Attr(n, "url")
		if !fetch.Usable(at) || !strings.HasPrefix(at, "https://") {
			return s, false
		}
		if n.XMLName.Local == "get" {
			s.get = at
			continue
		}
		s.put = at
		for j := range n.Nodes {
			h := &n.Nodes[j]
			switch name := stream.Attr(h, "name"); name {
			case "Authorization", "Cookie", "Expires":
				s.header.Set(name, h.Content)
			}
		}
	}
	return s, s.put != "" && s.get != ""
}

// Upload puts a file where the account's server says, and returns its address
// (im.Link).
func (l *link) Upload(ctx context.Context, _ im.Addr, _ string, f im.File, r io.Reader) (string, error) {
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	where, err := l.findUploads(asking)
	switch {
	case err != nil:
		return "", err
	case where.most > 0 && f.Size > where.most:
		return "", &im.Refused{Text: fmt.Sprintf("The XMPP server takes files of at most %d kB. Send it in another way, or in parts.", where.most/1000)}
	case r == nil:
		return "", nil
	}
	request := element(nsUpload, "request", "filename", f.Name, "size", strconv.FormatInt(f.Size, 10), "content-type", f.Type)
	n, err := l.s.Do(asking, query(stanza.IQTypeGet, where.service, request))
	var no *stream.StanzaError
	if errors.As(err, &no) {
		return "", &im.Refused{Text: fmt.Sprintf("The XMPP server does not take the file (%s). Try again later, or send it in another way.", no)}
	} else if err != nil {
		return "", err
	}
	s, ok := readSlot(n)
	if !ok {
		return "", &im.Refused{Text: "The XMPP server names no place for files that this box could use. Tell whoever runs the server: it must be an address that begins with https."}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(l.ctx, stop)()
	c := l.fetching()
	if at := l.s.Peer(); at.IsValid() {
		c.Peers = []netip.Addr{at} // the server's own machine, by whatever name
	}
	return s.get, fetch.Put(ctx, s.put, s.header, f, r, c)
}

// fetching says whom to believe about files.
func (l *link) fetching() fetch.Config {
	return fetch.Config{Hosts: im.Words(l.host.Setting(l.user, fileHosts)), Roots: l.roots}
}
