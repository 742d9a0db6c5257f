package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nudge/cmd/nudge/e2e/msnclient"
)

// proved holds a table of testdata to the tests: each of its rows has a verdict in every
// column between the first and the last; one that claims something names, in the last,
// a check or a test with its step, another the reason. Each check has a row.
func proved[C any](t *testing.T, table string, columns int, checks map[string]C) {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	check(t, err)
	var sources strings.Builder
	for _, file := range files {
		b, err := os.ReadFile(file)
		check(t, err)
		sources.Write(b)
	}
	text, err := os.ReadFile(filepath.Join("testdata", table))
	check(t, err)
	used := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "|")
		if len(f) != columns {
			t.Fatalf("not %d columns: %s", columns, line)
		}
		row, proof := strings.TrimSpace(f[0]), strings.TrimSpace(f[columns-1])
		for _, verdict := range f[1 : columns-1] {
			switch verdict = strings.TrimSpace(verdict); verdict {
			case "works", "text":
				used[proof] = true
				test, step, _ := strings.Cut(proof, "/")
				other := strings.Contains(sources.String(), "func "+test+"(") && (step == "" || strings.Contains(sources.String(), `"`+step+`"`))
				if _, checked := checks[proof]; !checked && !other {
					t.Errorf("%s: there is no test %q", row, proof)
				}
			case "lacking", "none":
				if len(proof) < 10 {
					t.Errorf("%s: %s without a reason", row, verdict)
				}
			default:
				t.Errorf("%s has the verdict %q", row, verdict)
			}
		}
	}
	for name := range checks {
		if !used[name] {
			t.Errorf("the check %q is in no row", name)
		}
	}
}

// TestMappingTable holds the table of what becomes of each row of XMPP, on Prosody
// and on ejabberd, to the tests.
func TestMappingTable(t *testing.T) { proved(t, "xmpp.txt", 4, mappingChecks) }

// TestMapping runs the checks that testdata/xmpp.txt names. They share a scene, with a
// room in it, and may come in any order.
func TestMapping(t *testing.T) {
	each(t, []string{"prosody", "ejabberd"}, func(t *testing.T, v msnclient.Version, kind string) {
		sc := newRoomScene(t, v, sharedServer(t, kind))
		sc.again(t, "NLN")
		for _, name := range slices.Sorted(maps.Keys(mappingChecks)) {
			t.Run(name, func(t *testing.T) { mappingChecks[name](sc, t) })
		}
	})
}

// raw lets bob send a stanza; $ME is the account, $BOB he, $ROOM the room.
func (sc *roomScene) raw(t *testing.T, xml string) {
	t.Helper()
	sc.bob.do(t, op{"op": "raw", "xml": sc.fill(xml)})
}

func (sc *roomScene) fill(s string) string {
	return strings.NewReplacer("$ME", sc.me.ID, "$BOB", sc.bob.me.ID, "$ROOM", sc.room.ID, "$USER", sc.me.User).Replace(s)
}

// shows lets bob send a stanza and waits for the client to show words of his.
func (sc *roomScene) shows(xml, words string) func(*roomScene, *testing.T) {
	return func(sc *roomScene, t *testing.T) {
		from := sc.client.Log.Len()
		sc.raw(t, xml)
		text, err := sc.hears(waiting(t, patience), from, sc.bob.me, words)
		check(t, err)
		if strings.HasPrefix(words, "=") && text != words[1:] {
			t.Errorf("the client shows %q", text)
		}
	}
}

// gets waits until bob gets something from the account in which all parts are.
func (sc *roomScene) gets(ctx context.Context, from int, parts ...string) error {
	_, err := sc.bob.find(ctx, from, func(e peerEvent) bool {
		return e.Frm == sc.me.ID && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(e.XML, sc.fill(p)) })
	})
	if err != nil {
		err = fmt.Errorf("bob gets nothing with %q: %w", parts, err)
	}
	return err
}

// words is a check for which bob sends a stanza and the client shows something.
func words(xml, shown string) func(*roomScene, *testing.T) {
	return (*roomScene)(nil).shows(xml, shown)
}

