package xmpptest

import (
	"fmt"

	"gosrc.io/xmpp/stanza"
)

const nsUpload = "urn:xmpp:http:upload:0"

// MaxUpload is what the service of Options.Slots says of the size of files, in bytes.
const MaxUpload = 100_000

// upload is a service for files (XEP-0363).
func (s *Server) upload(x *session, n, q *stanza.Node) {
	switch q.XMLName.Space {
	case stanza.NSDiscoInfo:
		s.reply(x, n, fmt.Sprintf("<query xmlns='%s'><identity category='store' type='file'/><feature var='%s'/>"+
			"<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE'><value>%s</value></field><field var='max-file-size'><value>%d</value></field></x></query>",
			stanza.NSDiscoInfo, nsUpload, nsUpload, MaxUpload))
	case nsUpload:
		slot := s.Slots(attr(q, "filename"), attr(q, "size"))
		if slot == "" {
			s.fail(x, n, "resource-constraint")
			return
		}
		s.reply(x, n, "<slot xmlns='"+nsUpload+"'>"+slot+"</slot>")
	default:
		s.fail(x, n, "service-unavailable")
	}
}
