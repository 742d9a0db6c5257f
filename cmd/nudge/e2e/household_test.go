package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nudge/cmd/nudge/e2e/msnclient"
)

// A large household: so many accounts with so many contacts and rooms each.
const (
	members       = 20
	acquaintances = 200
	clubs         = 20
)

// BenchmarkHousehold says what a large household costs a box whose links are up and
// where nothing happens: memory, with what it was before the links and what it was at
// most, processor time, and bytes written in a minute. Making the household takes
// minutes, most of them Dendrite's.
func BenchmarkHousehold(b *testing.B) {
	for _, kinds := range [][]string{{"prosody"}, {"dendrite"}, {"prosody", "dendrite"}} {
		b.Run(strings.Join(kinds, " and "), func(b *testing.B) {
			box := newBox(b)
			for i := range members {
				box.AddUser(b, resident(i), msnclient.MSNP8)
			}
			box.rest(b) // it makes its certificate first
			base, first := box.must(b, "status", "VmRSS"), map[string]int64{}
			for _, kind := range kinds {
				s := ownServer(b, kind, true)
				for i, p := range household(b, s) {
					box.settle(b, resident(i), p)
					if i == 0 {
						first[kind] = box.must(b, "status", "VmHWM") - base
					}
				}
			}
			for b.Loop() {
				box.rest(b)
				cpu, written := box.cpu(b), box.must(b, "io", "write_bytes")
				time.Sleep(time.Minute)
				b.ReportMetric(100*(box.cpu(b)-cpu).Minutes(), "%cpu")
				b.ReportMetric(float64(box.must(b, "io", "write_bytes")-written), "bytes-written")
			}
			for kind, kb := range first { // what the first sync of one account took beyond that
				b.ReportMetric(float64(kb)/1024, "MB-first-"+kind)
			}
			b.ReportMetric(float64(base)/1024, "MB-before")
			b.ReportMetric(float64(box.must(b, "status", "VmRSS"))/1024, "MB")
			b.ReportMetric(float64(box.must(b, "status", "VmHWM"))/1024, "MB-most")
		})
	}
}

func resident(i int) string { return fmt.Sprintf("member%d@nudge.test", i) }

// must is number for what must be there.
func (b *box) must(t testing.TB, file, key string) int64 {
	n, err := b.number(file, key)
	check(t, err)
	return n
}

// cpu is the processor time that the box has taken (proc(5), stat).
func (b *box) cpu(t testing.TB) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.proc.cmd.Process.Pid))
	check(t, err)
	const tick, user, system = time.Second / 100, 11, 12 // fields after the name
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	u, err := strconv.Atoi(fields[user])
	check(t, err)
	k, err := strconv.Atoi(fields[system])
	check(t, err)
	return time.Duration(u+k) * tick
}

// rest waits until the box has written nothing for some time.
func (b *box) rest(t testing.TB) {
	const still = 20 * time.Second
	last, at := int64(-1), time.Now()
	check(t, eventually(20*patience, func() error {
		if n := b.must(t, "io", "write_bytes"); n != last {
			last, at = n, time.Now()
		}
		if time.Since(at) < still {
			return fmt.Errorf("the box does not stop writing: %d bytes", last)
		}
		return nil
	}))
}

// settle links a member and waits until the box knows all whom he knows, which at a
// slow homeserver takes longer than the command waits.
func (b *box) settle(t testing.TB, handle string, p person) {
	t.Helper()
	const slow = 20 * patience
	if p.server.Kind == "dendrite" {
		b.try("link", "add", handle, "matrix", "--homeserver", "http://"+p.server.Addr(), "--user", p.User, "--password", p.Password)
	} else {
		b.Link(t, handle, p, p.server.Addr())
	}
	check(t, eventually(slow, func() error {
		out, err := b.try("contact", "list", handle)
		if n := strings.Count(out, "FL"); err == nil && n < acquaintances+clubs {
			err = fmt.Errorf("%s knows only %d people and rooms of %s", handle, n, p.server.Domain)
		}
		return err
	}))
}

// household makes the members with all they know on a server.
func household(t testing.TB, s *server) []person {
	if s.Kind == "dendrite" {
		return matrixHousehold(t, s)
	}
	return xmppHousehold(t, s)
}

