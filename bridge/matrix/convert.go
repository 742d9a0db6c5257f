package matrix

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"nudge/bridge/im"
)

// scene is what conversion needs to know of where an event happened.
type scene struct {
	me   id.UserID
	conv string    // Message.Conv
	with id.UserID // the other person of a direct room, "" in a group
	name string    // of the sender

	unread string // what to say of an encrypted event that can't be read
}

// Texts for what an old client can't be shown otherwise.
const (
	textEncrypted    = "sent an encrypted message that this box can't read. Read it in another Matrix app."
	textNoKey        = "sent an encrypted message that this box can't read yet: its key has not come. The text follows here when it comes; until then read it in another Matrix app."
	textWithheld     = "sent an encrypted message that this box can't read: it went to verified devices only. Give this box the recovery key of your Matrix account, and ask for the message again."
	textBrokenHere   = "sent an encrypted message that this box can't read. Ask for it again."
	textNoKeyHere    = "sent an encrypted message that this box can't read yet: its key has not come. The text follows here when it comes; if it does not, ask for the message again."
	textWithheldHere = "sent an encrypted message that this box can't read: it went to verified devices only. Ask for it again, for all devices."
	textUnknown      = "sent something that this box can't show. Look at it in another Matrix app."
	textVerify       = "wants to verify this account. Do that in another Matrix app."
	textCall         = "is calling. Answer in another Matrix app."
)

// extra are the fields that boxes add to their events.
type extra struct {
	Nudge  bool   `json:"appliance.nudge,omitempty"`
	Origin string `json:"appliance.origin,omitempty"` // box + "/" + the message's id there
	Passed bool   `json:"appliance.passed,omitempty"` // im.Message.Passed
}

// convert is what a timeline event means as a message. Not ok: it has nothing
// to say.
func convert(e *evt, s scene) (msg im.Message, ok bool) {
	if e.StateKey != nil || len(e.Unsigned.RedactedBy) > 0 {
		return msg, false
	}
	msg = im.Message{
		ID: string(e.ID), Conv: s.conv, From: im.Addr{Net: Name, ID: string(e.Sender)},
		Own: e.Sender == s.me, At: time.UnixMilli(e.At),
	}
	if !msg.Own && e.Sender != s.with {
		msg.Name = cmp.Or(s.name, e.Sender.Localpart(), string(e.Sender))
	}
	switch e.Type {
	case event.EventMessage.Type, event.EventSticker.Type:
		ok = convertMessage(e, &msg)
	case event.EventEncrypted.Type:
		msg.Kind, msg.Text, ok = im.Notice, cmp.Or(s.unread, textEncrypted), true
	case event.EventReaction.Type:
		c, _ := decode[event.ReactionEventContent](e.Content)
		msg.Rel = im.Rel{Kind: im.React, To: string(c.RelatesTo.GetAnnotationID())}
		msg.Text, ok = im.Plain(c.RelatesTo.GetAnnotationKey()), msg.Rel.To != ""
	case event.EventRedaction.Type:
		msg.Rel = im.Rel{Kind: im.Retract, To: string(redacted(e))}
		ok = msg.Rel.To != ""
	case stablePoll + pollStart, unstablePoll + pollStart:
		msg.Kind, ok = im.Notice, true
		msg.Text, msg.Poll = readPoll(e)
	case "m.call.invite":
		msg.Kind, msg.Text, ok = im.Notice, textCall, true
	}
	return msg, ok
}

// redacted is the event that a redaction takes back: the room's version says where
// that is.
func redacted(e *evt) id.EventID {
	c, _ := decode[event.RedactionEventContent](e.Content)
	return cmp.Or(c.Redacts, e.Redacts)
}

func convertMessage(e *evt, msg *im.Message) bool {
	if content := strings.TrimSpace(string(e.Content)); content == "{}" || content == "" {
		return false // was redacted
	}
	c, ok := decode[event.MessageEventContent](e.Content)
	if !ok {
		msg.Kind, msg.Text = im.Notice, textUnknown
		return true
	}
	x, _ := decode[extra](e.Content)
	if msg.Passed = x.Passed; x.Nudge {
		msg.Kind = im.Nudge
		return true
	}
	thread := false
	switch rel := c.RelatesTo; {
	case rel.GetReplaceID() != "":
		msg.Rel = im.Rel{Kind: im.Edit, To: string(rel.GetReplaceID())}
		if c.NewContent != nil {
			c = *c.NewContent
		}
	case rel.GetNonFallbackReplyTo() != "":
		msg.Rel = im.Rel{Kind: im.Reply, To: string(rel.GetReplyTo())}
		c.Body = event.TrimReplyFallbackText(c.Body)
		thread = rel.GetThreadParent() != ""
	default:
		thread = rel.GetThreadParent() != ""
	}
	if e.Type == event.EventSticker.Type {
		c.MsgType = event.CapMsgSticker
	}
	fill(msg, &c)
	if thread {
		msg.Text = "(thread) " + msg.Text
	}
	return msg.Text != "" || msg.File != nil
}