var mappingChecks = map[string]func(*roomScene, *testing.T){
	"text in":        words("<message type='chat' to='$ME' id='w1'><body>plain words</body></message>", "plain words"),
	"styling":        words("<message type='chat' to='$ME' id='w2'><body>*bold* _words_</body></message>", "*bold* _words_"),
	"emote":          words("<message type='chat' to='$ME' id='w3'><body>/me waves</body></message>", " waves"),
	"link":           words("<message type='chat' to='$ME' id='w4'><x xmlns='jabber:x:oob'><url>https://example.org/cat.jpg</url><desc>a cat</desc></x></message>", "sent a picture: cat.jpg"),
	"correction":     words("<message type='chat' to='$ME' id='w5'><body>soap</body><replace xmlns='urn:xmpp:message-correct:0' id='w1'/></message>", "corrected: soap"),
	"retraction":     words("<message type='chat' to='$ME' id='w6'><retract xmlns='urn:xmpp:message-retract:1' id='w1'/><store xmlns='urn:xmpp:hints'/></message>", "deleted"),
	"old retraction": words("<message type='chat' to='$ME' id='w7'><apply-to xmlns='urn:xmpp:fasten:0' id='w2'><retract xmlns='urn:xmpp:message-retract:0'/></apply-to><store xmlns='urn:xmpp:hints'/></message>", "deleted"),
	"reaction":       words("<message type='chat' to='$ME' id='w8'><reactions xmlns='urn:xmpp:reactions:0' id='w1'><reaction>yes</reaction></reactions><store xmlns='urn:xmpp:hints'/></message>", "reacted yes"),
	"reply": words("<message type='chat' to='$ME' id='w9'><body>&gt; soup?\nno thanks</body><reply xmlns='urn:xmpp:reply:0' to='$ME' id='x1'/>"+
		"<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='8'/></fallback></message>", "no thanks"),
	"omemo":     words("<message type='chat' to='$ME' id='w10'><body>I sent you an OMEMO message</body><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/><payload>AA==</payload></encrypted></message>", "(a message with OMEMO encryption"),
	"encrypted": words("<message type='chat' to='$ME' id='w11'><body>?OTR</body><encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:otr:0' name='OTR'/></message>", "(a message with OTR encryption"),

	"status out": func(sc *roomScene, t *testing.T) {
		for _, s := range [][2]string{{"BSY", "dnd"}, {"BRB", "away"}, {"PHN", "dnd"}, {"LUN", "xa"}, {"AWY", "away"}, {"NLN", "online"}} {
			mark := sc.bob.Mark()
			check(t, sc.client.SetStatus(t.Context(), s[0]))
			check(t, sc.bob.Sees(waiting(t, patience), mark, s[1]))
		}
	},
	"idle out": func(sc *roomScene, t *testing.T) {
		mark := sc.bob.Mark()
		check(t, sc.client.SetStatus(t.Context(), "IDL"))
		check(t, sc.gets(waiting(t, patience), mark, "away", "urn:xmpp:idle:1", "since="))
		check(t, sc.client.SetStatus(t.Context(), "NLN"))
	},
	"exact status": func(sc *roomScene, t *testing.T) {
		mark := sc.bob.Mark()
		check(t, sc.client.SetStatus(t.Context(), "PHN"))
		check(t, sc.gets(waiting(t, patience), mark, "urn:nudge:msn-presence:0", `status="PHN"`))
		check(t, sc.client.SetStatus(t.Context(), "NLN"))
	},
	"capabilities": func(sc *roomScene, t *testing.T) {
		mark := sc.bob.Mark()
		check(t, sc.client.SetStatus(t.Context(), "BSY"))
		check(t, sc.gets(waiting(t, patience), mark, "http://jabber.org/protocol/caps", "ver="))
		check(t, sc.client.SetStatus(t.Context(), "NLN"))
	},
	"status in": func(sc *roomScene, t *testing.T) {
		for _, s := range [][2]string{{"away", "AWY"}, {"dnd", "BSY"}, {"xa", "AWY"}, {"online", "NLN"}} {
			from := sc.client.Log.Len()
			sc.bob.Show(t, s[0])
			check(t, sc.sees(waiting(t, patience), from, sc.bob.me, s[1]))
		}
	},
	"idle in": func(sc *roomScene, t *testing.T) {
		from := sc.client.Log.Len()
		sc.raw(t, "<presence><show>away</show><idle xmlns='urn:xmpp:idle:1' since='2026-01-01T00:00:00Z'/></presence>")
		check(t, sc.sees(waiting(t, patience), from, sc.bob.me, "IDL"))
		from = sc.client.Log.Len()
		sc.bob.Show(t, "online")
		check(t, sc.sees(waiting(t, patience), from, sc.bob.me, "NLN"))
	},
	"resources": func(sc *roomScene, t *testing.T) {
		sc.raw(t, "<presence><show>dnd</show><priority>5</priority></presence>")
		check(t, sc.sees(waiting(t, patience), 0, sc.bob.me, "BSY"))
		other := joinXMPP(t, sc.bob.me, "--quiet") // it shows nothing by itself
		from := sc.client.Log.Len()
		other.do(t, op{"op": "raw", "xml": "<presence><show>away</show><priority>7</priority></presence>"})
		check(t, sc.sees(waiting(t, patience), from, sc.bob.me, "AWY"))
		from = sc.client.Log.Len()
		other.in.Close()
		<-other.proc.done
		check(t, sc.sees(waiting(t, patience), from, sc.bob.me, "BSY"))
		sc.bob.Show(t, "online")
	},
	"note out": func(sc *roomScene, t *testing.T) {
		if !sc.version.Note() {
			return // the old clients have none
		}
		mark := sc.bob.Mark()
		check(t, sc.client.SetNote(t.Context(), "gone fishing", ""))
		check(t, sc.gets(waiting(t, patience), mark, "gone fishing"))
	},
	"note in": func(sc *roomScene, t *testing.T) {
		if !sc.version.Note() {
			return
		}
		from := sc.client.Log.Len()
		sc.raw(t, "<presence><status>baking bread</status></presence>")
		_, err := sc.client.Log.Wait(waiting(t, patience), from, func(e msnclient.Event) bool {
			who, note, _, ok := e.Note()
			return ok && is(who, sc.bob.me) && note == "baking bread"
		})
		check(t, err)
		sc.bob.Show(t, "online")
	},
	"tune in":        (*roomScene).tuneIn,
	"tune out":       (*roomScene).tuneOut,
	"nick published": (*roomScene).nickPublished,
	"nick out":       (*roomScene).nickOut,
	"nick in": func(sc *roomScene, t *testing.T) {
		from := sc.client.Log.Len()
		sc.raw(t, "<presence><show>dnd</show><nick xmlns='http://jabber.org/protocol/nick'>Bobby</nick></presence>")
		_, err := sc.client.Log.Wait(waiting(t, patience), from, func(e msnclient.Event) bool {
			who, state, name := e.Presence()
			return is(who, sc.bob.me) && state == "BSY" && name == "Bobby"
		})
		check(t, err)
		sc.bob.Show(t, "online")
	},
	"groups in": func(sc *roomScene, t *testing.T) {
		other := joinXMPP(t, sc.me)
		from := sc.client.Log.Len()
		other.do(t, op{"op": "raw", "xml": sc.fill("<iq type='set' id='gr'><query xmlns='jabber:iq:roster'><item jid='$BOB'><group>Family</group></item></query></iq>")})
		other.in.Close()
		<-other.proc.done
		if !sc.version.Groups() {
			return // one list; nothing may break
		}
		check(t, eventually(patience, func() error {
			sc.again(t, "NLN")
			for _, g := range sc.lists.Groups {
				if g == "Family" {
					return nil
				}
			}
			return fmt.Errorf("the groups are %v since %d", sc.lists.Groups, from)
		}))
	},
	"block elsewhere": func(sc *roomScene, t *testing.T) {
		other := joinXMPP(t, sc.me)
		defer func() { other.in.Close(); <-other.proc.done }()
		from := sc.client.Log.Len()
		other.do(t, op{"op": "raw", "xml": sc.fill("<iq type='set' id='b1'><block xmlns='urn:xmpp:blocking'><item jid='$BOB'/></block></iq>")})
		check(t, sc.moved(waiting(t, patience), from, "ADD ADC", "BL", sc.bob.me))
		check(t, sc.client.Remove(t.Context(), msnclient.BL, sc.bobHandle()))
		check(t, sc.client.Add(t.Context(), msnclient.AL, sc.bobHandle()))
	},
	"unblocked elsewhere": func(sc *roomScene, t *testing.T) {
		other := joinXMPP(t, sc.me)
		defer func() { other.in.Close(); <-other.proc.done }()
		ctx, from := waiting(t, 2*patience), sc.client.Log.Len()
		check(t, sc.client.Remove(ctx, msnclient.AL, sc.bobHandle()))
		check(t, sc.client.Add(ctx, msnclient.BL, sc.bobHandle()))
		check(t, eventually(patience, func() error { // the server has it
			if l := sc.box.linkState(t); l.Waiting > 0 {
				return fmt.Errorf("the block waits: %+v", l)
			}
			return nil
		}))
		other.do(t, op{"op": "raw", "xml": sc.fill("<iq type='set' id='u1'><unblock xmlns='urn:xmpp:blocking'><item jid='$BOB'/></unblock></iq>")})
		check(t, sc.moved(ctx, from, "REM", "BL", sc.bob.me))
		check(t, sc.moved(ctx, from, "ADD ADC", "AL", sc.bob.me))
		check(t, sc.bob.Say(ctx, "free to speak again"))
		_, err := sc.hears(ctx, from, sc.bob.me, "free to speak again")
		check(t, err)
	},
	"text out": func(sc *roomScene, t *testing.T) {
		mark := sc.bob.Mark()
		check(t, sc.chat(t).Send(t.Context(), "to be counted"))
		check(t, sc.gets(waiting(t, patience), mark, "to be counted", "origin-id", "urn:xmpp:receipts", `type="chat"`))
	},
	"device": func(sc *roomScene, t *testing.T) {
		from := sc.client.Log.Len()
		sc.raw(t, "<message type='chat' to='$ME' id='d1'><body>from this device</body></message>")
		_, err := sc.hears(waiting(t, patience), from, sc.bob.me, "from this device")
		check(t, err)
		mark := sc.bob.Mark()
		check(t, sc.chat(t).Send(t.Context(), "back to it"))
		check(t, sc.gets(waiting(t, patience), mark, "back to it", `to="$BOB/`))
	},
	"nobody": func(sc *roomScene, t *testing.T) {
		ctx := waiting(t, patience)
		ghost := person{Handle: fmt.Sprintf("nobody%d@%s", people.Add(1), sc.server.Domain)}
		from := sc.client.Log.Len()
		check(t, sc.client.Add(ctx, msnclient.FL, ghost.Handle))
		handle, err := sc.added(ctx, from, ghost)
		check(t, err)
		ch, err := sc.client.Invite(ctx, handle)
		check(t, err)
		ch.Send(ctx, "is anybody there")
		_, err = sc.hears(ctx, from, ghost, "not delivered")
		check(t, err)
		check(t, sc.client.Remove(ctx, msnclient.FL, handle))
	},
	"receipt": func(sc *roomScene, t *testing.T) {
		mark := sc.bob.Mark()
		sc.raw(t, "<message type='chat' to='$ME' id='rc1'><body>did it arrive</body><request xmlns='urn:xmpp:receipts'/></message>")
		_, err := sc.bob.find(waiting(t, patience), mark, func(e peerEvent) bool { return e.Ev == "receipt" && e.ID == "rc1" })
		check(t, err)
	},
	"marker": func(sc *roomScene, t *testing.T) {
		mark := sc.bob.Mark()
		sc.raw(t, "<message type='chat' to='$ME' id='mk1'><body>did you read it</body><markable xmlns='urn:xmpp:chat-markers:0'/></message>")
		check(t, sc.gets(waiting(t, patience), mark, "urn:xmpp:chat-markers:0", "mk1"))
	},
	"receipts off": (*roomScene).receiptsOff,
	"room history": (*roomScene).roomHistory,
	"subject": func(sc *roomScene, t *testing.T) {
		sc.join(t)
		if !sc.version.Note() {
			return
		}
		from := sc.client.Log.Len()
		sc.raw(t, "<message type='groupchat' to='$ROOM'><subject>bread and soup</subject></message>")
		_, err := sc.client.Log.Wait(waiting(t, patience), from, func(e msnclient.Event) bool {
			who, note, _, ok := e.Note()
			return ok && is(who, sc.room) && note == "bread and soup"
		})
		check(t, err)
	},
	"aside": func(sc *roomScene, t *testing.T) {
		sc.join(t)
		from := sc.client.Log.Len()
		sc.raw(t, "<message type='chat' to='$ROOM/$USER' id='as1'><body>between us</body><x xmlns='http://jabber.org/protocol/muc#user'/></message>")
		text, err := sc.hears(waiting(t, patience), from, sc.in(sc.bob.me), "between us")
		check(t, err)
		if !strings.Contains(text, "only to you") {
			t.Errorf("the client shows %q", text)
		}
	},
	"room nudge": func(sc *roomScene, t *testing.T) {
		ch := sc.join(t)
		if !sc.version.Nudges() {
			return
		}
		mark := sc.bob.Mark()
		check(t, ch.Nudge(t.Context()))
		check(t, sc.bob.hearsAll(waiting(t, patience), mark, sc.room, sc.me.User, "sends a nudge"))
	},
	"direct invitation": func(sc *roomScene, t *testing.T) {
		other := newRoom(t, sc.bob)
		from := sc.client.Log.Len()
		sc.raw(t, "<message to='$ME' id='di1'><x xmlns='jabber:x:conference' jid='"+other.ID+"' reason='tea'/></message>")
		check(t, sc.accept(waiting(t, patience), from, other))
		check(t, sc.sees(waiting(t, patience), from, other, "NLN"))
	},
	"bookmark elsewhere": func(sc *roomScene, t *testing.T) {
		other, room := joinXMPP(t, sc.me), newRoom(t, sc.bob)
		defer func() { other.in.Close(); <-other.proc.done }()
		from := sc.client.Log.Len()
		other.do(t, op{"op": "raw", "xml": "<iq type='set' id='bm'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:bookmarks:1'><item id='" + room.ID +
			"'><conference xmlns='urn:xmpp:bookmarks:1' autojoin='true' name='Pantry'/></item></publish></pubsub></iq>"})
		_, err := sc.added(waiting(t, patience), from, room)
		check(t, err)
		check(t, sc.sees(waiting(t, patience), from, room, "NLN"))
	},
	"correction out": (*roomScene).correctionOut,
	"retraction out": (*roomScene).retractionOut,
	"reaction out":   (*roomScene).reactionOut,
	"reply out":      (*roomScene).replyOut,
	"room about":     (*roomScene).roomAbout,
	"elsewhere": func(sc *roomScene, t *testing.T) {
		sc.chat(t)
		other := joinXMPP(t, sc.me)
		defer func() { other.in.Close(); <-other.proc.done }()
		from := sc.client.Log.Len()
		other.do(t, op{"op": "msg", "to": sc.bob.me.ID, "body": "from my telephone"})
		_, err := sc.client.Log.Wait(waiting(t, patience), from, func(e msnclient.Event) bool {
			text, ok := e.Text()
			return ok && text == "(me elsewhere) from my telephone"
		})
		check(t, err)
	},
}