// xmppHousehold writes what Prosody keeps while it does not run: everybody knows
// everybody else, and has bookmarked the same rooms.
func xmppHousehold(t testing.TB, s *server) (all []person) {
	check(t, s.Stop())
	folder := filepath.Join(s.Dir, "data", strings.NewReplacer(".", "%2e").Replace(s.Domain))
	keep := func(store, user, text string) {
		check(t, os.MkdirAll(filepath.Join(folder, store), 0o700))
		check(t, os.WriteFile(filepath.Join(folder, store, user+".dat"), []byte("return "+text+";"), 0o600))
	}
	var names []string
	for i := range members {
		names = append(names, fmt.Sprintf("member%d", i))
	}
	for i := range acquaintances {
		names = append(names, fmt.Sprintf("friend%d", i))
	}
	roster := func(of []string) string {
		text := bytes.NewBufferString("{ [false] = { version = 1; };\n")
		for _, n := range of {
			fmt.Fprintf(text, "[\"%s@%s\"] = { subscription = \"both\"; groups = {}; };\n", n, s.Domain)
		}
		text.WriteString("}")
		return text.String()
	}
	for i, n := range names {
		password := "pw-" + n + "-secret"
		keep("accounts", n, fmt.Sprintf("{ password = %q; }", password))
		if i >= members {
			keep("roster", n, roster(names[:members]))
			continue
		}
		keep("roster", n, roster(names[members:]))
		marks := bytes.NewBufferString(`{ ["storage:storage:bookmarks"] = { name = "storage"; attr = { xmlns = "storage:bookmarks"; };` + "\n")
		for r := range clubs {
			fmt.Fprintf(marks, "{ name = \"conference\"; attr = { xmlns = \"storage:bookmarks\"; autojoin = \"true\"; jid = \"club%d@muc.%s\"; }; { name = \"nick\"; attr = { xmlns = \"storage:bookmarks\"; }; %q; }; };\n", r, s.Domain, n)
		}
		keep("private", n, marks.String()+"}; }")
		all = append(all, person{server: s, User: n, Password: password, ID: n + "@" + s.Domain, Handle: n + "@" + s.Domain})
	}
	check(t, s.Start())
	return all
}

// matrixHousehold makes the rooms by requests: a direct one for each friend, which
// the member opens, and the common ones, made by the first member.
func matrixHousehold(t testing.TB, s *server) (all []person) {
	var tokens []string
	for i := range members {
		p := person{server: s, User: fmt.Sprintf("member%d", i)}
		p.ID = "@" + p.User + ":" + s.Domain
		password, err := s.AddUser(p.User)
		check(t, err)
		p.Password = password
		all = append(all, p)
		tokens = append(tokens, matrixLogin(t, p))
	}
	for i := range acquaintances {
		_, err := s.AddUser(fmt.Sprintf("friend%d", i))
		check(t, err)
	}
	create := func(token string, what map[string]any) string {
		var room struct {
			ID string `json:"room_id"`
		}
		if err := matrixCall(s, token, "POST", "createRoom", what, &room); err != nil {
			t.Error(err)
		}
		return room.ID
	}
	for r := range clubs {
		id := create(tokens[0], map[string]any{"preset": "public_chat", "name": fmt.Sprintf("Club %d", r)})
		for _, token := range tokens[1:] {
			check(t, matrixCall(s, token, "POST", "join/"+url.PathEscape(id), struct{}{}, nil))
		}
	}
	var busy sync.WaitGroup
	for i, p := range all {
		busy.Go(func() {
			direct := map[string][]string{}
			for f := range acquaintances {
				friend := fmt.Sprintf("@friend%d:%s", f, s.Domain)
				direct[friend] = []string{create(tokens[i], map[string]any{"preset": "trusted_private_chat", "is_direct": true, "invite": []string{friend}})}
			}
			if err := matrixCall(s, tokens[i], "PUT", "user/"+url.PathEscape(p.ID)+"/account_data/m.direct", direct, nil); err != nil {
				t.Error(err)
			}
			if err := matrixCall(s, tokens[i], "POST", "logout", json.RawMessage("{}"), nil); err != nil {
				t.Error(err)
			}
		})
	}
	busy.Wait()
	return all
}