// fill sets kind, text, style and file from a message's content.
func fill(msg *im.Message, c *event.MessageEventContent) {
	switch c.MsgType {
	case event.MsgText, event.MsgEmote, event.MsgNotice, "":
		msg.Text = c.Body
		if c.Format == event.FormatHTML && c.FormattedBody != "" {
			if text, style := fromHTML(c.FormattedBody); text != "" {
				msg.Text, msg.Style = text, style
			}
		}
		switch c.MsgType {
		case event.MsgEmote:
			msg.Kind = im.Emote
		case event.MsgNotice:
			msg.Kind = im.Notice
		}
	case event.MsgLocation:
		msg.Text = strings.TrimSpace(c.Body + " " + c.GeoURI)
	case event.MsgVerificationRequest:
		msg.Kind, msg.Text = im.Notice, textVerify
	case event.MsgImage, event.MsgFile, event.MsgVideo, event.MsgAudio, event.CapMsgSticker:
		fillFile(msg, c)
	default:
		if msg.Text = c.Body; msg.Text == "" {
			msg.Kind, msg.Text = im.Notice, textUnknown
		}
	}
	msg.Text = im.Plain(msg.Text)
}

// fillFile sets the file and, as text, what was written with it; of a file that
// nobody can open, that there was one.
func fillFile(msg *im.Message, c *event.MessageEventContent) {
	name := im.Plain(c.GetFileName())
	msg.Text = c.GetCaption()
	ref := refOf(c)
	if ref == "" {
		what := map[event.MessageType]string{
			event.MsgImage: "picture", event.MsgVideo: "video", event.MsgAudio: "sound", event.CapMsgSticker: "sticker",
		}[c.MsgType]
		msg.Text = strings.TrimSpace("[" + strings.TrimSpace(cmp.Or(what, "file")+" "+name) + "] " + msg.Text)
		return
	}
	f := im.File{Ref: ref, Name: name}
	if c.Info != nil {
		f.Type, f.Size = c.Info.MimeType, int64(max(c.Info.Size, 0))
		f.W, f.H = max(c.Info.Width, 0), max(c.Info.Height, 0)
	}
	f.Type = cmp.Or(f.Type, map[event.MessageType]string{
		event.MsgImage: "image/*", event.MsgVideo: "video/*", event.MsgAudio: "audio/*", event.CapMsgSticker: "image/*",
	}[c.MsgType])
	msg.File = &f
}

// content is what an outgoing message says in Matrix terms. The type is one
// that SendMessageEvent takes; retractions are not sent so.
func content(m im.Message, to id.EventID, origin string) (event.Type, any) {
	x := extra{Origin: origin}
	switch m.Rel.Kind {
	case im.Vote:
		return vote(m.Poll, to, x)
	case im.React:
		return event.EventReaction, struct {
			event.ReactionEventContent
			extra
		}{event.ReactionEventContent{RelatesTo: event.RelatesTo{Type: event.RelAnnotation, EventID: to, Key: im.Plain(m.Text)}}, x}
	}
	c := event.MessageEventContent{MsgType: event.MsgText, Body: im.Plain(m.Text)}
	switch m.Kind {
	case im.Emote:
		c.MsgType = event.MsgEmote
	case im.Notice:
		c.MsgType = event.MsgNotice
	case im.Nudge:
		c.MsgType, c.Body, x.Nudge = event.MsgEmote, "sent you a nudge", true
	}
	if html := toHTML(c.Body, m.Style); html != "" && m.Kind != im.Nudge {
		c.Format, c.FormattedBody = event.FormatHTML, html
	}
	if f := m.File; f != nil {
		c.MsgType, c.FileName = mediaType(f.Type), im.OneLine(f.Name)
		if isSealed(f.Ref) {
			sealed, _ := decode[event.EncryptedFileInfo](json.RawMessage(f.Ref))
			c.File = &sealed
		} else {
			c.URL = id.ContentURIString(f.Ref)
		}
		c.Body = cmp.Or(c.Body, c.FileName)
		c.Info = &event.FileInfo{MimeType: f.Type, Size: int(f.Size), Width: f.W, Height: f.H}
	}
	switch m.Rel.Kind {
	case im.Edit:
		c.SetEdit(to)
	case im.Reply:
		c.RelatesTo = (&event.RelatesTo{}).SetReplyTo(to)
	}
	return event.EventMessage, struct {
		event.MessageEventContent
		extra
	}{c, x}
}

// mediaType is the message type for a MIME type.
func mediaType(mime string) event.MessageType {
	kind, _, _ := strings.Cut(mime, "/")
	switch kind {
	case "image":
		return event.MsgImage
	case "audio":
		return event.MsgAudio
	case "video":
		return event.MsgVideo
	}
	return event.MsgFile
}