// join puts the room onto the client's list and opens a window with it.
func (sc *roomScene) join(t *testing.T) *msnclient.Chat {
	t.Helper()
	ctx := waiting(t, patience)
	if ch := sc.window(); ch != nil {
		return ch
	}
	err := sc.client.Add(ctx, msnclient.FL, sc.room.Handle)
	if err != nil && msnclient.Code(err) != "215" {
		t.Fatal(err)
	}
	check(t, sc.sees(ctx, 0, sc.room, "NLN"))
	handle := sc.room.Handle
	if sc.version.MD5() && sc.handle(sc.room) == sc.room.Handle {
		handle = sc.room.alias()
	}
	ch, err := sc.client.Invite(ctx, handle)
	check(t, err)
	check(t, sc.arrives(ctx, 0, sc.in(sc.bob.me), "JOI", "IRO"))
	return ch
}

// moved waits until a client is told that somebody came onto a list or went off it.
func (sc *roomScene) moved(ctx context.Context, from int, cmds, list string, who person) error {
	_, err := sc.client.Log.Wait(ctx, from, func(e msnclient.Event) bool {
		return strings.Contains(cmds, e.Cmd) && slices.Contains(e.Args, list) &&
			slices.ContainsFunc(e.Args, func(a string) bool { return is(strings.TrimPrefix(a, "N="), who) })
	})
	return err
}
