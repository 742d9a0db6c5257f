package matrix

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"nudge/bridge/im"
)

// sealedFile is the description of an encrypted file.
const sealedFile = `{"key":{"k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","alg":"A256CTR","ext":true,"kty":"oct","key_ops":["encrypt","decrypt"]},` +
	`"iv":"AAECAwQFBgcAAAAAAAAAAA","hashes":{"sha256":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"},"v":"v2","url":"mxc://hs/3"}`

var bobsRoom = scene{me: "@alice:hs", conv: "@bob:hs", with: "@bob:hs", name: "Bob"}

func TestConvert(t *testing.T) {
	for name, c := range map[string]struct {
		event string
		want  im.Message // ID, Conv, From and At are the same in all
		skip  bool
	}{
		"text":    {event: `"type":"m.room.message","content":{"msgtype":"m.text","body":"hi\r\nyou\u0007"}`, want: im.Message{Text: "hi\nyou"}},
		"emote":   {event: `"type":"m.room.message","content":{"msgtype":"m.emote","body":"waves"}`, want: im.Message{Kind: im.Emote, Text: "waves"}},
		"notice":  {event: `"type":"m.room.message","content":{"msgtype":"m.notice","body":"beep"}`, want: im.Message{Kind: im.Notice, Text: "beep"}},
		"unknown": {event: `"type":"m.room.message","content":{"msgtype":"org.x","body":"fallback"}`, want: im.Message{Text: "fallback"}},
		"no words": {event: `"type":"m.room.message","content":{"msgtype":"org.x"}`,
			want: im.Message{Kind: im.Notice, Text: textUnknown}},
		"nudge": {event: `"type":"m.room.message","content":{"msgtype":"m.emote","body":"sent you a nudge","appliance.nudge":true}`,
			want: im.Message{Kind: im.Nudge}},
		"html": {event: `"type":"m.room.message","content":{"msgtype":"m.text","body":"x","format":"org.matrix.custom.html","formatted_body":"<b>bold</b>"}`,
			want: im.Message{Text: "bold", Style: im.Style{Effects: "B"}}},
		"reply": {event: `"type":"m.room.message","content":{"msgtype":"m.text","body":"> <@alice:hs> said\n\nyes","m.relates_to":{"m.in_reply_to":{"event_id":"$q"}}}`,
			want: im.Message{Text: "yes", Rel: im.Rel{Kind: im.Reply, To: "$q"}}},
		"thread": {event: `"type":"m.room.message","content":{"msgtype":"m.text","body":"deep","m.relates_to":{"rel_type":"m.thread","event_id":"$r","is_falling_back":true,"m.in_reply_to":{"event_id":"$q"}}}`,
			want: im.Message{Text: "(thread) deep"}},
		"edit": {event: `"type":"m.room.message","content":{"msgtype":"m.text","body":"* new","m.new_content":{"msgtype":"m.text","body":"new"},"m.relates_to":{"rel_type":"m.replace","event_id":"$o"}}`,
			want: im.Message{Text: "new", Rel: im.Rel{Kind: im.Edit, To: "$o"}}},
		"reaction": {event: `"type":"m.reaction","content":{"m.relates_to":{"rel_type":"m.annotation","event_id":"$o","key":"👍"}}`,
			want: im.Message{Text: "👍", Rel: im.Rel{Kind: im.React, To: "$o"}}},
		"redaction":     {event: `"type":"m.room.redaction","redacts":"$o","content":{}`, want: im.Message{Rel: im.Rel{Kind: im.Retract, To: "$o"}}},
		"redaction v11": {event: `"type":"m.room.redaction","content":{"redacts":"$o"}`, want: im.Message{Rel: im.Rel{Kind: im.Retract, To: "$o"}}},
		"picture": {event: `"type":"m.room.message","content":{"msgtype":"m.image","body":"look","filename":"a.png","url":"mxc://hs/1","info":{"mimetype":"image/png","size":7,"w":3,"h":2}}`,
			want: im.Message{Text: "look", File: &im.File{Ref: "mxc://hs/1", Name: "a.png", Type: "image/png", Size: 7, W: 3, H: 2}}},
		"file without place": {event: `"type":"m.room.message","content":{"msgtype":"m.file","body":"a.zip"}`, want: im.Message{Text: "[file a.zip]"}},
		"sticker": {event: `"type":"m.sticker","content":{"body":"cat","url":"mxc://hs/2"}`,
			want: im.Message{File: &im.File{Ref: "mxc://hs/2", Name: "cat", Type: "image/*"}}},
		"encrypted picture": {event: `"type":"m.room.message","content":{"msgtype":"m.image","body":"a.png","file":` + sealedFile + `,"info":{"size":7}}`,
			want: im.Message{File: &im.File{Ref: sealedFile, Name: "a.png", Type: "image/*", Size: 7}}},
		"encrypted in another way": {event: `"type":"m.room.message","content":{"msgtype":"m.audio","body":"a.ogg","file":` + strings.Replace(sealedFile, "A256CTR", "A256CBC", 1) + `}`,
			want: im.Message{Text: "[sound a.ogg]"}},
		"encrypted without a key": {event: `"type":"m.room.message","content":{"msgtype":"m.file","body":"a.zip","file":{"url":"mxc://hs/3"}}`,
			want: im.Message{Text: "[file a.zip]"}},
		"location": {event: `"type":"m.room.message","content":{"msgtype":"m.location","body":"Here","geo_uri":"geo:1,2"}`, want: im.Message{Text: "Here geo:1,2"}},
		"encrypted": {event: `"type":"m.room.encrypted","content":{"algorithm":"m.megolm.v1.aes-sha2"}`,
			want: im.Message{Kind: im.Notice, Text: textEncrypted}},
		"poll": {event: `"type":"org.matrix.msc3381.poll.start","content":{"org.matrix.msc3381.poll.start":{"question":{"org.matrix.msc1767.text":"When?"},"answers":[{"id":"n","org.matrix.msc1767.text":"Now"},{"id":"t","org.matrix.msc1767.text":"Then"}]}}`,
			want: im.Message{Kind: im.Notice, Text: "asks: When?\n1. Now\n2. Then\n(to vote, write /vote and the number, as in: /vote 2)",
				Poll: []im.Choice{{ID: "org.matrix.msc3381.poll/n", Text: "Now"}, {ID: "org.matrix.msc3381.poll/t", Text: "Then"}}}},
		"poll, stable": {event: `"type":"m.poll.start","content":{"m.poll":{"question":{"m.text":[{"body":"When?"}]},"answers":[{"m.id":"n/1","m.text":[{"body":"Now\nor never"}]}]}}`,
			want: im.Message{Kind: im.Notice, Text: "asks: When?\n1. Now or never\n(to vote, write /vote and the number, as in: /vote 1)",
				Poll: []im.Choice{{ID: "m.poll/n/1", Text: "Now or never"}}}},
		"poll without ids": {event: `"type":"m.poll.start","content":{"m.poll":{"question":{"m.text":[{"body":"When?"}]},"answers":[{"m.text":[{"body":"Now"}]}]}}`,
			want: im.Message{Kind: im.Notice, Text: "asks: When?\n1. Now\n(vote in another Matrix app)"}},
		"call":          {event: `"type":"m.call.invite","content":{}`, want: im.Message{Kind: im.Notice, Text: textCall}},
		"state":         {event: `"type":"m.room.message","state_key":"","content":{"msgtype":"m.text","body":"x"}`, skip: true},
		"redacted":      {event: `"type":"m.room.message","content":{}`, skip: true},
		"redacted here": {event: `"type":"m.room.message","content":{"msgtype":"m.text","body":"x"},"unsigned":{"redacted_because":{"type":"m.room.redaction"}}`, skip: true},
		"other type":    {event: `"type":"org.x","content":{"body":"x"}`, skip: true},
	} {
		t.Run(name, func(t *testing.T) {
			e, ok := decode[evt]([]byte(`{"event_id":"$e","sender":"@bob:hs","origin_server_ts":1000,` + c.event + `}`))
			if !ok {
				t.Fatal("the test's event is not JSON")
			}
			got, ok := convert(&e, bobsRoom)
			if ok == c.skip {
				t.Fatalf("convert says %v: %+v", ok, got)
			}
			if c.skip {
				return
			}
			c.want.ID, c.want.Conv, c.want.From, c.want.At = "$e", "@bob:hs", im.Addr{Net: Name, ID: "@bob:hs"}, time.UnixMilli(1000)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestConvertNames(t *testing.T) {
	e := evt{Type: "m.room.message", ID: "$e", Sender: "@carol:hs", Content: json.RawMessage(`{"msgtype":"m.text","body":"x"}`)}
	m, _ := convert(&e, scene{me: "@alice:hs", conv: "!r:hs"})
	if m.Name != "carol" || m.Own {
		t.Errorf("stranger in a room: %+v, want the local part as name", m)
	}
	m, _ = convert(&e, scene{me: "@carol:hs", conv: "!r:hs", name: "Carol"})
	if m.Name != "" || !m.Own {
		t.Errorf("own message: %+v", m)
	}
}

func TestContent(t *testing.T) {
	for name, c := range map[string]struct {
		m    im.Message
		want string
	}{
		"text":   {im.Message{Text: "hi"}, `{"msgtype":"m.text","body":"hi","appliance.origin":"box/1"}`},
		"styled": {im.Message{Text: "a<b", Style: im.Style{Effects: "BI", Color: "ff0000"}}, `{"msgtype":"m.text","body":"a<b","format":"org.matrix.custom.html","formatted_body":"<span data-mx-color=\"#FF0000\"><strong><em>a&lt;b</em></strong></span>","appliance.origin":"box/1"}`},
		"black":  {im.Message{Text: "hi", Style: im.Style{Color: "000000"}}, `{"msgtype":"m.text","body":"hi","appliance.origin":"box/1"}`},
		"nudge":  {im.Message{Kind: im.Nudge}, `{"msgtype":"m.emote","body":"sent you a nudge","appliance.nudge":true,"appliance.origin":"box/1"}`},
		"emote":  {im.Message{Kind: im.Emote, Text: "waves"}, `{"msgtype":"m.emote","body":"waves","appliance.origin":"box/1"}`},
		"reply":  {im.Message{Text: "yes", Rel: im.Rel{Kind: im.Reply}}, `{"msgtype":"m.text","body":"yes","m.relates_to":{"m.in_reply_to":{"event_id":"$o"}},"appliance.origin":"box/1"}`},
		"edit":   {im.Message{Text: "new", Rel: im.Rel{Kind: im.Edit}}, `{"msgtype":"m.text","body":"* new","m.mentions":{},"m.new_content":{"msgtype":"m.text","body":"new"},"m.relates_to":{"rel_type":"m.replace","event_id":"$o"},"appliance.origin":"box/1"}`},
		"react":  {im.Message{Text: "👍", Rel: im.Rel{Kind: im.React}}, `{"m.relates_to":{"rel_type":"m.annotation","event_id":"$o","key":"👍"},"appliance.origin":"box/1"}`},
		"vote": {im.Message{Text: "Now", Rel: im.Rel{Kind: im.Vote}, Poll: []im.Choice{{ID: "org.matrix.msc3381.poll/n"}}},
			`{"m.relates_to":{"rel_type":"m.reference","event_id":"$o"},"org.matrix.msc3381.poll.response":{"answers":["n"]},"appliance.origin":"box/1"}`},
		"vote, stable": {im.Message{Text: "Now", Rel: im.Rel{Kind: im.Vote}, Poll: []im.Choice{{ID: "m.poll/n/1"}}},
			`{"m.relates_to":{"rel_type":"m.reference","event_id":"$o"},"m.selections":["n/1"],"appliance.origin":"box/1"}`},
		"file": {im.Message{File: &im.File{Ref: "mxc://hs/1", Name: "a.png", Type: "image/png", Size: 5}}, `{"msgtype":"m.image","body":"a.png","url":"mxc://hs/1","info":{"mimetype":"image/png","size":5},"filename":"a.png","appliance.origin":"box/1"}`},
	} {
		_, v := content(c.m, "$o", "box/1")
		b, err := json.Marshal(v)
		var got, want any
		json.Unmarshal(b, &got)
		json.Unmarshal([]byte(c.want), &want)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s (%v)\nwant %s", name, b, err, c.want)
		}
	}
}

func TestFromHTML(t *testing.T) {
	for in, want := range map[string]struct {
		text  string
		style im.Style
	}{
		"plain":                                                {"plain", im.Style{}},
		"a<br>b<br/>c":                                         {"a\nb\nc", im.Style{}},
		"<p>one</p><p>two</p>":                                 {"one\ntwo", im.Style{}},
		"<b>all <i>bold</i></b>":                               {"all bold", im.Style{Effects: "B"}},
		"<strong><u>x</u></strong>":                            {"x", im.Style{Effects: "BU"}},
		"<b>some</b> bold":                                     {"some bold", im.Style{}},
		"plain <b>bold</b>":                                    {"plain bold", im.Style{}},
		`<font color="#ff00aa">red</font>`:                     {"red", im.Style{Color: "FF00AA"}},
		`<span data-mx-color="#00ff00">g</span> x`:             {"g x", im.Style{}},
		"<ul><li>a</li><li><p>b</p></li></ul>":                 {"- a\n- b", im.Style{}},
		"x<ol><li>a</li><li>b</li></ol>y":                      {"x\n1. a\n2. b\ny", im.Style{}},
		"<blockquote>q<br>r</blockquote>a":                     {"> q\n> r\na", im.Style{}},
		"<mx-reply><blockquote>old</blockquote></mx-reply>new": {"new", im.Style{}},
		`<a href="https://x.org/">here</a>`:                    {"here (https://x.org/)", im.Style{}},
		`<a href="https://x.org/">x.org/</a>`:                  {"x.org/", im.Style{}},
		`<a href="https://matrix.to/#/@b:hs">Bob</a>: hi`:      {"Bob: hi", im.Style{}},
		`<img alt=":)" src="mxc://x/y">`:                       {":)", im.Style{}},
		"a &amp; b &lt;c&gt;":                                  {"a & b <c>", im.Style{}},
		"  much \n  space  ":                                   {"much space", im.Style{}},
		"<pre><code>a  b\n c</code></pre>":                     {"a  b\n c", im.Style{}},
		"<del>gone</del>":                                      {"gone", im.Style{Effects: "S"}},
		"</b></p></a>odd":                                      {"odd", im.Style{}},
		"":                                                     {"", im.Style{}},
	} {
		text, style := fromHTML(in)
		if text != want.text || style != want.style {
			t.Errorf("%s\n got %q %+v\nwant %q %+v", in, text, style, want.text, want.style)
		}
	}
}

func TestPresenceWords(t *testing.T) {
	for _, p := range []im.Presence{
		{Status: im.Online}, {Status: im.Online, Note: "here"}, {Status: im.Online, Media: "Abba – Waterloo"},
		{Status: im.Online, Note: "here", Media: "Abba – Waterloo"}, {Status: im.Away, Note: "gone"}, {Status: im.Busy},
		{Status: im.Phone, Note: "long one"}, {Status: im.Lunch, Note: "soup", Media: "x"}, {Status: im.BeRightBack},
	} {
		state, note := presenceOut(p)
		got := presenceIn(presenceContent{Presence: state, Note: note, Active: true})
		got.Later = false
		if got != p {
			t.Errorf("%+v became %s %q and came back as %+v", p, state, note, got)
		}
	}
	for _, s := range []im.Status{im.Offline, im.Hidden} {
		if state, note := presenceOut(im.Presence{Status: s, Note: "secret"}); state != "offline" || note != "" {
			t.Errorf("status %d shows as %s %q", s, state, note)
		}
	}
}

func FuzzFromHTML(f *testing.F) {
	for _, s := range []string{"<b>x</b>", "<ul><li>a", "<mx-reply>", "<a href=x><a>", "<font color=#123456>x", "</li></ol>", "<pre>\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, st := fromHTML(s)
		if len(text) > 20*len(s)+20 {
			t.Errorf("%d bytes became %d", len(s), len(text))
		}
		if strings.Trim(st.Effects, effects) != "" || st.Color != "" && len(st.Color) != 6 {
			t.Errorf("style %+v", st)
		}
	})
}

func FuzzConvert(f *testing.F) {
	f.Add(`{"type":"m.room.message","content":{"msgtype":"m.text","body":"x"}}`)
	f.Add(`{"type":"m.room.message","content":{"msgtype":"m.image","url":"mxc://a/b","info":{"size":-1}}}`)
	f.Add(`{"type":"m.room.message","content":{"msgtype":"m.image","body":"a","file":` + sealedFile + `}}`)
	f.Add(`{"type":"m.sticker","content":{"body":"x","m.relates_to":{"rel_type":"m.replace","event_id":"$a"}}}`)
	f.Add(`{"type":"m.poll.start","content":{"m.poll":{"question":{"m.text":[{"body":"q"}]}}}}`)
	f.Fuzz(func(t *testing.T, s string) {
		e, ok := decode[evt](json.RawMessage(s))
		if !ok {
			return
		}
		m, ok := convert(&e, bobsRoom)
		if ok && m.File != nil && m.File.Ref == "" {
			t.Errorf("a file that can't be opened: %+v", m.File)
		}
		if ok && (!utf8.ValidString(m.Text) || !utf8.ValidString(m.Name)) {
			t.Errorf("not UTF-8: %+v", m)
		}
	})
}

// FuzzContent: whatever is said on this side goes out as JSON that reads as the
// same, without what servers refuse or show as something else.
func FuzzContent(f *testing.F) {
	f.Add("hi", uint8(0), uint8(0))
	f.Add("\x00\x1b\xff<&\ufffe\r\n\u202e", uint8(1), uint8(2))
	f.Add("\xed\xa0\x80\u2028</script>", uint8(2), uint8(4))
	f.Fuzz(func(t *testing.T, text string, kind, rel uint8) {
		_, v := content(im.Message{
			Text: text, Kind: im.Kind(kind % 4), Rel: im.Rel{Kind: im.RelKind(rel % 7)}, Poll: []im.Choice{{ID: text}},
			Style: im.Style{Font: text, Effects: text, Color: text}, File: &im.File{Ref: "mxc://hs/1", Name: text, Type: text},
		}, "$o", "box/1")
		b, err := json.Marshal(v)
		var back struct {
			Body      string `json:"body"`
			Formatted string `json:"formatted_body"`
			File      string `json:"filename"`
		}
		if err == nil {
			err = json.Unmarshal(b, &back)
		}
		for _, s := range []string{back.Body, back.Formatted, back.File} {
			if err != nil || !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\x1b\r\ufffe") {
				t.Fatalf("%q went out as %s, %v", text, b, err)
			}
		}
		if _, note := presenceOut(im.Presence{Status: im.Online, Note: text}); note != im.OneLine(note) {
			t.Fatalf("%q went out as the note %q", text, note)
		}
	})
}

func FuzzPresence(f *testing.F) {
	f.Add("unavailable", "Busy · x", int64(1))
	f.Add("online", "♫ a", int64(1<<40))
	f.Fuzz(func(t *testing.T, state, note string, ago int64) {
		c, _ := decode[presenceContent](json.RawMessage(`{}`))
		c.Presence, c.Note, c.LastActive = "unavailable", note, &ago
		if p := presenceIn(c); p.Status == im.Hidden {
			t.Errorf("%+v", p)
		}
	})
}

func FuzzSync(f *testing.F) {
	f.Add(`{"next_batch":"s1","rooms":{"join":{"!r:hs":{"summary":{"m.joined_member_count":2},"state":{"events":[{"type":"m.room.member","state_key":"@b:hs","sender":"@b:hs","content":{"membership":"join"}}]},"timeline":{"events":[{"type":"m.room.message","sender":"@b:hs","content":{"body":"x"}}]},"ephemeral":{"events":[{"type":"m.typing","content":{"user_ids":["@b:hs"]}},{"type":"m.receipt","content":{"$e":{"m.read":{"@b:hs":{"ts":1}}}}}]}}},"invite":{"!i:hs":{"invite_state":{"events":[{"type":"m.room.member","state_key":"@alice:hs","sender":"@b:hs","content":{"membership":"invite","is_direct":true}}]}}}},"account_data":{"events":[{"type":"m.direct","content":{"@b:hs":["!r:hs"],"x":1}}]},"presence":{"events":[{"type":"m.presence","sender":"@b:hs","content":{"presence":"online"}}]}}`)
	f.Fuzz(func(t *testing.T, s string) {
		resp, ok := decode[syncResponse](json.RawMessage(s))
		if !ok {
			return
		}
		host := newTestHost(t)
		mem, err := loadMemory(host, "@alice:hs")
		if err != nil {
			t.Fatal(err)
		}
		mem.accountData(resp.AccountData.Events)
		mem.tell(resp.Presence.Events)
		for r, inv := range resp.Rooms.Invite {
			mem.invited(r, inv.State.Events)
		}
		for r, j := range resp.Rooms.Join {
			for i := range j.State.Events {
				mem.change(r, &j.State.Events[i])
			}
			mem.enter(r, &j)
			for _, e := range j.Timeline.Events {
				mem.spoke(r, e.Sender, e.At)
			}
		}
		mem.complete()
		if err := mem.save(t.Context(), host); err != nil {
			t.Fatal(err)
		}
		if _, err := loadMemory(host, "@alice:hs"); err != nil {
			t.Errorf("what was saved can't be loaded: %v", err)
		}
		mem.list(time.Now(), time.Minute)
	})
}

func TestTrail(t *testing.T) {
	var tr trail
	at := time.Unix(1000, 0)
	for _, c := range []struct {
		after time.Duration
		since string
		want  string
	}{{0, "a", "a"}, {time.Second, "b", "a"}, {10 * time.Second, "c", "a"}, {25 * time.Second, "d", "b"}, {31 * time.Second, "e", "c"}, {time.Hour, "f", "e"}} {
		if got := tr.behind(c.since, at.Add(c.after)); got != c.want {
			t.Errorf("after %v the mark is %q, want %q", c.after, got, c.want)
		}
	}
}
